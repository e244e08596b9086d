"""When a fit stops: conditions on what a step saw."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax_rprop._fit._record import Seen
from optax_rprop._fit._result import FitStatus
from optax_rprop._leaf import finfo

RUNNING = FitStatus.MAX_STEPS  # no reason to stop yet; it ends so when all are taken


class Limits(NamedTuple):
    """When to stop. A rule that is not asked for has a limit that nothing meets.

    So the program is the same whichever rules are asked for.
    """

    target_loss: jax.typing.ArrayLike
    step_tol: jax.typing.ArrayLike
    patience: jax.typing.ArrayLike
    rtol: jax.typing.ArrayLike


def status_after(limits: Limits, seen: Seen) -> jax.Array:
    """The status of the first condition that holds, else RUNNING."""
    status = jnp.full((), int(RUNNING), jnp.int32)
    for found, condition in reversed(_CONDITIONS):
        status = jnp.where(condition(limits, seen), int(found), status)
    return status


def final_status(
    limits: Limits, counts: dict[str, jax.Array], status: jax.Array
) -> jax.Array:
    """The status where the fit ends: of the last evaluation too, if it is RUNNING."""
    best_loss = counts["best_loss"]
    nan_gradient = is_found(best_loss) & jnp.isnan(counts["best_gradient_max"])
    otherwise = jnp.where(nan_gradient, int(FitStatus.NAN_GRADIENT), int(RUNNING))
    target = int(FitStatus.TARGET_REACHED)
    last = jnp.where(reached(limits, best_loss), target, otherwise)
    return jnp.where(status == int(RUNNING), last, status)


def update_patience(
    limits: Limits, counts: dict[str, jax.Array], loss: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The reference loss, and the steps since a loss last improved on it by ``rtol``."""
    reference = counts["reference_loss"]
    margin = jnp.asarray(limits.rtol, loss.dtype) * jnp.abs(reference)
    improved = jnp.isfinite(loss) & (loss < reference - margin)
    return (
        jnp.where(improved, loss, reference),
        jnp.where(improved, 0, counts["stalled_steps"] + 1),
    )


def reached(limits: Limits, best_loss: jax.Array) -> jax.Array:
    """Whether the best loss is at the target."""
    target_loss = jnp.asarray(limits.target_loss, best_loss.dtype)
    return is_found(best_loss) & (best_loss <= target_loss)


def is_found(best_loss: jax.Array) -> jax.Array:
    """Whether any loss has been finite."""
    largest: jax.Array = jnp.asarray(finfo(best_loss.dtype).max, best_loss.dtype)
    return best_loss < largest


def _diverged(limits: Limits, seen: Seen) -> jax.Array:
    return seen.diverged


def _target_reached(limits: Limits, seen: Seen) -> jax.Array:
    return reached(limits, seen.best_loss)


def _without_gradient(seen: Seen) -> jax.Array:
    """Whether every gradient is zero, and the fit does not go back from there."""
    is_zero = seen.gradient_max == 0
    if seen.step_size_active is not None:  # NaN moves nothing, as zero does
        is_zero |= jnp.isnan(seen.gradient_max) & (seen.step_size_active == 0)
    return _stays(seen) & is_zero


def _stays(seen: Seen) -> jax.Array:
    return jnp.isfinite(seen.loss) & ~seen.astray


def _stationary(limits: Limits, seen: Seen) -> jax.Array:
    return _without_gradient(seen) & (seen.loss <= seen.best_loss)


def _step_converged(limits: Limits, seen: Seen) -> jax.Array | bool:
    if seen.step_size_active is None:
        return False
    arrived = seen.step_size_active <= jnp.asarray(limits.step_tol, jnp.float32)
    return _stays(seen) & arrived


def _stalled(limits: Limits, seen: Seen) -> jax.Array:
    return _stays(seen) & (
        seen.stalled_steps.astype(jnp.float32)
        >= jnp.asarray(limits.patience, jnp.float32)
    )


def _at_rest(limits: Limits, seen: Seen) -> jax.Array:
    """Whether one of the rules holds that suggest a minimum."""
    return (
        _without_gradient(seen) | _step_converged(limits, seen) | _stalled(limits, seen)
    )


def _nan_gradient(limits: Limits, seen: Seen) -> jax.Array:
    return _at_rest(limits, seen) & jnp.isnan(seen.gradient_max)


def _worse_than_best(limits: Limits, seen: Seen) -> jax.Array:
    """At rest elsewhere: on a plateau, or most of the gain is lost again.

    Rounding too makes a loss worse than the best and a gradient smaller, but it does not
    undo half of a descent and a thousandth of the loss.
    """
    lost = seen.loss - seen.best_loss
    gained = seen.first_loss - seen.best_loss
    is_worse = (lost > gained / 2) & (lost > jnp.abs(seen.best_loss) / 1000)
    is_flatter = seen.gradient_max < seen.best_gradient_max
    on_a_plateau = _without_gradient(seen) & (lost > 0)
    return on_a_plateau | (_at_rest(limits, seen) & is_worse & is_flatter)


# The first that holds gives the status.
_CONDITIONS: list[tuple[FitStatus, Callable[[Limits, Seen], Any]]] = [
    (FitStatus.NONFINITE, _diverged),
    (FitStatus.TARGET_REACHED, _target_reached),
    (FitStatus.NAN_GRADIENT, _nan_gradient),
    (FitStatus.WORSE_THAN_BEST, _worse_than_best),
    (FitStatus.STATIONARY, _stationary),
    (FitStatus.STEP_CONVERGED, _step_converged),
    (FitStatus.STALLED, _stalled),
]
