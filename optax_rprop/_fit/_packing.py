"""All scalars of a loop's carry in a few arrays, because each is written by a kernel."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def packing(like: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """``pack`` stacks the scalars of a type in trees like this one; ``unpack`` undoes it.

    A small problem is bound by the number of its kernels, on a CPU and on a GPU.
    """
    leaves = jax.tree.leaves(like)
    structure: Any = jax.tree.structure(like)
    arrays = [i for i, leaf in enumerate(leaves) if leaf.ndim]
    scalars: dict[Any, list[int]] = {}
    for i, leaf in enumerate(leaves):
        if not leaf.ndim:
            scalars.setdefault(jax.typeof(leaf), []).append(i)

    def pack(tree: Any) -> Any:
        leaves = jax.tree.leaves(tree)
        stacked = [jnp.stack([leaves[i] for i in group]) for group in scalars.values()]
        return [leaves[i] for i in arrays], stacked

    def unpack(packed: Any) -> Any:
        found = dict(zip(arrays, packed[0], strict=True))
        for group, stacked in zip(scalars.values(), packed[1], strict=True):
            found |= {i: stacked[k] for k, i in enumerate(group)}
        return structure.unflatten(found[i] for i in range(len(leaves)))

    return pack, unpack
