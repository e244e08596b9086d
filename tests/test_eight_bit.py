"""8-bit Rprop against an oracle of its own, bit for bit, and its grid."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import (
    assert_equal_for_all_signs,
    assert_equal_runs,
    assert_same,
    every_variant,
    raises,
    random_gradients,
    random_losses,
    rprop_state,
    trajectory,
)
from oracle import GridOracle

from optax_rprop import (
    FitStatus,
    Rprop8bitState,
    RpropState,
    fit,
    rprop_8bit,
    scale_by_rprop_8bit,
)

# Bounds near each other, and bounds as far apart as they may be, off the powers of two.
SETTINGS = [
    {},
    {"learning_rate": 0.25, "min_step_size": 0.125, "max_step_size": 0.375},
    {
        "learning_rate": 2.0**-9,
        "min_step_size": 1.25 * 2.0**-18,
        "max_step_size": 1.25 * 2.0**3,
    },
]


@pytest.mark.parametrize("settings", SETTINGS)
@every_variant
def test_every_sequence_of_signs(variant, settings):
    assert_equal_for_all_signs(
        rprop_8bit(variant=variant, **settings),
        lambda size: GridOracle(variant, size, **settings),
        needs_losses=variant == "irprop+",
    )


@pytest.mark.parametrize("settings", SETTINGS)
@every_variant
def test_random_runs(variant, settings):
    gradients = random_gradients(1, (300, 24), np.float32)
    losses = random_losses(2, 300, np.float32)
    tx = rprop_8bit(variant=variant, **settings)
    oracle = GridOracle(variant, 24, **settings)
    states = assert_equal_runs(tx, oracle, gradients, losses)
    if settings == SETTINGS[1]:
        assert set(np.unique(states.step_sizes)) == set(oracle.grid)


def test_a_byte_holds_every_level_with_every_sign():
    """Up from the smallest step size to the largest, and on each level both signs."""
    grid = GridOracle("irprop-", 1).grid
    assert len(grid) == 85
    assert (grid[0], grid[-1]) == (2.0**-20, 2.0)
    gradients = jnp.asarray([[1.0, -1.0, 0.0]] * 100, "float32")
    _, states = trajectory(rprop_8bit(learning_rate=2.0**-20), gradients)
    np.testing.assert_array_equal(states.step_sizes[:85, 0], grid)
    np.testing.assert_array_equal(states.step_sizes[:85, 1], grid)
    np.testing.assert_array_equal(states.step_sizes[85:, :2], 2.0)
    np.testing.assert_array_equal(states.prev_signs[-1], [1, -1, 0])


def test_the_state_takes_one_byte_a_parameter():
    (state, _) = rprop_8bit().init(jnp.zeros((100, 10), "float32"))
    assert isinstance(state, Rprop8bitState)
    assert state.codes.dtype == "uint8"
    assert state.codes.nbytes == 1000
    assert state.min_step_size == np.float32(2**-20)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_updates_are_exact_in_every_dtype(dtype, x64):
    """The grid has two bits of mantissa, so that half precision rounds nothing."""
    gradients = jnp.asarray(np.sign(random_gradients(1, (60, 8), "float32")), dtype)
    updates, _ = trajectory(rprop_8bit(), gradients)
    in_float32, _ = trajectory(rprop_8bit(), gradients.astype("float32"))
    assert updates.dtype == dtype
    np.testing.assert_array_equal(updates.astype("float32"), in_float32)


def test_complex_leaves_have_two_arrays_of_codes():
    state = rprop_8bit().init(jnp.zeros(3, "complex64"))[0]
    assert state.codes.real.shape == state.codes.imag.shape == (3,)
    updates, state = rprop_8bit().update(
        jnp.asarray([1 - 2j, 3j, 0], "complex64"), (state, optax.ScaleState())
    )
    np.testing.assert_array_equal(updates, [-0.125 + 0.125j, -0.125j, 0])


def test_decode_gives_the_arrays_of_the_other_state():
    state = scale_by_rprop_8bit(0.5).init({"w": jnp.zeros(2, "float32"), "b": None})
    decoded = jax.jit(Rprop8bitState.decode)(state)
    assert isinstance(decoded, RpropState)
    np.testing.assert_array_equal(decoded.step_sizes["w"], [0.5, 0.5])
    np.testing.assert_array_equal(decoded.prev_signs["w"], [0, 0])
    assert decoded.step_sizes["b"] is None
    assert decoded.step_sizes["w"].dtype == "float32"
    assert decoded.prev_signs["w"].dtype == "int8"


@every_variant
def test_inject_hyperparams_changes_no_bit(variant):
    gradients = jnp.asarray(random_gradients(3, (40, 4), "float32"))
    values = jnp.asarray(random_losses(4, 40, "float32"))
    plain = trajectory(rprop_8bit(variant=variant), gradients, values)
    injected = optax.inject_hyperparams(rprop_8bit)(variant=variant)
    assert_same(trajectory(injected, gradients, values), plain)


@every_variant
def test_fit_reads_its_step_sizes(variant):
    def loss(params):
        return jnp.sum((params - jnp.asarray([1.1, -2.2], "float32")) ** 2)

    result = fit(
        loss,
        jnp.zeros(2, "float32"),
        optimizer=rprop_8bit(variant=variant),
        step_tol=2**-10,
    )
    assert result.status is FitStatus.STEP_CONVERGED
    assert np.max(rprop_state(result.last.opt_state).step_sizes) <= 2**-10
    np.testing.assert_allclose(result.params, [1.1, -2.2], atol=5e-3)
    np.testing.assert_array_equal(result.history.step_size_max[0], 0.125)


@every_variant
def test_fit_survives_a_barrier(variant):
    result = fit(
        lambda p: jnp.sum(p - jnp.log(p)),
        jnp.asarray([0.3, 1.9, 7.0], "float32"),
        optimizer=rprop_8bit(2.0, variant=variant),
    )
    np.testing.assert_allclose(result.params, 1.0, atol=2e-3)
    assert not np.isfinite(result.history.loss).all()


def test_bounds_on_the_grid_are_fine():
    rprop_8bit(0.75, 0.625, 0.875)
    rprop_8bit(1, 2.0**-20, 2)
    rprop_8bit(jnp.asarray(0.5), jnp.asarray(2.0**-20), np.float64(2))


@pytest.mark.parametrize("smallest", [2.0**-10, 2.0**-25])
def test_a_state_of_another_grid_keeps_the_largest_step(smallest):
    tx = rprop_8bit()  # up to 2, from 2**-20
    state = rprop_8bit(smallest, smallest, 64 * smallest).init(jnp.zeros(1))
    sizes = []
    for _ in range(110):
        update, state = tx.update(jnp.ones(1), state)
        sizes.append(-float(update[0]))
    assert sizes == sorted(sizes)
    assert sizes[-1] == min(2.0, smallest * 2**21)


def test_scale_by_is_the_same_not_negated():
    params = jnp.asarray([1.0, -1.0, 0.0], "float32")
    down, _ = rprop_8bit().update(params, rprop_8bit().init(params))
    tx = scale_by_rprop_8bit()
    up, _ = tx.update(params, tx.init(params))
    np.testing.assert_array_equal(down, -up)


def test_errors_speak_of_the_function_that_was_called():
    with raises(ValueError, "scale_by_rprop_8bit: variant must"):
        scale_by_rprop_8bit(variant="rprop")
    tx = rprop_8bit(variant="irprop+")
    with raises(TypeError, "rprop_8bit.update: value must be the"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
