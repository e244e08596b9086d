"""What results, histories and states print."""

import jax
import jax.numpy as jnp
import numpy as np
from helpers import MAPPED, every_variant, raises

from optax_rprop import FitStatus, fit, in_eigenbasis, rprop, rprop_8bit


def square(params):
    return sum(jnp.sum(p**2) for p in jax.tree.leaves(params))


FLOAT = jnp.result_type(float)  # with x64 float64
START = {"w": jnp.full((2, 3), 0.5), "b": jnp.zeros(())}


def test_a_result():
    result = fit(square, START, target_loss=0.1)
    first, last = result.history.step_size_mean[[0, -1]]
    assert result.num_steps == 5
    assert repr(result).split("\n  ") == [
        "FitResult: TARGET_REACHED after 5 steps",
        "The loss is at or below target_loss: done.",
        f"loss        1.5 -> {result.loss:.4g} at the best, after step 4",
        f"gradient    {result.gradient_max:.4g} at most, there",
        f"step sizes  {first:.4g} -> {last:.4g}",
        f"parameters  7 numbers: ['b'] {FLOAT}[], ['w'] {FLOAT}[2,3]",
    ]
    assert str(result) == repr(result)


def test_a_history_and_a_state():
    result = fit(square, START, target_loss=0.1)
    ends = {
        name: f"{series[0]:.4g} -> {series[-1]:.4g}"
        for name, series in result.history._asdict().items()
    }
    assert repr(result.history).split("\n  ") == [
        "FitHistory of 5 steps",
        *(f"{name:16} {shown}" for name, shown in ends.items()),
    ]
    assert repr(result.last).split("\n  ") == [
        "FitState after 5 steps",
        f"best loss   {result.loss:.4g}, after step 4",
        f"parameters  7 numbers: ['b'] {FLOAT}[], ['w'] {FLOAT}[2,3]",
    ]


def test_without_a_history_a_gradient_or_a_finite_loss():
    assert "step sizes" not in repr(fit(square, START, max_steps=1, history=False))
    lines = repr(fit(lambda p: jnp.nan * square(p), START)).split("\n  ")
    assert lines[0] == "FitResult: NONFINITE after 3 steps"
    assert lines[2] == "loss        none was finite"


def test_many_parameters_are_counted():
    params = {f"p{i}": jnp.ones(i + 1) for i in range(9)}
    last = repr(fit(square, params, max_steps=1)).split("\n  ")[-1]
    assert last.startswith(f"parameters  45 numbers: ['p0'] {FLOAT}[1], ")
    assert last.endswith(f"['p5'] {FLOAT}[6], and 3 more")


def test_a_batch_is_one_line():
    def of(start):
        return fit(square, start, target_loss=1e-3, max_steps=20)

    results = jax.vmap(of)(jnp.array([0.0, 0.25, 9.0]))
    assert repr(results) == (
        "FitResult of 3 fits: 2 TARGET_REACHED, 1 MAX_STEPS; best losses from "
        f"{jnp.min(results.loss):.4g} to {jnp.max(results.loss):.4g}"
    )


def test_a_history_from_inside_jit_ends_at_its_last_step():
    result = jax.jit(lambda start: fit(square, start, target_loss=0.1))(START)
    assert result.history.loss.shape == (1000,)
    assert repr(result.history).startswith("FitHistory of 5 steps\n")
    assert repr(result).startswith("FitResult: TARGET_REACHED after 5 steps\n")


def test_what_has_no_values_prints_its_shapes():
    """Tracers, shapes and whatever a tree may be mapped to; nothing of it raises."""
    shapes = jax.eval_shape(lambda start: fit(square, start), START)
    assert repr(shapes).startswith(f"FitResult(params=dict, loss={FLOAT}[], num_steps=")
    assert repr(shapes.last).startswith("FitState(params=dict, opt_state=tuple, ")
    assert repr(shapes.history).startswith(f"FitHistory(loss={FLOAT}[1000], ")

    @jax.jit
    def traced(start):
        assert repr(fit(square, start)).startswith(
            f"FitResult(params=dict, loss={FLOAT}[]"
        )
        return start

    traced(START)
    result = fit(square, START, max_steps=2)
    for tree in (result, result.last, result.history):
        for mapped in MAPPED:
            repr(jax.tree.map(mapped, tree))
    jax.tree.map(lambda x: x.delete(), result.last)
    assert repr(result.last).startswith("FitState(")


def test_every_optimizer_and_dtype_prints():
    for tx in (rprop_8bit(), in_eigenbasis(rprop())):
        for dtype in ("float16", "bfloat16", "complex64"):
            params = {"p": jnp.ones(3, dtype)}
            result = fit(
                lambda p: jnp.sum(jnp.abs(p["p"]) ** 2),
                params,
                optimizer=tx,
                max_steps=2,
            )
            assert "FitResult: MAX_STEPS after 2 steps" in repr(result)
            assert f"3 numbers: ['p'] {dtype}[3]" in repr(result)


def noisy(params, x):
    """The mean over a tenth of the data, another one at every step."""
    key = jax.random.key(jax.lax.bitcast_convert_type(jnp.sum(params), jnp.int32))
    part = jax.random.choice(key, x, (len(x) // 10,))
    return jnp.mean((part - params[None]) ** 2)


POINTS = jax.random.normal(jax.random.key(0), (200, 3), "float32")


@every_variant
def test_noise_is_named_where_there_is_some_and_only_there(variant):
    start, optimizer = jnp.ones(3, "float32"), rprop(variant=variant)
    found = fit(noisy, start, POINTS, optimizer=optimizer, max_steps=100)
    sentence = "The loss goes up and down while the steps are tiny: it looks like noise."
    assert found.advice == (
        f"{found.status.advice} The loss goes up and down while the steps are tiny: it "
        "looks like noise. Fit to all of the data, not to mini-batches of it, and with "
        "the same random keys and points at every step."
    )
    assert repr(found).split("\n  ")[2] == sentence
    assert sentence in found._repr_html_()

    def exact(params, x):
        return jnp.mean((x - params[None]) ** 2)

    for settings in ({"max_steps": 15}, {"max_steps": 30}, {}, {"patience": 1000}):
        whole = fit(exact, start, POINTS, optimizer=optimizer, **settings)
        assert whole.advice == whole.status.advice
        assert "noise" not in repr(whole) + whole._repr_html_()
    unknown = fit(noisy, start, POINTS, max_steps=100, history=False)
    assert unknown.advice == unknown.status.advice


def test_there_is_no_advice_without_values():
    results = jax.vmap(lambda start: fit(square, start, max_steps=2))(jnp.ones((2, 3)))
    with raises(
        TypeError,
        "FitResult.advice: the result must be that of one fit, with values, got a status "
        "of int32[2]. Of a batch, outside jit and vmap, result.best().advice is one.",
    ):
        results.advice  # noqa: B018
    assert results.best().advice == FitStatus.MAX_STEPS.advice


def test_the_spread_is_that_of_the_step_sizes():
    optimizer = rprop({"a": 0.1, "b": jnp.array([1e-3, 1.0])})
    start = {"a": jnp.zeros(2), "b": jnp.zeros(2)}
    result = fit(
        lambda p: jnp.sum((p["a"] - 9) ** 2) + jnp.sum((p["b"] - 9) ** 2),
        start,
        optimizer=optimizer,
        max_steps=1,
    )
    sizes = np.log([0.1, 0.1, 1e-3, 1.0])
    np.testing.assert_allclose(
        result.history.step_size_spread, np.exp(np.std(sizes)), rtol=1e-4
    )
