"""The scalars of a tree in one array, because each would be computed by a kernel."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax_rprop._leaf import select, varying_axes

_barrier: Any = jax.lax.optimization_barrier


class Layout(NamedTuple):
    """How a tree of scalars lies in a :class:`Packed`; it is static."""

    structure: Any
    dtypes: tuple[Any, ...]  # of the leaves
    groups: tuple[tuple[int, ...], ...]  # the leaves that share a vector


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Packed:
    """A tree of scalars as few arrays that hold their bits, and how to read them.

    A scalar of more than 4 bytes, or an array, stays as it is.
    """

    vectors: list[Any]
    others: list[Any]
    layout: Layout = dataclasses.field(metadata={"static": True})


def layout_of(tree: Any) -> Layout:
    """The layout for trees like this one."""
    leaves = jax.tree.leaves(tree)
    groups: dict[Any, list[int]] = {}  # by what differs inside a jax.shard_map
    for i, leaf in enumerate(leaves):
        if not leaf.ndim and leaf.dtype in (jnp.int32, jnp.bool_, jnp.float32):
            groups.setdefault(varying_axes(leaf), []).append(i)
    return Layout(
        structure=jax.tree.structure(tree),
        dtypes=tuple(leaf.dtype for leaf in leaves),
        groups=tuple(map(tuple, groups.values())),
    )


def pack(tree: Any, layout: Layout) -> Packed:
    """The tree in the layout, which is that of a tree like it."""
    leaves = jax.tree.leaves(tree)
    packed = set(itertools.chain(*layout.groups))
    return Packed(
        vectors=[vector([_bits(leaves[i]) for i in group]) for group in layout.groups],
        others=[leaf for i, leaf in enumerate(leaves) if i not in packed],
        layout=layout,
    )


def unpack(packed: Packed) -> Any:
    """The tree that was packed; of NumPy's arrays if they are packed in NumPy's."""
    structure, dtypes, groups = packed.layout
    found = {
        i: _of_bits(bits[k : k + 1], dtypes[i]).reshape(())
        for group, bits in zip(groups, packed.vectors, strict=True)
        for k, i in enumerate(group)
    }
    others = iter(packed.others)
    leaves = [found[i] if i in found else next(others) for i in range(len(dtypes))]
    return structure.unflatten(leaves)


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


def _of_bits(bits: Any, dtype: Any) -> Any:
    if dtype != jnp.float32:
        return bits.astype(dtype)
    if isinstance(bits, np.ndarray):
        return bits.view(dtype)
    return jax.lax.bitcast_convert_type(bits, dtype)
