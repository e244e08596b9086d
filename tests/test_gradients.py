"""Microbatches: the loss and gradient of the whole, in the memory of a part."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax_rprop import fit, rprop

rng = np.random.default_rng(0)
X = jnp.asarray(rng.normal(size=(30, 4)), "float32")
Y = jnp.asarray(rng.normal(size=30), "float32")
START = jnp.zeros(4, "float32")


def loss_fn(params, data):
    penalty = 0.1 * jnp.sum(params**2)  # without data: counts once, not once a slice
    return jnp.mean((jnp.tanh(data["x"] @ params) - data["y"]) ** 2) + penalty


@pytest.mark.parametrize("variant", ["irprop-", "irprop+"])
@pytest.mark.parametrize("size", [10, 7, 1, 29, 30, 1000])
def test_any_size_gives_the_fit_of_the_whole(size, variant):
    optimizer = rprop(variant=variant)
    data = {"x": X, "y": Y}
    whole = fit(loss_fn, START, data, optimizer=optimizer, max_steps=15)
    parts = fit(
        loss_fn, START, data, optimizer=optimizer, max_steps=15, microbatch_size=size
    )
    np.testing.assert_allclose(parts.history.loss, whole.history.loss, rtol=1e-4)
    np.testing.assert_allclose(parts.params, whole.params, atol=1e-5)
    np.testing.assert_allclose(parts.loss, whole.loss, rtol=1e-5)


def temporary_bytes(num_points, microbatch_size):
    """Of a fit whose intermediate values are 64 times as large as its data."""

    def wide(params, x):
        return jnp.mean(jnp.sum(jnp.tanh(x[:, None] * params[None]), axis=1) ** 2)

    x = jax.ShapeDtypeStruct((num_points,), "float32")
    params = jax.ShapeDtypeStruct((64,), "float32")
    run = jax.jit(
        lambda p, x: fit(wide, p, x, max_steps=3, microbatch_size=microbatch_size).params
    )
    return run.lower(params, x).compile().memory_analysis().temp_size_in_bytes


def test_memory_follows_the_microbatch_and_not_the_data():
    whole = temporary_bytes(100_000, None)
    assert whole > 64 * 4 * 100_000  # the intermediate values are there
    small, large = temporary_bytes(10_000, 1000), temporary_bytes(1_000_000, 1000)
    assert small < whole / 20
    assert large <= 1.1 * small
    uneven = temporary_bytes(1_000_999, 1000)
    assert uneven <= 2.5 * small  # the last slice has a program of its own


def test_complex_parameters_in_microbatches():
    target = jnp.asarray([1 - 2j, 0.5j], "complex64")

    def loss(params, weights):
        distance = jnp.abs(params - target) ** 2
        return jnp.mean(weights[:, None] * distance[None])

    result = fit(
        loss,
        jnp.zeros(2, "complex64"),
        jnp.ones(7, "float32"),
        microbatch_size=3,
        step_tol=1e-4,
    )
    np.testing.assert_allclose(result.params, target, atol=1e-3)
