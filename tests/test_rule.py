"""The rules against the oracle, bit for bit: every update, step size and sign."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    assert_equal_for_all_signs,
    assert_equal_runs,
    assert_same,
    every_variant,
    oracle_run,
    random_gradients,
    random_losses,
    rprop_state,
    trajectory,
)
from oracle import Oracle

from optax_rprop import VARIANTS, rprop

# Tight bounds, so that a few equal or alternating signs reach both.
TIGHT = {"learning_rate": 0.1, "min_step_size": 0.04, "max_step_size": 0.15}
SETTINGS = [{}, TIGHT, {"learning_rate": 0.3, "eta_minus": 0.7, "eta_plus": 1.05}]


@pytest.mark.parametrize("settings", SETTINGS)
@every_variant
def test_every_sequence_of_signs(variant, settings):
    assert_equal_for_all_signs(
        rprop(variant=variant, **settings),
        lambda size: Oracle(variant, size, "float32", **settings),
        needs_losses=variant == "irprop+",
    )


@every_variant
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
        oracle = Oracle(variant, gradients.shape[1], "float32", **TIGHT)
        expected = oracle_run(oracle, gradients, values)
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
    tx = rprop(variant=variant, **settings)
    oracle = Oracle(variant, 24, dtype, **settings)
    assert_equal_runs(tx, oracle, gradients, values)


@every_variant
def test_random_runs_reach_every_branch(variant):
    gradients = random_gradients(1, (300, 24), np.float32)
    oracle = Oracle(variant, 24, "float32", **TIGHT)
    _, sizes, _ = oracle_run(oracle, gradients, random_losses(2, 300, np.float32))
    assert np.isin(np.float32([0.04, 0.15]), sizes).all()
    products = np.sign(gradients[1:]) * np.sign(gradients[:-1])
    assert {-1, 0, 1} <= set(products[~np.isnan(products)])


@every_variant
def test_eager_equals_compiled(variant):
    gradients = jnp.asarray(random_gradients(3, (40, 8), np.float32))
    values = jnp.asarray(random_losses(4, 40, np.float32))
    tx = rprop(variant=variant)
    compiled_updates, compiled_states = trajectory(tx, gradients, values)
    state = tx.init(gradients[0])
    for i, (gradient, value) in enumerate(zip(gradients, values, strict=True)):
        updates, state = tx.update(gradient, state, value=value)
        np.testing.assert_array_equal(updates, compiled_updates[i])
        compiled_state = jax.tree.map(lambda leaf, i=i: leaf[i], compiled_states)
        assert_same(rprop_state(state), compiled_state)


@every_variant
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
