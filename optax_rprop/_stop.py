"""When a fit stops: the rules, and which of them was the first to say so."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax_rprop._diagnostics import Diagnostics
from optax_rprop._result import FitState, FitStatus


class Rules(NamedTuple):
    """When to stop: numbers, or None for a rule that is not asked for."""

    target_loss: jax.typing.ArrayLike | None
    step_tol: jax.typing.ArrayLike | None
    patience: jax.typing.ArrayLike | None
    rtol: jax.typing.ArrayLike


def stalled(
    rules: Rules, state: FitState, loss: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The loss to improve on by ``rtol``, and for how many steps none has."""
    reference = state.reference_loss
    if rules.patience is None:
        return reference, state.stalled_steps
    margin = jnp.asarray(rules.rtol, loss.dtype) * jnp.abs(reference)
    margin = jnp.where(jnp.isfinite(reference), margin, 0)  # inf - inf is no number
    improved = jnp.isfinite(loss) & (loss < reference - margin)
    return (
        jnp.where(improved, loss, reference),
        jnp.where(improved, 0, state.stalled_steps + 1),
    )


def reasons(
    rules: Rules,
    loss: jax.Array,
    grads: Any,
    hopeless: jax.Array,
    sizes: Diagnostics | None,
    stalled_steps: jax.Array,
) -> list[tuple[FitStatus, jax.Array]]:
    """Every reason to stop that may be given, and whether it is one now."""
    finite = jnp.isfinite(loss)
    found = [(FitStatus.NONFINITE, hopeless)]
    if rules.target_loss is not None:
        target_loss = jnp.asarray(rules.target_loss, loss.dtype)
        found.append((FitStatus.TARGET_REACHED, finite & (loss <= target_loss)))
    found.append((FitStatus.STATIONARY, finite & _all_zero(grads)))
    if rules.step_tol is not None and sizes is not None:
        arrived = sizes.furthest_step <= jnp.asarray(rules.step_tol, jnp.float32)
        found.append((FitStatus.STEP_CONVERGED, finite & arrived))
    if rules.patience is not None:
        found.append((FitStatus.STALLED, stalled_steps >= rules.patience))
    return found


def first(reasons: list[tuple[FitStatus, jax.Array]], otherwise: jax.Array) -> jax.Array:
    """The status of the first that is one."""
    status = otherwise
    for reason, holds in reversed(reasons):
        status = jnp.where(holds, int(reason), status)
    return status


def _all_zero(grads: Any) -> jax.Array:
    return functools.reduce(
        jnp.logical_and, [jnp.all(grad == 0) for grad in jax.tree.leaves(grads)]
    )
