"""The counts of a loop's carry in few arrays, because each is written by a kernel."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def packing(like: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """``pack`` stacks the counts and flags in trees like this one; ``unpack`` undoes it.

    A small problem is bound by the number of its kernels, on a CPU and on a GPU. A scalar
    that is no count stays, where it is a result of its own.
    """
    leaves = jax.tree.leaves(like)
    structure: Any = jax.tree.structure(like)
    groups: dict[Any, list[int]] = {}  # by the type of the scalar
    for i, leaf in enumerate(leaves):
        if not leaf.ndim and leaf.dtype in (jnp.int32, jnp.bool_):
            groups.setdefault(jax.typeof(leaf), []).append(i)
    counts = {i for group in groups.values() for i in group}
    others = [i for i in range(len(leaves)) if i not in counts]

    def pack(tree: Any) -> Any:
        leaves = jax.tree.leaves(tree)
        stacked = [jnp.stack([leaves[i] for i in group]) for group in groups.values()]
        return [leaves[i] for i in others], stacked

    def unpack(packed: Any) -> Any:
        found = dict(zip(others, packed[0], strict=True))
        for group, stacked in zip(groups.values(), packed[1], strict=True):
            found |= {i: stacked[k] for k, i in enumerate(group)}
        return structure.unflatten(found[i] for i in range(len(leaves)))

    return pack, unpack
