"""A step size and a sign in one byte, and a step of the rule on a leaf of them.

A step size only ever changes by two factors, so on a grid it needs no rounding. The grid
has four levels per octave, with the mantissas 1, 1.25, 1.5 and 1.75. A step size grows by
one level (by 1.25, 1.2, 1.167 or 1.143; on average by the fourth root of 2, 1.189) and
shrinks by four, exactly to a half. 85 levels (21 octaves) and three signs make 255 codes.

A float32 whose mantissa is one of these four ends in 21 zero bits, and the bits before
them count the levels. So a shift turns a level into a step size.

A code is a level plus 0, 85 or 170 for the remembered sign. 85 and 170 differ in every
bit, so one operation on bytes tells equal signs from opposite ones.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from optax_rprop._leaf import (
    above_and_below_zero,
    as_dtype,
    select,
)
from optax_rprop._rule import OnSignChange, rprop_step, take_back

LEVELS = 85
_PLUS, _MINUS = np.uint8(LEVELS), np.uint8(2 * LEVELS)
_GROW, _SHRINK = np.uint8(1), np.uint8(4)
_SHIFT = 21  # the last bits of a float32, which are zero everywhere on the grid


@functools.partial(jax.jit, static_argnames="rule", inline=True)
def step_codes(
    grad: jax.Array,
    code: jax.Array,
    min_step_size: jax.Array,
    highest: jax.Array,
    rule: OnSignChange,
    loss_rose: jax.Array | bool,
    rejected: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    """A leaf's update (up the gradient) and codes, as one compiled kernel."""
    level, prev_sign = _level_and_sign(code)
    above, below = above_and_below_zero(grad)
    sign = select(above, _PLUS, select(below, _MINUS, np.uint8(0)))
    same_sign = (sign & prev_sign) != 0
    opposite_sign = (sign | prev_sign) == (_PLUS | _MINUS)
    grown = jnp.minimum(level + _GROW, highest)
    shrunk = jnp.maximum(level, _SHRINK) - _SHRINK

    step = rprop_step(
        sign, same_sign, opposite_sign, level, grown, shrunk, rule, loss_rose
    )
    if rejected is not None:
        step = take_back(step, shrunk, rejected)

    new_code = step.step_size + step.sign
    # Computed from the new code: the pass that writes the parameters needs no old one.
    update = _last_step(new_code, min_step_size)
    if step.undo is not None:
        update = select(step.undo, -_last_step(code, min_step_size), update)
    return as_dtype(update, grad.dtype), new_code


def level_of(
    step_size: jax.typing.ArrayLike, min_step_size: jax.typing.ArrayLike
) -> jax.Array:
    """The level of a step size on the grid; clipped to the grid if it lies outside."""
    size, smallest = map(_steps_from_zero, (step_size, min_step_size))
    level = size.astype(jnp.int32) - smallest.astype(jnp.int32)
    return jnp.clip(level, 0, LEVELS - 1).astype(jnp.uint8)


def step_size_of(code: jax.Array, min_step_size: jax.Array) -> jax.Array:
    """The step size that a code holds; float32."""
    level, _ = _level_and_sign(code)
    bits = (level.astype(jnp.uint32) + _steps_from_zero(min_step_size)) << _SHIFT
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def sign_of_code(code: jax.Array) -> jax.Array:
    """The remembered sign that a code holds; int8."""
    plus, minus, none = np.int8(1), np.int8(-1), np.int8(0)
    return select(code >= _MINUS, minus, select(code >= _PLUS, plus, none))


def _last_step(code: jax.Array, min_step_size: jax.Array) -> jax.Array:
    """What a coordinate with this code has just subtracted from its parameter."""
    size = step_size_of(code, min_step_size)
    return select(code >= _MINUS, -size, select(code >= _PLUS, size, np.float32(0)))


def _level_and_sign(code: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The two parts of a code; the sign is 0, 85 or 170."""
    # uint8 subtraction wraps: a negative difference becomes large, and the smallest of
    # the three is the level.
    level = jnp.minimum(code, jnp.minimum(code - _PLUS, code - _MINUS))
    return level, code - level


def _steps_from_zero(size: jax.typing.ArrayLike) -> jax.Array:
    """The number of grid points between 0 and ``size``."""
    bits = jax.lax.bitcast_convert_type(jnp.asarray(size, jnp.float32), jnp.uint32)
    return bits >> _SHIFT
