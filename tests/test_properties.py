"""Properties that every rule has, searched for counterexamples by hypothesis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import every_variant, trajectory

from optax_rprop import VARIANTS, rprop

pytest.importorskip("hypothesis", reason="hypothesis is not installed")
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

NUM_STEPS, SIZE = 12, 4
BOUNDS = {"learning_rate": 0.1, "min_step_size": 0.05, "max_step_size": 0.2}
TRANSFORMATIONS = {variant: rprop(variant=variant, **BOUNDS) for variant in VARIANTS}

# Signs matter and sizes do not, so small integers reach every branch soonest.
gradients = hnp.arrays(np.float32, (NUM_STEPS, SIZE), elements=st.integers(-2, 2))
losses = hnp.arrays(
    np.float32, (NUM_STEPS,), elements=st.sampled_from([0.0, 1.0, 2.0, np.inf, np.nan])
)


def run(variant, gradients, losses):
    updates, states = trajectory(
        TRANSFORMATIONS[variant],
        jax.tree.map(jnp.asarray, gradients),
        jnp.asarray(losses),
    )
    return updates, states.step_sizes, states.prev_signs


@every_variant
@given(gradients, losses, st.floats(1e-36, 1e36))
def test_a_positive_factor_changes_nothing(variant, gradients, losses, factor):
    scaled = run(variant, gradients * np.float32(factor), losses)
    for got, want in zip(scaled, run(variant, gradients, losses), strict=True):
        np.testing.assert_array_equal(got, want)


@every_variant
@given(gradients, losses)
def test_mirrored_gradients_mirror_the_path(variant, gradients, losses):
    updates, step_sizes, signs = run(variant, gradients, losses)
    mirrored_updates, mirrored_sizes, mirrored_signs = run(variant, -gradients, losses)
    np.testing.assert_array_equal(mirrored_updates, -updates)
    np.testing.assert_array_equal(mirrored_sizes, step_sizes)
    np.testing.assert_array_equal(mirrored_signs, -signs)


@every_variant
@given(gradients, losses)
def test_step_sizes_stay_within_their_bounds(variant, gradients, losses):
    updates, step_sizes, signs = run(variant, gradients, losses)
    assert np.all((step_sizes >= np.float32(0.05)) & (step_sizes <= np.float32(0.2)))
    assert set(np.unique(signs)) <= {-1, 0, 1}
    assert np.all(np.abs(updates) <= np.float32(0.2))


@every_variant
@given(gradients, losses)
def test_the_remembered_sign_says_what_the_last_move_was(variant, gradients, losses):
    updates, step_sizes, signs = run(variant, gradients, losses)
    moved = np.where(signs == 0, 0, updates)
    np.testing.assert_array_equal(moved, -np.asarray(signs) * np.asarray(step_sizes))


@every_variant
@given(gradients, losses)
def test_coordinates_are_independent(variant, gradients, losses):
    """Neither the order of the coordinates nor the shape of the tree matters."""
    updates, _, _ = run(variant, gradients, losses)
    backwards, _, _ = run(variant, gradients[:, ::-1], losses)
    np.testing.assert_array_equal(backwards[:, ::-1], updates)
    tree = {"a": gradients[:, :1], "b": [gradients[:, 1:].reshape(NUM_STEPS, 3, 1)]}
    of_tree, _, _ = run(variant, tree, losses)
    np.testing.assert_array_equal(of_tree["a"], updates[:, :1])
    np.testing.assert_array_equal(of_tree["b"][0][..., 0], updates[:, 1:])


@every_variant
@given(gradients, losses)
def test_a_zero_gradient_moves_nothing_unless_a_step_is_rejected(
    variant, gradients, losses
):
    updates, _, _ = run(variant, gradients, losses)
    still = (gradients == 0) & np.isfinite(losses)[:, None]
    assert not np.any(np.asarray(updates)[still])


@every_variant
@given(gradients)
def test_a_loss_that_never_rises_undoes_nothing_in_irprop_plus(variant, gradients):
    """Then irprop+ is irprop-; and no rule but irprop+ looks at a finite loss."""
    falling = np.linspace(2, 1, NUM_STEPS, dtype=np.float32)
    quiet = run("irprop-" if variant == "irprop+" else variant, gradients, 0 * falling)
    for got, want in zip(run(variant, gradients, falling), quiet, strict=True):
        np.testing.assert_array_equal(got, want)
