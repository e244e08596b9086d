"""A step size and a sign in one byte, and a step of the rule on a leaf of such codes.

A step size only ever moves by two fixed factors, so on a grid it needs no rounding. The
grid has four steps an octave, with the mantissas 1, 1.25, 1.5 and 1.75: to grow is one
step up (by 1.25, 1.2, 1.167 or 1.143, on average by the fourth root of 2, 1.189), and to
shrink is four steps down, exactly a half. There are 85 levels, 21 octaves, and three
signs: 255 codes.

A float32 whose mantissa is one of these four has only zeros in its last 21 bits, and what
is before them counts the steps of the grid. So a level becomes a step size by a shift.

A code is a level plus 0, 85 or 170 for the remembered sign. 85 and 170 have all of their
bits different: that tells equal signs from opposite ones in one operation on bytes.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from optax_rprop._leaf import coordinates, from_coordinates
from optax_rprop._rule import Variant, above_and_below_zero, rprop_step, where

LEVELS = 85
_PLUS, _MINUS = np.uint8(LEVELS), np.uint8(2 * LEVELS)
_GROW, _SHRINK = np.uint8(1), np.uint8(4)
_SHIFT = 21  # the bits of a float32 that are zero all over the grid


@functools.partial(jax.jit, static_argnames="variant", inline=True)
def step_codes(
    grad: jax.Array,
    code: jax.Array,
    min_step_size: jax.Array,
    highest: jax.Array,
    variant: Variant,
    loss_rose: jax.Array | bool,
    rejected: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    """A leaf's update and codes, as one compiled kernel."""
    level, prev_sign = _level_and_sign(code)
    above, below = above_and_below_zero(coordinates(grad))
    sign = where(above, _PLUS, where(below, _MINUS, np.uint8(0)))
    step = rprop_step(
        sign,
        (sign & prev_sign) != 0,
        (sign | prev_sign) == (_PLUS | _MINUS),
        level,
        lambda level: jnp.minimum(level + _GROW, highest),
        lambda level: jnp.maximum(level, _SHRINK) - _SHRINK,
        variant,
        loss_rose,
        rejected,
    )
    new_code = step.step_size + step.sign
    # Out of the new code, so that the parameters are written without the old one.
    update = _last_step(new_code, min_step_size)
    if step.undo is not None:
        update = where(step.undo, -_last_step(code, min_step_size), update)
    return from_coordinates(update, grad.dtype), new_code


def level_of(
    step_size: jax.typing.ArrayLike, min_step_size: jax.typing.ArrayLike
) -> jax.Array:
    """The level of a step size on the grid; of one outside of it, the nearest."""
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
    return where(code >= _MINUS, minus, where(code >= _PLUS, plus, none))


def _last_step(code: jax.Array, min_step_size: jax.Array) -> jax.Array:
    """What a coordinate of this code has just subtracted from its parameter."""
    size = step_size_of(code, min_step_size)
    return where(code >= _MINUS, -size, where(code >= _PLUS, size, np.float32(0)))


def _level_and_sign(code: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The two parts of a code; the sign is 0, 85 or 170."""
    # Bytes wrap around, so that what would be below 0 is never the least of the three.
    level = jnp.minimum(code, jnp.minimum(code - _PLUS, code - _MINUS))
    return level, code - level


def _steps_from_zero(size: jax.typing.ArrayLike) -> jax.Array:
    """The steps of the grid between ``size`` and the smallest float32."""
    bits = jax.lax.bitcast_convert_type(jnp.asarray(size, jnp.float32), jnp.uint32)
    return bits >> _SHIFT
