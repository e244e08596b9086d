"""The scalars of a tree in one array, because each would be computed by a kernel."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax_rprop._leaf import select, varying_axes

_barrier: Any = jax.lax.optimization_barrier


class Packing(NamedTuple):
    """``pack`` makes one array of the scalars in a tree; ``unpack`` undoes it.

    The array holds their bits. A scalar of more than 4 bytes, or an array, stays.
    """

    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]


def packing(like: Any) -> Packing:
    """The packing of trees like this one."""
    leaves = jax.tree.leaves(like)
    structure: Any = jax.tree.structure(like)
    groups: dict[Any, list[int]] = {}  # by what differs inside a jax.shard_map
    for i, leaf in enumerate(leaves):
        if not leaf.ndim and leaf.dtype in (jnp.int32, jnp.bool_, jnp.float32):
            groups.setdefault(varying_axes(leaf), []).append(i)
    packed = {i for group in groups.values() for i in group}
    others = [i for i in range(len(leaves)) if i not in packed]

    def pack(tree: Any) -> Any:
        leaves = jax.tree.leaves(tree)
        return [leaves[i] for i in others], [
            vector([_bits(leaves[i]) for i in group]) for group in groups.values()
        ]

    def unpack(packed: Any) -> Any:
        found = dict(zip(others, packed[0], strict=True))
        for group, bits in zip(groups.values(), packed[1], strict=True):
            found |= {i: _of_bits(bits[k], leaves[i].dtype) for k, i in enumerate(group)}
        return structure.unflatten(found[i] for i in range(len(leaves)))

    return Packing(pack, unpack)


def in_one_kernel(function: Callable[..., Any], always: jax.Array, *operands: Any) -> Any:
    """``function(*operands)``, all of it computed before any of it is used.

    Else XLA computes a scalar anew in every kernel that uses it. An accelerator respects
    a barrier. XLA's CPU backend does not, so there it is a conditional. ``always`` has to
    hold in a way that XLA can't know.
    """

    def by_conditional(*operands: Any) -> Any:
        def never(*operands: Any) -> Any:
            shapes = jax.eval_shape(function, *operands)
            return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

        return jax.lax.cond(always, function, never, *operands)

    def by_barrier(*operands: Any) -> Any:
        return _barrier(function(*operands))

    if any(map(varying_axes, jax.tree.leaves(operands))):
        return function(*operands)  # jax 0.10 fails under vmap inside shard_map
    return jax.lax.platform_dependent(*operands, cpu=by_conditional, default=by_barrier)


def written_first(tree: Any) -> Any:
    """The tree, with its arrays written before anything is computed from them."""
    leaves = jax.tree.leaves(tree)
    structure: Any = jax.tree.structure(tree)
    arrays = {i: leaf for i, leaf in enumerate(leaves) if leaf.ndim}
    arrays = _barrier(arrays)
    return structure.unflatten(arrays.get(i, leaf) for i, leaf in enumerate(leaves))


def vector(scalars: list[jax.Array]) -> jax.Array:
    """The scalars, all of one dtype, as one array.

    XLA's CPU backend takes a kernel for every entry that it concatenates, and one for all
    that it selects.
    """
    if any(map(varying_axes, scalars)):
        return jnp.stack(scalars)  # to select fails under vmap inside shard_map
    index = jax.lax.iota(np.int32, len(scalars))
    entries = jnp.broadcast_to(scalars[0], len(scalars))
    for i, scalar in enumerate(scalars[1:], 1):
        entries = select(index == i, scalar, entries)
    return entries


def _bits(x: jax.Array) -> jax.Array:
    if x.dtype == jnp.float32:
        return jax.lax.bitcast_convert_type(x, jnp.int32)
    return x.astype(jnp.int32)


def _of_bits(bits: jax.Array, dtype: Any) -> jax.Array:
    if dtype == jnp.float32:
        return jax.lax.bitcast_convert_type(bits, dtype)
    return bits.astype(dtype)
