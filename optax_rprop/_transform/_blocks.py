"""Which leaves are turned together: the small ones as one vector, others one by one."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from optax_rprop._leaf import as_dtype, is_on_an_axis, step_size_dtype, varying_like
from optax_rprop._transform._bases import Bases, Basis, new_basis

JOINT_SIZE = 64  # the most coordinates in the joint vector

# The basis of the joint vector, or None; then for every leaf the bases of its axes, which
# are () for a leaf in the joint vector, and None for one that stays as it is.
BasesOfTree = tuple[Any, ...]


class Block(NamedTuple):
    """Leaves that are turned as one array, and the bases of its axes."""

    leaves: tuple[int, ...]  # their positions among all leaves
    bases: Bases
    joint: bool  # whether the array is the vector of all their coordinates


def gather(blocks: Sequence[Block], leaves: Sequence[Any]) -> list[jax.Array]:
    """The array of every block, in the dtype of its bases."""

    def array(block: Block) -> jax.Array:
        dtype = next(basis.moment.dtype for basis in block.bases if basis is not None)
        members = [
            _replicated(_coordinates(jnp.asarray(leaves[i]))).astype(dtype)
            for i in block.leaves
        ]
        if not block.joint:
            return members[0]
        return jnp.concatenate([member.ravel() for member in members])

    return [array(block) for block in blocks]


def scatter(
    blocks: Sequence[Block],
    arrays: Sequence[jax.Array],
    leaves: Sequence[Any],
    dtypes: Sequence[Any],
) -> list[Any]:
    """``leaves``, with the parts of the ``arrays`` in place of those in the blocks.

    These have the ``dtypes``, which there is one of for every leaf.
    """
    replaced = list(leaves)
    for block, array in zip(blocks, arrays, strict=True):
        parts = [array]
        if block.joint:
            sizes = [_num_coordinates(leaves[i]) for i in block.leaves]
            parts = jnp.split(array, np.cumsum(sizes)[:-1])
        for i, part in zip(block.leaves, parts, strict=True):
            part = part.reshape(_shape_of_coordinates(leaves[i]))
            leaf = _from_coordinates(part, dtypes[i])
            replaced[i] = _placed_like(leaves[i], leaf)
    return replaced


def new_bases(leaves: Sequence[Any], max_size: int) -> BasesOfTree:
    """The bases of a tree with these leaves: its axes as they are."""
    joint = _joint(leaves, max_size)
    members = [leaves[i] for i in joint]
    size = sum(_num_coordinates(leaf) for leaf in members)
    return (
        _new_basis(size, members, max_size),
        *(
            () if i in joint else _bases_of_leaf(leaf, max_size)
            for i, leaf in enumerate(leaves)
        ),
    )


def blocks_of(bases: BasesOfTree) -> list[Block]:
    """What is turned, given the bases of the tree."""
    if not bases:
        return []
    joint, *of_leaves = bases
    blocks = [
        Block((i,), of_leaf, joint=False)
        for i, of_leaf in enumerate(of_leaves)
        if of_leaf
    ]
    if joint is not None:
        members = (i for i, of_leaf in enumerate(of_leaves) if of_leaf == ())
        blocks.append(Block(tuple(members), (joint,), joint=True))
    return blocks


def bases_of(blocks: Sequence[Block], like: BasesOfTree) -> BasesOfTree:
    """The bases of the tree, given those of its blocks; the inverse of ``blocks_of``."""
    bases = list(like)
    for block in blocks:
        if block.joint:
            (bases[0],) = block.bases
        else:
            bases[1 + block.leaves[0]] = tuple(block.bases)
    return tuple(bases)


def _joint(leaves: Sequence[Any], max_size: int) -> set[int]:
    """Scalars and vectors, the smallest first, as many as fit into one vector.

    The time for its basis grows with the third power of its size.
    """
    small = [
        (_num_coordinates(leaf), i) for i, leaf in enumerate(leaves) if np.ndim(leaf) < 2
    ]
    total, joint = 0, set()
    for size, i in sorted(small):
        total += size
        if size and total <= min(max_size, JOINT_SIZE):
            joint.add(i)
    return joint


def _bases_of_leaf(leaf: Any, max_size: int) -> tuple[Basis | None, ...] | None:
    if not _num_coordinates(leaf):
        return None
    bases = tuple(_new_basis(n, [leaf], max_size) for n in _shape_of_coordinates(leaf))
    return bases if any(basis is not None for basis in bases) else None


def _new_basis(size: int, leaves: Sequence[Any], max_size: int) -> Basis | None:
    if not 1 < size <= max_size:
        return None
    dtypes = (step_size_dtype(jnp.result_type(leaf)) for leaf in leaves)
    widest = max(dtypes, key=lambda dtype: dtype.itemsize)
    basis: Basis = varying_like(leaves, new_basis(size, widest))
    return basis


def _coordinates(x: jax.Array) -> jax.Array:
    """The coordinates of a leaf; the parts of a complex one form a last axis."""
    return jnp.stack([x.real, x.imag], axis=-1) if jnp.iscomplexobj(x) else x


def _from_coordinates(x: jax.Array, dtype: Any) -> jax.Array:
    """The leaf of this dtype with these coordinates."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return jax.lax.complex(x[..., 0], x[..., 1]).astype(dtype)
    return as_dtype(x, dtype)


def _shape_of_coordinates(leaf: Any) -> tuple[int, ...]:
    return (*np.shape(leaf), 2) if jnp.iscomplexobj(leaf) else np.shape(leaf)


def _num_coordinates(leaf: Any) -> int:
    return math.prod(_shape_of_coordinates(leaf))


def _replicated(array: jax.Array) -> jax.Array:
    """The array on no explicit axis: products along a sharded axis have no type."""
    if not is_on_an_axis(array):
        return array
    nowhere = PartitionSpec()  # type: ignore[no-untyped-call]
    return _on(NamedSharding(jax.typeof(array).sharding.mesh, nowhere), array)


def _placed_like(like: Any, array: jax.Array) -> jax.Array:
    return _on(jax.typeof(like).sharding, array) if is_on_an_axis(like) else array


def _on(sharding: NamedSharding, array: jax.Array) -> jax.Array:
    placed: jax.Array = jax.sharding.reshard(array, sharding)  # type: ignore[no-untyped-call]
    return placed
