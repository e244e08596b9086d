"""The gradients that a state of Rprop saw, wherever it is nested in another state."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optax_rprop._leaf import common_dtype, merged, split
from optax_rprop._transform._arrays import RpropState
from optax_rprop._transform._bounds import BoxState
from optax_rprop._transform._box import free_gradients
from optax_rprop._transform._eigenbasis import EigenbasisState, turned_gradients
from optax_rprop._transform._state import RPROP, nodes, rprop_states
from optax_rprop._transform._units import UnitsState, measured_gradients

# The field of a wrapper's state that is like its gradients; what its Rprop sees of them.
_SEEN: dict[type, tuple[str, Callable[[Any, Any], Any]]] = {
    BoxState: ("held", free_gradients),
    EigenbasisState: ("prev_grads", turned_gradients),
    UnitsState: ("units", measured_gradients),
}


def states_and_gradients(opt_state: Any, grads: Any) -> list[tuple[RpropState, Any]]:
    """The states that ``rprop_states`` finds, in its order, each with what it saw.

    ``grads`` is what the optimizer was given when it made ``opt_state``. What a state saw
    is a tree of coordinates like its step sizes, or None where a wrapper hides it.
    """
    found: list[tuple[RpropState, Any]] = []
    for state in nodes(opt_state, (RPROP, *_SEEN)):
        if type(state) in _SEEN:
            field, see = _SEEN[type(state)]
            seen = _fitting(grads, getattr(state, field))
            seen = None if seen is None else see(state, merged(seen))
            found += states_and_gradients(state.inner_state, seen)
        else:
            found += [(s, _fitting(grads, s.step_sizes)) for s in rprop_states(state)]
    return found


def sees_otherwise(opt_state: Any) -> bool:
    """Whether a wrapper decides what Rprop sees; then only the state after tells."""
    return bool(nodes(opt_state, tuple(_SEEN)))


def _fitting(grads: Any, like: Any) -> Any:
    """The coordinates of the gradients as a tree like ``like``; None if they differ.

    Leaves are left out where a mask does so, and ``optax.flatten`` makes one of all.
    """
    if grads is None:
        return None
    arrays = jax.tree.leaves_with_path(like)
    structure: Any = jax.tree.structure(like)
    grad_at = dict(jax.tree.leaves_with_path(split(grads)))
    in_place = [grad_at.get(path) for path, _ in arrays]
    for candidates in (in_place, jax.tree.leaves(split(_flattened(grads)))):
        if len(candidates) == len(arrays) and all(
            grad is not None and (np.shape(grad) == array.shape or not array.size)
            for grad, (_, array) in zip(candidates, arrays, strict=True)
        ):
            return structure.unflatten(candidates)
    return None


def _flattened(grads: Any) -> jax.Array:
    """The gradients as ``optax.flatten`` passes them on."""
    leaves = jax.tree.leaves(merged(grads))
    dtype = common_dtype(leaf.dtype for leaf in leaves)
    return jnp.concatenate([leaf.ravel().astype(dtype) for leaf in leaves])
