"""Bounds of parameters: where they are, and moves that end at them."""

from __future__ import annotations  # so that a signature is short

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop._leaf import finfo
from optax_rprop._transform import _box_checks


class BoxState(NamedTuple):
    """All that :func:`in_box` remembers between two updates.

    It takes 5 bytes per float32 parameter, plus the state of the wrapped transformation.
    The bounds are not part of it.

    Attributes:
        held: A tree like the parameters, int8: -1 where the last update held a coordinate
            at its lower bound, 1 where it held one at its upper bound, else 0. In a new
            state, -1 where the start lies below the bounds, and 1 where it lies above.
        last_moves: A tree like the parameters: by how much the last update moved each of
            them, after the cut at the bounds; 0 where it took back an earlier move.
            Float32, or the dtype of the parameter if that is wider.
        inner_state: The state of the wrapped transformation.
    """

    held: optax.Params
    last_moves: optax.Params
    inner_state: optax.OptState


class Bounds(NamedTuple):
    """The bounds of coordinates, in their dtype: scalars, or arrays of their shape."""

    lower: Any
    upper: Any


def bounds_of(caller: str, params: Any, lower: Any, upper: Any) -> list[Bounds]:
    """The bounds of all coordinates, infinite where there are none."""
    found = []
    leaves = jax.tree.leaves_with_path(params)
    sides = (
        _box_checks.bound_by_leaf(caller, name, bound, none, params)
        for name, bound, none in (("lower", lower, -np.inf), ("upper", upper, np.inf))
    )
    for (path, leaf), low, high in zip(leaves, *sides, strict=True):
        _box_checks.bounds_of_leaf(caller, path, leaf, low, high)
        real = finfo(jnp.result_type(leaf)).dtype
        bounds = Bounds(jnp.asarray(low, real), jnp.asarray(high, real))
        found += [bounds, bounds] if jnp.iscomplexobj(leaf) else [bounds]
    return found


def side_outside(param: jax.Array, bounds: Bounds) -> jax.Array:
    """-1 where the parameter is below its bounds, 1 where above, else 0; int8."""
    return _side(param < bounds.lower, param > bounds.upper)


def side_held(param: jax.Array, grad: jax.Array, bounds: Bounds) -> jax.Array:
    """-1 where it would go down from its lower bound, 1 where up from its upper."""
    goes_down, goes_up = grad > 0, grad < 0
    return _side((param <= bounds.lower) & goes_down, (param >= bounds.upper) & goes_up)


def cut(param: jax.Array, move: jax.Array, bounds: Bounds) -> jax.Array:
    """The move; where it would end outside the bounds, one that ends at them.

    A move that stays inside is not changed by one bit. Where the difference to the bound
    can't be held exactly, the move ends next to it, inside.
    """
    wide = np.promote_types(np.promote_types(param.dtype, move.dtype), np.float32)
    start, (lower, upper) = param.astype(wide), (b.astype(wide) for b in bounds)
    end = start + move.astype(wide)
    below, above = end < lower, end > upper
    short = _rounded(jnp.where(below, lower, upper) - start, move.dtype)
    # Rounding to nearest keeps the order, so one unit in the last place is enough.
    end = start + short
    inwards = (below & (end < lower)).astype(wide) - (above & (end > upper)).astype(wide)
    nudge = inwards * jnp.abs(short) * finfo(move.dtype).eps.astype(wide)
    short = _rounded(short + nudge, move.dtype)
    return jnp.where(below | above, short.astype(move.dtype), move)


def _side(below: jax.Array, above: jax.Array) -> jax.Array:
    return above.astype(np.int8) - below.astype(np.int8)


def _rounded(x: jax.Array, dtype: Any) -> jax.Array:
    """``x`` as ``dtype`` holds it; XLA may leave out a cast and another back."""
    precision = finfo(dtype)
    return jax.lax.reduce_precision(x, precision.nexp, precision.nmant)
