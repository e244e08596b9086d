"""Runs that several tests share: a transformation along given gradients."""

import functools

import jax
import jax.numpy as jnp
import optax
import pytest

from optax_rprop import VARIANTS, Rprop8bitState, RpropState, rprop, rprop_8bit

# What makes a transformation: four rules, twice.
every_rule = pytest.mark.parametrize(
    "make",
    [
        pytest.param(functools.partial(factory, variant=variant), id=f"{name}{variant}")
        for name, factory in (("", rprop), ("8bit-", rprop_8bit))
        for variant in VARIANTS
    ],
)

DTYPES = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")


def rprop_state(state):
    """The state of Rprop inside that of a chain or a wrapper, decoded if it is 8-bit."""

    def is_rprop(state):
        return isinstance(state, RpropState | Rprop8bitState)

    (found,) = filter(is_rprop, jax.tree.leaves(state, is_leaf=is_rprop))
    return found.decode() if isinstance(found, Rprop8bitState) else found


def trajectory(tx, gradients, values=None):
    """Updates and states of every step: trees of arrays with a leading axis of steps."""
    first = jax.tree.map(lambda gradient: gradient[0], gradients)
    return _trajectory(tx, gradients, values, tx.init(first))


@functools.partial(jax.jit, static_argnums=0)
def _trajectory(tx, gradients, values, state):
    def step(state, inputs):
        gradient, value = inputs
        extra = {} if value is None else {"value": value}
        updates, state = tx.update(gradient, state, **extra)
        return state, (updates, rprop_state(state))

    return jax.lax.scan(step, state, (gradients, values))[1]


def quadratic(dtype="float32"):
    """A badly scaled bowl with its minimum away from 0; its start and its gradient."""
    scale = jnp.asarray([1.0, 30.0, 0.1], dtype)
    target = jnp.asarray([1.0, -2.0, 0.5], dtype)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        target = target * jnp.asarray(1 - 1j, dtype)

    def loss(params):
        distance = params - target
        return jnp.sum(scale.real * (distance * distance.conj()).real)

    return jnp.zeros(3, dtype), target, loss


def descend(tx, loss, params, num_steps, with_value=True):
    """The parameters after each of ``num_steps`` compiled steps, and the last state."""
    tx = optax.with_extra_args_support(tx)

    def step(carry, _):
        params, state = carry
        value, gradient = jax.value_and_grad(loss)(params)
        # JAX's gradient of a complex parameter is the conjugate of the direction up.
        gradient = jax.tree.map(jnp.conj, gradient)
        extra = {"value": value} if with_value else {}
        updates, state = tx.update(gradient, state, params, **extra)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    run = jax.jit(lambda carry: jax.lax.scan(step, carry, length=num_steps))
    (_, state), path = run((params, tx.init(params)))
    return path, state
