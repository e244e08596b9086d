"""Every message of a result and a history, read."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import raises

from optax_rprop import fit

START = jnp.zeros((3, 2), "float32")


def fitted(start, **settings):
    return fit(lambda p: jnp.sum((p - 1) ** 2), start, max_steps=3, **settings)


STATUSES = "FitResult.statuses: the status must have a value, got {}. Inside jit and vmap compare it: result.status == FitStatus.TARGET_REACHED."
BEST = "FitResult.best: the loss must have a value, got {}. Inside jit and vmap use jnp.argmin(result.loss)."
HISTORY = "FitHistory.plot: the history must be that of one fit, with values, got {}. Of a batch, outside jit and vmap, result.best().history is one."


@pytest.mark.parametrize("transform", [jax.jit, lambda f: jax.vmap(f)])
def test_a_tracer(transform):
    @transform
    def traced(start):
        result = fitted(start)
        with raises(TypeError, STATUSES.format("a tracer")):
            result.statuses  # noqa: B018
        with raises(TypeError, BEST.format("a tracer")):
            result.best()
        with raises(TypeError, HISTORY.format("a tracer")):
            result.history.plot()
        return start

    traced(START)


def test_a_shape():
    shapes = jax.eval_shape(fitted, START[0])
    with raises(TypeError, STATUSES.format("int32[]")):
        shapes.statuses  # noqa: B018
    with raises(TypeError, BEST.format("float32[]")):
        shapes.best()
    with raises(TypeError, HISTORY.format("float32[3]")):
        shapes.history.plot()


def test_deleted_arrays():
    results = jax.vmap(fitted)(START)
    jax.tree.map(lambda x: x.delete(), results)
    with raises(TypeError, STATUSES.format("int32[3]")):
        results.statuses  # noqa: B018
    with raises(TypeError, BEST.format("float32[3]")):
        results.best()


def test_an_empty_batch():
    results = jax.tree.map(lambda x: x[:0], jax.vmap(fitted)(START))
    assert results.statuses.shape == (0,)
    assert repr(results) == "FitResult of 0 fits"
    with raises(
        ValueError,
        "FitResult.best: the batch must hold a fit, got shape (0,). An empty batch has no best.",
    ):
        results.best()


def test_the_history_of_a_batch():
    results = jax.vmap(fitted)(START)
    with raises(TypeError, HISTORY.format("float32[3,3]")):
        results.history.plot()
    with raises(TypeError, HISTORY.format("NoneType")):
        jax.tree.map(lambda x: None, results).history.plot()


def test_a_plot_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError) as caught:
        fitted(START).history.plot()
    assert str(caught.value) == (
        f"FitHistory.plot: matplotlib must be installed, got {caught.value.__cause__!r}. pip install 'optax-rprop[plot]' brings it."
    )


def test_other_axes():
    plt = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed")
    figure = pytest.importorskip("matplotlib.figure").Figure()
    one = figure.subplots()
    history = fitted(START).history
    for ax, kind in (
        (one, ValueError),
        ([one] * 3, ValueError),
        ("axes", TypeError),
        (figure, TypeError),
        ([one, 3], TypeError),
        (np.zeros(2), TypeError),
    ):
        with raises(
            kind,
            f"FitHistory.plot: ax must be 2 of matplotlib's axes, got {ax!r}. The loss takes one and the step sizes another: plt.subplots(ncols=2)[1].",
        ):
            history.plot(ax)
    assert plt.get_fignums() == []
