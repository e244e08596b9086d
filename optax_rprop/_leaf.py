"""The rule on one leaf: its real coordinates, and a step as one compiled kernel."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax_rprop._rule import (
    Variant,
    above_and_below_zero,
    rprop_step,
    sign_of,
    where,
)


def coordinates(x: jax.Array) -> jax.Array:
    """The independent real coordinates of a leaf: a complex one has two an entry."""
    if jnp.iscomplexobj(x):
        # A last axis, so that a sharding of the parameter fits its state as well.
        return jnp.stack([x.real, x.imag], axis=-1)
    return x


def from_coordinates(x: jax.Array, dtype: Any) -> jax.Array:
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return jax.lax.complex(x[..., 0], x[..., 1]).astype(dtype)
    return x.astype(dtype)


def coordinates_like(params: Any, fill_value: Any, dtype: Any) -> Any:
    """A tree of ``fill_value`` for every coordinate, sharded like the parameters."""

    def leaf(param: Any) -> jax.Array:
        filled = jnp.full_like(param, fill_value, dtype(jnp.result_type(param)))
        if filled is fill_value:  # a scalar out of an array: else leaves share a buffer
            filled = jnp.copy(filled)
        if jnp.issubdtype(jnp.result_type(param), jnp.complexfloating):
            return jnp.stack([filled, filled], axis=-1)
        return filled

    return jax.tree.map(leaf, params)


class Hyperparameters(NamedTuple):
    """The numbers of the rule, scalars."""

    eta_minus: jax.typing.ArrayLike
    eta_plus: jax.typing.ArrayLike
    min_step_size: jax.typing.ArrayLike
    max_step_size: jax.typing.ArrayLike


@functools.partial(jax.jit, static_argnames="variant", inline=True)
def step_leaf(
    grad: jax.Array,
    step_size: jax.Array,
    prev_sign: jax.Array,
    hyper: Hyperparameters,
    variant: Variant,
    loss_rose: jax.Array | bool,
    rejected: jax.Array | None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A leaf's update, step sizes and signs, as one compiled kernel.

    On a CPU three: XLA makes a pass for each output there, each into the memory of the
    old one. The update comes from the new step size and the new sign, so that no pass
    needs what an earlier one has overwritten.
    """
    # In the dtype of the step sizes, so that an array among them promotes nothing.
    eta_minus, eta_plus, smallest, largest = (
        jnp.asarray(number, step_size.dtype) for number in hyper
    )
    # Finite, so that a sign of 0 times a step size is 0.
    largest = jnp.minimum(largest, np.finfo(step_size.dtype).max)
    slope = coordinates(grad)
    # Else XLA gives a product of bfloat16 a pass and a temporary of its own on a CPU.
    slope = slope.astype(np.promote_types(slope.dtype, np.float32))
    # s*p with the size of the gradient. A product of two gradients would underflow.
    kept, changed = above_and_below_zero(slope * prev_sign.astype(slope.dtype))
    step = rprop_step(
        sign_of(slope),
        kept,
        changed,
        step_size,
        lambda size: jnp.minimum(size * eta_plus, largest),
        lambda size: jnp.maximum(size * eta_minus, smallest),
        variant,
        loss_rose,
        rejected,
    )
    new_sign = step.sign
    if step.undo is None:
        new_sign = _written_after(step.step_size, new_sign)
    update = new_sign.astype(step_size.dtype) * step.step_size
    if step.undo is not None:  # out of the old values, of which XLA keeps copies on a CPU
        last_update = prev_sign.astype(step_size.dtype) * step_size
        update = where(step.undo, -last_update, update)
    return from_coordinates(update, grad.dtype), step.step_size, new_sign


def _written_after(step_size: jax.Array, sign: jax.Array) -> jax.Array:
    """``sign``, in a program that can't write it before it has written ``step_size``.

    Both need the old sign. Without an order XLA would keep a copy of it on a CPU, a
    temporary of one byte a parameter. No step size has its sign bit set, but XLA can't
    know that.
    """
    num_bits = 8 * step_size.dtype.itemsize
    bits = jax.lax.bitcast_convert_type(step_size, f"uint{num_bits}")
    return sign | (bits >> (num_bits - 1)).astype(sign.dtype)
