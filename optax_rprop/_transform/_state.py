"""Rprop's states, wherever they are nested in that of a chain or a wrapper."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from optax_rprop._leaf import merged, split
from optax_rprop._transform._arrays import RpropState
from optax_rprop._transform._codes import LEVELS
from optax_rprop._transform._eight_bit import Rprop8bitState

RPROP = RpropState | Rprop8bitState


def is_rprop(state: Any) -> bool:
    return isinstance(state, RPROP)


def nodes(state: Any, kind: Any) -> list[Any]:
    """Every node of the tree ``state`` that is of a ``kind``, outermost alone."""

    def is_node(node: Any) -> bool:
        return isinstance(node, kind)

    return list(filter(is_node, jax.tree.leaves(state, is_leaf=is_node)))


def rprop_states(opt_state: Any) -> list[RpropState]:
    """Every state of Rprop in ``opt_state`` that has step sizes, decoded."""
    found = nodes(opt_state, RPROP)
    decoded = (s.decode() if isinstance(s, Rprop8bitState) else s for s in found)
    return [s for s in decoded if any(d.size for d in jax.tree.leaves(s.step_sizes))]


def smallest_step_size(
    optimizer: optax.GradientTransformationExtraArgs, params: Any, opt_state: Any
) -> jax.Array:
    """The least lower bound of Rprop's step sizes; 0 where a wrapper hides it.

    An RpropState does not hold that bound. So all step sizes are set to 0 and shrunk
    once, which clamps them to it.
    """

    def about_to_shrink(state: Any) -> Any:
        if isinstance(state, Rprop8bitState):
            return state._replace(codes=_filled(state.codes, LEVELS))  # level 0, sign 1
        if isinstance(state, RpropState):
            return state._replace(
                step_sizes=_filled(state.step_sizes, 0),
                prev_signs=_filled(state.prev_signs, 1),
            )
        return state

    opt_state = jax.tree.map(about_to_shrink, opt_state, is_leaf=is_rprop)
    grads = merged(jax.tree.map(lambda part: -jnp.ones_like(part), split(params)))
    # Both shrink: a change of sign, and a loss that is not finite, whatever the basis.
    value = jnp.asarray(jnp.nan)
    _, after = optimizer.update(grads, opt_state, params, value=value, grad=grads)
    sizes = [d for s in rprop_states(after) for d in jax.tree.leaves(s.step_sizes)]
    return jnp.min(jnp.stack([jnp.min(d).astype(jnp.float32) for d in sizes if d.size]))


def _filled(tree: Any, value: int) -> Any:
    return jax.tree.map(lambda x: jnp.full_like(x, value), tree)
