"""The rules against the oracle, bit for bit: every update, step size and sign."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import Oracle
from runs import rprop_state, trajectory

from optax_rprop import VARIANTS, rprop

# Tight bounds, so that a few equal or alternating signs reach both.
TIGHT = {"learning_rate": 0.1, "min_step_size": 0.04, "max_step_size": 0.15}
SETTINGS = [{}, TIGHT, {"learning_rate": 0.3, "eta_minus": 0.7, "eta_plus": 1.05}]


def oracle_run(variant, gradients, values, settings):
    """What the oracle says of every step, shaped like ``runs.trajectory``."""
    oracle = Oracle(variant, gradients.shape[1], gradients.dtype, **settings)
    rows = []
    for gradient, value in zip(gradients, values, strict=True):
        updates = oracle.step(gradient, value)
        rows.append((updates, list(oracle.delta), list(oracle.sign)))
    updates, sizes, signs = zip(*rows, strict=True)
    dtype = gradients.dtype
    return np.array(updates, dtype), np.array(sizes, dtype), np.array(signs, np.int8)


def assert_equal_runs(variant, gradients, values, settings):
    expected = oracle_run(
        variant,
        gradients,
        [None] * len(gradients) if values is None else values,
        settings,
    )
    given = None if values is None else jnp.asarray(values)
    updates, states = trajectory(
        rprop(variant=variant, **settings), jnp.asarray(gradients), given
    )
    for got, want in zip(
        (updates, states.step_sizes, states.prev_signs), expected, strict=True
    ):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


def random_gradients(seed, shape, dtype):
    """Many magnitudes; runs of equal signs, changes, zeros, NaN and infinities."""
    rng = np.random.default_rng(seed)
    signs = np.cumprod(rng.choice([1, -1], size=shape, p=[0.7, 0.3]), axis=0)
    gradients = signs * 10.0 ** rng.uniform(-36, 36, size=shape)
    special = rng.choice(
        [1.0, 0.0, np.nan, np.inf], size=shape, p=[0.9, 0.06, 0.02, 0.02]
    )
    return (gradients * special).astype(dtype)


def random_losses(seed, num_steps, dtype):
    rng = np.random.default_rng(seed)
    losses = rng.normal(size=num_steps).astype(dtype)
    losses[rng.random(num_steps) < 0.1] = np.nan
    losses[rng.random(num_steps) < 0.05] = np.inf
    return losses


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_sequence_of_signs(variant, settings):
    symbols = [1.0, -1.0, 0.0, np.nan]
    gradients = np.array(list(itertools.product(symbols, repeat=5)), np.float32).T
    if variant != "irprop+":
        assert_equal_runs(variant, gradients, None, settings)
    assert_equal_runs(variant, gradients, np.array([3, 2, 2, 4, 1], np.float32), settings)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_sequence_of_losses_and_signs(variant):
    gradients = np.array(list(itertools.product([1, -1, 0], repeat=4)), np.float32).T
    runs = np.array(
        list(itertools.product([1, 2, np.nan, -np.inf], repeat=4)), np.float32
    )
    tx = rprop(variant=variant, **TIGHT)
    all_gradients = jnp.broadcast_to(gradients, (len(runs), *gradients.shape))
    updates, states = jax.vmap(lambda g, v: trajectory(tx, g, v))(
        all_gradients, jnp.asarray(runs)
    )
    for i, values in enumerate(runs):
        expected = oracle_run(variant, gradients, values, TIGHT)
        np.testing.assert_array_equal(updates[i], expected[0])
        np.testing.assert_array_equal(states.step_sizes[i], expected[1])
        np.testing.assert_array_equal(states.prev_signs[i], expected[2])


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("variant", "with_losses"),
    [(v, True) for v in VARIANTS] + [(v, False) for v in VARIANTS if v != "irprop+"],
)
def test_random_runs(variant, with_losses, dtype, settings, x64):
    gradients = random_gradients(1, (300, 24), dtype)
    values = random_losses(2, 300, dtype) if with_losses else None
    assert_equal_runs(variant, gradients, values, settings)


@pytest.mark.parametrize("variant", VARIANTS)
def test_random_runs_reach_every_branch(variant):
    gradients = random_gradients(1, (300, 24), np.float32)
    _, sizes, _ = oracle_run(variant, gradients, random_losses(2, 300, np.float32), TIGHT)
    assert np.isin(np.float32([0.04, 0.15]), sizes).all()
    products = np.sign(gradients[1:]) * np.sign(gradients[:-1])
    assert {-1, 0, 1} <= set(products[~np.isnan(products)])


@pytest.mark.parametrize("variant", VARIANTS)
def test_eager_equals_compiled(variant):
    gradients = jnp.asarray(random_gradients(3, (40, 8), np.float32))
    values = jnp.asarray(random_losses(4, 40, np.float32))
    tx = rprop(variant=variant)
    compiled_updates, compiled_states = trajectory(tx, gradients, values)
    state = tx.init(gradients[0])
    for i, (gradient, value) in enumerate(zip(gradients, values, strict=True)):
        updates, state = tx.update(gradient, state, value=value)
        np.testing.assert_array_equal(updates, compiled_updates[i])
        jax.tree.map(
            np.testing.assert_array_equal,
            rprop_state(state),
            jax.tree.map(lambda leaf, i=i: leaf[i], compiled_states),
        )


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_rejected_step_is_taken_back_exactly(variant):
    """Three steps by hand: one, another, and a loss that is not finite."""
    tx = rprop(variant=variant, learning_rate=0.5)
    gradients = jnp.asarray([[1.0, 0.0], [1.0, -1.0], [7.0, 7.0]])
    updates, states = trajectory(tx, gradients, jnp.asarray([2.0, 1.0, jnp.nan]))
    np.testing.assert_array_equal(updates[2], -updates[1])
    np.testing.assert_array_equal(states.step_sizes[2], 0.5 * states.step_sizes[1])
    np.testing.assert_array_equal(states.prev_signs[2], [0, 0])
    np.testing.assert_array_equal(states.prev_value, [2.0, 1.0, 1.0])


def test_infinite_gradients_have_a_sign_and_nan_has_none():
    tx = rprop(learning_rate=0.5)
    updates, states = trajectory(tx, jnp.asarray([[jnp.inf, -jnp.inf, jnp.nan]] * 2))
    np.testing.assert_allclose(updates[1], [-0.6, 0.6, 0.0])
    np.testing.assert_array_equal(states.prev_signs[1], [1, -1, 0])
    np.testing.assert_allclose(states.step_sizes[1], [0.6, 0.6, 0.5])


def test_a_step_size_without_a_bound_stays_finite():
    """So that a gradient of 0 still moves nothing."""
    tx = rprop(learning_rate=3e38, max_step_size=jnp.inf)
    updates, _ = trajectory(tx, jnp.asarray([[1.0], [1.0], [1.0], [0.0]], "float32"))
    np.testing.assert_array_equal(updates[2:, 0], [-np.finfo(np.float32).max, 0.0])
