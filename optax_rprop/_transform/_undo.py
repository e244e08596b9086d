"""Which moves take an earlier one back, wherever Rprop's state is nested."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optax_rprop._leaf import split
from optax_rprop._transform._state import rprop_states


def is_undone(moves: Any, state: Any) -> list[jax.Array]:
    """Where a move goes back, for every array of its coordinates.

    In every rule of Rprop, a coordinate that remembers no sign has not taken a step. So
    if it moves, it goes back. ``state`` is the one after the move.
    """
    parts = jax.tree.leaves_with_path(split(moves))
    signs = {
        path: sign
        for rprop in rprop_states(state)
        for path, sign in jax.tree.leaves_with_path(rprop.prev_signs)
    }
    sizes = [np.size(move) for _, move in parts]
    flat = signs.get(())
    if flat is not None and flat.shape == (sum(sizes),):  # inside optax.flatten
        pieces = jnp.split(flat, np.cumsum(sizes)[:-1])
        signs = {
            path: piece.reshape(np.shape(move))
            for (path, move), piece in zip(parts, pieces, strict=True)
        }

    def of_leaf(path: Any, move: Any) -> jax.Array:
        sign, shape = signs.get(path), np.shape(move)
        if sign is None or sign.shape != shape:
            return jnp.zeros(shape, bool)
        undone: jax.Array = (sign == 0) & (move != 0)
        return undone

    return [of_leaf(path, move) for path, move in parts]
