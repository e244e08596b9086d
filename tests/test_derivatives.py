"""Derivatives through a fixed number of updates: what has one, and what has none."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import raises

from optax_rprop import in_box, in_eigenbasis, rprop, rprop_8bit

START = jnp.asarray([1.027, -1.013, 2.019], "float32")
DATA = jnp.asarray([1.613, -0.587, 3.041], "float32")


def end(make, start, data, num_steps=9):
    """Where so many updates lead; signs change on the way."""
    tx = make()

    def loss(params):
        return jnp.sum((params - data) ** 2) + 0.5 * jnp.sum(params) ** 2

    def step(carry, _):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = tx.update(grads, state, params, value=value)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=num_steps)
    return params


def slope(function, x, small=1e-3):
    return (function(x + small) - function(x - small)) / (2 * small)


@pytest.mark.parametrize("jacobian", [jax.jacrev, jax.jacfwd])
def test_the_start_and_the_settings_have_a_derivative(jacobian):
    functions = {
        "learning_rate": (lambda x: end(lambda: rprop(x), START, DATA), 0.13),
        "eta_minus": (lambda x: end(lambda: rprop(eta_minus=x), START, DATA), 0.5),
        "eta_plus": (lambda x: end(lambda: rprop(eta_plus=x), START, DATA), 1.2),
        "start": (lambda x: end(rprop, START + x, DATA), 0.0),
        "upper": (lambda x: end(lambda: in_box(rprop(), None, x), START, DATA), 2.05),
    }
    for name, (function, x) in functions.items():
        derivative = jax.jit(jacobian(function))(jnp.asarray(x, "float32"))
        assert np.any(derivative), name
        np.testing.assert_allclose(
            derivative, slope(jax.jit(function), x), atol=2e-3, err_msg=name
        )


@pytest.mark.parametrize("jacobian", [jax.jacrev, jax.jacfwd])
@pytest.mark.parametrize(
    "make",
    [
        rprop,
        functools.partial(rprop, variant="irprop+"),
        rprop_8bit,
        lambda: in_box(rprop(), -2.0, 2.0),
        lambda: in_eigenbasis(rprop()),
    ],
)
def test_the_data_has_none(make, jacobian):
    """Only signs count, which small changes of the data leave as they are."""
    derivative = jax.jit(jacobian(lambda data: end(make, START, data)))(DATA)
    np.testing.assert_array_equal(derivative, 0)


def test_on_the_grid_settings_have_none():
    with raises(TypeError, "rprop_8bit: learning_rate and the bounds must not be diff"):
        jax.grad(lambda x: jnp.sum(end(lambda: rprop_8bit(x), START, DATA)))(0.1)
