"""What results, histories and states print."""

import jax
import jax.numpy as jnp
import numpy as np

from optax_rprop import fit, in_eigenbasis, rprop, rprop_8bit


def square(params):
    return sum(jnp.sum(p**2) for p in jax.tree.leaves(params))


FLOAT = jnp.result_type(float)  # with x64 float64
START = {"w": jnp.full((2, 3), 0.5), "b": jnp.zeros(())}


def test_a_result():
    result = fit(square, START, target_loss=0.1)
    first, last = result.history.step_size_mean[[0, result.num_steps - 1]]
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
        name: f"{series[0]:.4g} -> {series[4]:.4g}"
        for name, series in result.history._asdict().items()
    }
    assert repr(result.history).split("\n  ") == [
        "FitHistory of 5 steps",
        f"loss            {ends['loss']}",
        f"step_size_mean  {ends['step_size_mean']}",
        f"step_size_max   {ends['step_size_max']}",
        f"flip_fraction   {ends['flip_fraction']}",
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
        for mapped in (np.shape, lambda x: None, lambda x: "text", lambda x: [x]):
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
