"""``fit_many``: many starts at once, and the best of them."""

import jax
import jax.numpy as jnp
import numpy as np
from helpers import raises

from optax_rprop import FitStatus, fit, fit_many, in_eigenbasis, rprop

STARTS = {"x": jnp.linspace(-3, 3, 7), "y": jnp.ones((7, 2))}


def loss_fn(params, shift=0.0):
    """Two valleys in x, the lower one near -1."""
    valleys = (params["x"] ** 2 - 1) ** 2 + 0.3 * params["x"]
    return valleys + jnp.sum((params["y"] - shift) ** 2)


def test_each_is_a_fit_of_its_own():
    many = fit_many(loss_fn, STARTS, 0.5, step_tol=1e-4)
    for i, status in enumerate(many.statuses):
        start = jax.tree.map(lambda x, i=i: x[i], STARTS)
        alone = fit(loss_fn, start, 0.5, step_tol=1e-4)
        assert status is alone.status is FitStatus.STEP_CONVERGED
        np.testing.assert_allclose(many.loss[i], alone.loss, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(many.params["x"][i], alone.params["x"], atol=1e-3)
    best = many.best()
    assert best.loss == many.loss.min()
    assert best.params["x"] < 0 < many.params["x"].max()
    assert best.status is FitStatus.STEP_CONVERGED


def test_it_takes_what_fit_does():
    def with_aux(params, shift):
        return loss_fn(params, shift), params["x"] + 1

    many = fit_many(
        with_aux,
        STARTS,
        0.0,
        optimizer=in_eigenbasis(rprop()),
        max_steps=20,
        has_aux=True,
        history=False,
        stop_when=lambda seen: seen.loss < 0,
    )
    assert set(many.statuses) <= {FitStatus.STOPPED, FitStatus.MAX_STEPS}
    np.testing.assert_array_equal(many.best().aux, many.best().params["x"] + 1)
    assert many.history is None


def test_a_second_call_compiles_nothing():
    traces = []

    def traced(x):
        traces.append(None)
        return (x - 3) ** 2

    for starts in (jnp.zeros(3), jnp.ones(3)):
        fit_many(traced, starts, max_steps=5)
        count = len(traces)
    assert len(traces) == count
    fit_many(traced, starts, max_steps=5)
    assert len(traces) == count


def test_wrong_arguments_are_refused_by_its_name():
    with raises(
        ValueError,
        "fit_many: starts must have one leading size, got 3 at leaf ['x'], 2 at leaf "
        "['y']. Each entry of the leading axis is a start; jax.vmap(init)("
        "jax.random.split(key, 8)) makes eight.",
    ):
        fit_many(loss_fn, {"x": jnp.zeros(3), "y": jnp.zeros(2)})
    with raises(ValueError, "fit_many: starts must have one leading size, got None at "):
        fit_many(loss_fn, jnp.array(0.0))
    with raises(ValueError, "fit_many: params must hold at least one array, got "):
        fit_many(loss_fn, {})
    with raises(TypeError, "fit_many: every parameter must be a floating-point or "):
        fit_many(loss_fn, jnp.arange(3))
    with raises(
        TypeError,
        "fit_many: every keyword must name an argument of fit_many, got lr, resume. ",
    ):
        fit_many(loss_fn, STARTS, lr=1, resume=None)
    with raises(ValueError, "fit_many: patience must be at least 1, got 0. "):
        fit_many(loss_fn, STARTS, patience=0)
    with raises(TypeError, "fit: loss_fn must be a function, got int. "):
        fit_many(3, STARTS)
