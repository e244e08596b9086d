"""``streaming_fit``: the steps of ``fit``, from a stream of batches."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_same, each_of, raises

from optax_rprop import (
    VARIANTS,
    FitStatus,
    fit,
    in_box,
    in_eigenbasis,
    rprop,
    rprop_8bit,
    streaming_fit,
)

rng = np.random.default_rng(0)
# Sums of small multiples of 1/8 are exact, in any order.
X = rng.integers(-8, 9, (24, 3)).astype("float32") / 8
Y = (X @ np.float32([1, -2, 0.5]) > 0).astype("float32")
BATCHES = [(X[:5], Y[:5]), (X[5:16], Y[5:16]), (X[16:], Y[16:])]
START = {"w": jnp.zeros(3, "float32"), "b": jnp.zeros((), "float32")}
RULES = {variant: lambda v=variant: rprop(variant=v) for variant in VARIANTS} | {
    "8bit": rprop_8bit,
    "turned": lambda: in_eigenbasis(rprop()),
    "boxed": lambda: in_box(rprop(), -0.5, 0.5),
}
OPTIMIZERS = {name: make() for name, make in RULES.items()}


def loss_fn(params, x, y):
    return jnp.mean((x @ params["w"] + params["b"] - y) ** 2)


def batches():
    yield from BATCHES


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_takes_the_steps_of_fit(name):
    """Up to the rounding of the sums, which at last moves a sign."""
    settings = {"optimizer": OPTIMIZERS[name], "max_steps": 12}
    turned = name == "turned"
    whole = fit(loss_fn, START, X, Y, **settings)
    streamed = streaming_fit(loss_fn, START, BATCHES, **settings)
    assert streamed.status is whole.status is FitStatus.MAX_STEPS
    assert streamed.num_steps == whole.num_steps == 12
    for name, series in streamed.history._asdict().items():
        expected = getattr(whole.history, name)
        alike = 4 if turned else 12  # a basis tells a rounding from a change
        np.testing.assert_allclose(series[:alike], expected[:alike], rtol=1e-4)
    if turned:
        return
    assert jax.tree.structure(streamed) == jax.tree.structure(whole)
    for a, b in zip(jax.tree.leaves(streamed), jax.tree.leaves(whole), strict=True):
        assert np.shape(a) == np.shape(b)
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("data", [BATCHES, batches], ids=["list", "function"])
def test_it_stops_for_the_same_reasons(data):
    best = float(fit(loss_fn, START, X, Y).loss)
    for rules, status in (
        ({"target_loss": best + 0.01}, FitStatus.TARGET_REACHED),
        ({"step_tol": 1e-4}, FitStatus.STEP_CONVERGED),
        ({"patience": 15}, FitStatus.STALLED),
        ({"stop_when": lambda seen: seen.num_steps == 7}, FitStatus.STOPPED),
        ({"max_steps": 3}, FitStatus.MAX_STEPS),
    ):
        result = streaming_fit(loss_fn, START, data, **rules)
        assert result.status is status
        at_best = loss_fn(result.params, X, Y)
        assert at_best == pytest.approx(float(result.loss), rel=1e-5)
        taken = result.num_steps
        seen = np.append(result.history.loss[:taken], result.last_loss)
        assert result.loss == np.min(seen)
        assert result.best_step == np.argmin(seen)
    whole = streaming_fit(loss_fn, START, data)
    assert whole.status is FitStatus.STALLED
    assert whole.loss == pytest.approx(best, rel=1e-5)


def test_it_passes_over_the_data_once_a_step_and_once_more():
    passes = []

    def counted():
        passes.append(None)
        return batches()

    streaming_fit(loss_fn, START, counted, max_steps=6)
    assert len(passes) == 6 + 1


def test_it_goes_on_bit_for_bit():
    optimizer = OPTIMIZERS["irprop+"]
    settings = {"optimizer": optimizer, "stop_when": None}
    whole = streaming_fit(loss_fn, START, batches, max_steps=20, **settings)
    first = streaming_fit(loss_fn, START, batches, max_steps=8, **settings)
    rest = streaming_fit(
        loss_fn, START, batches, max_steps=12, resume=first.last, **settings
    )
    assert_same(rest.last, whole.last)
    assert_same(
        np.concatenate([first.history.loss[:8], rest.history.loss[:12]]),
        whole.history.loss[:20],
    )
    assert rest.num_steps == 12
    # A fit whose data fits into memory may go on from there.
    assert fit(loss_fn, START, X, Y, optimizer=optimizer, resume=first.last).num_steps


def test_a_loss_that_is_not_finite_is_taken_back():
    def cliff(params, x, y):
        loss = loss_fn(params, x, y)
        return jnp.where(params["b"] > 0.45, jnp.nan, loss)

    result = streaming_fit(cliff, START, BATCHES, optimizer=rprop(0.3), max_steps=60)
    assert np.isnan(result.history.loss[: result.num_steps]).any()
    assert np.isfinite(result.loss)
    assert 0.4 < result.params["b"] <= 0.45


def test_progress_and_ctrl_c():
    told = []

    def report(seen):
        told.append(seen)
        if len(told) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = streaming_fit(loss_fn, START, batches, progress=report)
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.status is FitStatus.INTERRUPTED
    assert told[0].num_steps == 1
    assert told[0].loss == result.history.loss[0]
    rest = streaming_fit(loss_fn, START, batches, max_steps=9, resume=result.last)
    assert rest.last.num_steps == result.num_steps + 9


def test_a_second_fit_compiles_nothing(monkeypatch):
    traces = []

    def traced(params, x, y):
        traces.append(x.shape)
        return loss_fn(params, x, y)

    optimizer = rprop()
    for _ in range(2):
        streaming_fit(traced, START, BATCHES, optimizer=optimizer, max_steps=5)
        count = len(traces)
    assert count == len(traces)
    assert count <= 2 * len(BATCHES)  # each size once, and a look at the loss


def test_complex_parameters_and_other_batches():
    def far(z, x):
        return jnp.mean(jnp.abs(z - x) ** 2)

    data = [np.complex64([1 + 2j, 3 + 2j]), np.complex64([2 - 1j])]
    result = streaming_fit(far, jnp.array(0j, "complex64"), data, step_tol=1e-4)
    np.testing.assert_allclose(result.params, 2 + 1j, atol=1e-3)


@each_of({"sgd": lambda: optax.sgd(0.3), "flat": lambda: optax.flatten(rprop())})
def test_any_optimizer_will_do(make):
    result = streaming_fit(loss_fn, START, BATCHES, optimizer=make(), max_steps=100)
    assert result.loss < 0.11


def test_what_is_no_stream_is_refused():
    with raises(
        TypeError,
        "streaming_fit: batches must give all of the data at every pass, got a "
        "generator, which is used up after one. Pass a list, a loader, or a function "
        "that returns a new generator.",
    ):
        streaming_fit(loss_fn, START, batches())
    for wrong, kind in (({"x": X}, "dict"), (3, "int"), (None, "NoneType")):
        with raises(
            TypeError,
            "streaming_fit: batches must be an iterable of batches or a function that "
            f"returns one, got {kind}. Wrap a single batch in a list.",
        ):
            streaming_fit(loss_fn, START, wrong)
    with raises(ValueError, "streaming_fit: batches must yield at least one batch, got "):
        streaming_fit(loss_fn, START, [])
    with raises(ValueError, "streaming_fit: batch must have one leading size, got 5 in "):
        streaming_fit(loss_fn, START, [(X[:5], Y[:4])])


def test_wrong_arguments_are_refused_by_its_name():
    for settings, kind, message in (
        (
            {"lr": 1},
            TypeError,
            "every keyword must name an argument of streaming_fit, got lr. Data goes by "
            "position, streaming_fit(loss_fn, params, batches); settings of Rprop go "
            "into optimizer=rprop(...).",
        ),
        ({"max_steps": 0}, ValueError, "max_steps must be at least 1, got 0. "),
        ({"step_tol": -1}, ValueError, "step_tol must be positive, got -1. "),
        (
            {"step_tol": 1e-13},
            ValueError,
            "step_tol must be at least min_step_size, got ",
        ),
        ({"patience": 0}, ValueError, "patience must be at least 1, got 0. "),
        ({"rtol": 2}, ValueError, "rtol must be at least 0 and less than 1, got 2. "),
        ({"target_loss": "0"}, TypeError, "target_loss must be a real number, got str."),
        ({"progress": 3}, TypeError, "progress must be True, False, 'always' or a "),
        ({"history": 3}, TypeError, "history must be True or False, got int. "),
        ({"optimizer": 3}, TypeError, "optimizer must be an Optax transformation, got "),
        ({"resume": 3}, TypeError, "resume must be a FitState, got int. "),
    ):
        with raises(kind, f"streaming_fit: {message}"):
            streaming_fit(loss_fn, START, BATCHES, **settings)
    with raises(TypeError, "streaming_fit: loss_fn must be a function, got int. "):
        streaming_fit(3, START, BATCHES)
    with raises(ValueError, "streaming_fit: params must hold at least one array, got "):
        streaming_fit(loss_fn, {}, BATCHES)
    with raises(TypeError, "streaming_fit: every parameter must be a floating-point or "):
        streaming_fit(loss_fn, {"w": jnp.arange(3), "b": jnp.zeros(())}, BATCHES)
    with raises(TypeError, "streaming_fit: loss_fn must return a real floating-point "):
        streaming_fit(lambda p, x, y: 3, START, BATCHES)
    other = fit(lambda p: p**2, jnp.array(1.0), max_steps=1).last
    with raises(ValueError, "streaming_fit: resume must have the structure, shapes and "):
        streaming_fit(loss_fn, START, BATCHES, resume=other)


def test_inside_jit_it_is_refused():
    with raises(
        TypeError,
        "streaming_fit: params must have values, got traced ones. A stream is read on "
        "the host; inside jax.jit use fit with microbatch_size.",
    ):
        jax.jit(lambda p: streaming_fit(loss_fn, p, BATCHES).loss)(START)


def test_a_start_outside_of_a_box_is_refused():
    with raises(
        ValueError,
        "streaming_fit: every parameter must start inside its bounds, got 0 below its ",
    ):
        streaming_fit(loss_fn, START, BATCHES, optimizer=in_box(rprop(), 0.5, 1.0))
