"""Small arrays as one vector: each array of its own costs kernels and compile time."""

from typing import Any

import jax
import jax.numpy as jnp

from optax_rprop._leaf import is_on_an_axis

# No vector is longer, since it is a copy; on a large model the kernels don't matter.
LONGEST = 2**20


def joined(
    leaves: list[tuple[Any, ...]], together: bool = True
) -> list[tuple[tuple[Any, ...], bool]]:
    """The leaves, each of some arrays of one shape, with all small ones as one.

    And whether each is such a one; its arrays are vectors. Leaves of other dtypes, those
    that would make a vector too long, and those that lie on an explicit mesh axis are not
    joined with the rest; none are unless ``together``.
    """
    groups: dict[Any, list[tuple[Any, ...]]] = {}
    lengths: dict[Any, int] = {}
    for index, leaf in enumerate(leaves):
        kind: Any = tuple(x.dtype for x in leaf)
        length = lengths.get(kind, 0) + leaf[0].size
        if not together or length > LONGEST or any(map(is_on_an_axis, leaf)):
            kind = index
        else:
            lengths[kind] = length
        groups.setdefault(kind, []).append(leaf)
    return [
        (tuple(map(_vector, zip(*group, strict=True))), True)
        if len(group) > 1
        else (group[0], False)
        for group in groups.values()
    ]


def _vector(arrays: tuple[jax.Array, ...]) -> jax.Array:
    return jnp.concatenate([array.ravel() for array in arrays])
