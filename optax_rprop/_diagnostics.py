"""What the step sizes say of a fit: read from Rprop's state, wherever it is nested."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax_rprop._eight_bit import Rprop8bitState
from optax_rprop._leaf import coordinates
from optax_rprop._transform import RpropState


class Diagnostics(NamedTuple):
    """Scalars over all coordinates of one step; float32."""

    step_size_mean: jax.Array  # geometric, after the step
    step_size_max: jax.Array
    furthest_step: jax.Array  # the largest among those whose gradient is not 0
    flip_fraction: jax.Array  # of coordinates whose gradient changed its sign


def rprop_states(opt_state: Any) -> list[RpropState]:
    """Every state of Rprop in that of a chain, of groups or of a wrapper, decoded."""

    def is_rprop(state: Any) -> bool:
        return isinstance(state, RpropState | Rprop8bitState)

    found = filter(is_rprop, jax.tree.leaves(opt_state, is_leaf=is_rprop))
    return [s.decode() if isinstance(s, Rprop8bitState) else s for s in found]


def diagnose(grads: Any, before: Any, after: Any) -> Diagnostics:
    """The diagnostics of a step from the optimizer's state ``before`` to ``after``."""
    grad_at = dict(jax.tree.leaves_with_path(grads))
    leaves = [
        # A wrapper that reshapes the tree hides the gradients: then each counts as not 0.
        (coordinates(grad_at.get(path, jnp.ones(()))), size, old_sign, new_sign)
        for old, new in zip(rprop_states(before), rprop_states(after), strict=True)
        for (path, size), old_sign, new_sign in zip(
            jax.tree.leaves_with_path(new.step_sizes),
            jax.tree.leaves(old.prev_signs),
            jax.tree.leaves(new.prev_signs),
            strict=True,
        )
        if size.size
    ]
    count = sum(size.size for _, size, _, _ in leaves)
    mean = step_size_mean(after)
    assert mean is not None
    largest = [jnp.max(size) for _, size, _, _ in leaves]
    furthest = [jnp.max(jnp.where(grad != 0, size, 0.0)) for grad, size, _, _ in leaves]
    flips = [
        # A gradient of 0 or NaN forgets the sign without a change of it.
        jnp.sum((old != 0) & (new != old) & (jnp.abs(grad) > 0))
        for grad, _, old, new in leaves
    ]
    return Diagnostics(
        step_size_mean=mean,
        step_size_max=jnp.max(_stack(largest)),
        furthest_step=jnp.max(_stack(furthest)),
        flip_fraction=_total(flips) / count,
    )


def step_size_mean(opt_state: Any) -> jax.Array | None:
    """The geometric mean of all step sizes; None where there are none."""
    sizes = [
        size
        for state in rprop_states(opt_state)
        for size in jax.tree.leaves(state.step_sizes)
    ]
    count = sum(size.size for size in sizes)
    return (
        jnp.exp(_total([jnp.sum(jnp.log(s)) for s in sizes]) / count) if count else None
    )


def _stack(scalars: list[jax.Array]) -> jax.Array:
    return jnp.stack([scalar.astype(jnp.float32) for scalar in scalars])


def _total(scalars: list[jax.Array]) -> jax.Array:
    return jnp.sum(_stack(scalars))
