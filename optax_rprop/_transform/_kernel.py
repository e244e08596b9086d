"""A step of the rule on one leaf of step sizes and signs, as one compiled kernel."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax_rprop._leaf import (
    above_and_below_zero,
    as_dtype,
    select,
    sign_of,
)
from optax_rprop._rule import OnSignChange, rprop_step, take_back


class Hyperparameters(NamedTuple):
    """The numbers of the rule, scalars."""

    eta_minus: jax.typing.ArrayLike
    eta_plus: jax.typing.ArrayLike
    min_step_size: jax.typing.ArrayLike
    max_step_size: jax.typing.ArrayLike


@functools.partial(jax.jit, static_argnames="rule", inline=True)
def step_leaf(
    grad: jax.Array,
    step_size: jax.Array,
    prev_sign: jax.Array,
    hyper: Hyperparameters,
    rule: OnSignChange,
    loss_rose: jax.Array | bool,
    rejected: jax.Array | None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A leaf's update (up the gradient), step sizes and signs.

    An accelerator runs it as one kernel. XLA's CPU backend makes one pass per output,
    each in place, so the update is computed from the new step size and the new sign: no
    pass reads a buffer that an earlier one has overwritten.
    """
    # Cast to the dtype of the step sizes, so that an array among them promotes nothing.
    eta_minus, eta_plus, smallest, largest = (
        jnp.asarray(number, step_size.dtype) for number in hyper
    )
    limits = np.finfo(step_size.dtype)
    smallest = jnp.maximum(smallest, limits.tiny)  # a step size of 0 could never grow
    largest = jnp.minimum(largest, limits.max)  # 0 times inf would be NaN
    grad_dtype = grad.dtype
    # Multiply in float32: XLA's CPU backend would compute a bfloat16 product in a pass of
    # its own, into a buffer.
    grad = grad.astype(np.promote_types(grad.dtype, np.float32))
    # g*p has the sign of s*p. A product of two gradients would underflow.
    same_sign, opposite_sign = above_and_below_zero(grad * prev_sign.astype(grad.dtype))
    grown = jnp.minimum(step_size * eta_plus, largest)
    shrunk = jnp.maximum(step_size * eta_minus, smallest)

    step = rprop_step(
        sign_of(grad), same_sign, opposite_sign, step_size, grown, shrunk, rule, loss_rose
    )
    if rejected is not None:
        step = take_back(step, shrunk, rejected)

    new_sign = step.sign
    if step.undo is None or rule.step:
        new_sign = _written_after(step.step_size, new_sign)
    # The table in _rule.py moves by -s*D'. Here the update points up the gradient, and
    # scale(-1) in the chain negates it: so it is +s*D', and an undo is -p*D.
    update = new_sign.astype(step_size.dtype) * step.step_size
    if step.undo is not None:  # reads old values, so XLA keeps copies on a CPU
        last_update = prev_sign.astype(step_size.dtype) * step_size
        update = select(step.undo, -last_update, update)
    return as_dtype(update, grad_dtype), step.step_size, new_sign


def _written_after(step_size: jax.Array, sign: jax.Array) -> jax.Array:
    """``sign``, made to depend on ``step_size``, so that XLA writes it second.

    Both read the old sign; without an order XLA's CPU backend copies it, one byte per
    parameter. The dependency changes no value: the sign bit of a step size is 0. There it
    helps only without ``value=``, since an undo reads the old values anyway. A GPU needs
    it for ``rprop-`` with ``value=``: a new sign that does not depend on the old one is
    not written into its place as long as something else reads that.
    """
    num_bits = 8 * step_size.dtype.itemsize
    bits = jax.lax.bitcast_convert_type(step_size, f"uint{num_bits}")
    return sign | (bits >> (num_bits - 1)).astype(sign.dtype)
