"""What a loss says about the step that led to it: keep it, take it back, go back."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from optax_rprop._fit._result import FitState

# A wrapper that hides the loss from Rprop would repeat the same steps for ever.
MAX_RETURNS = 30
# Rprop is not monotone, but it seldom needs more steps than this to a new best loss.
MAX_STEPS_ASTRAY = 10


class Verdict(NamedTuple):
    """What a loss and its gradients say about the step that led to them; all are bool."""

    is_best: jax.Array
    astray: jax.Array  # steps have led nowhere: go back, and on with shorter ones
    rejected: jax.Array  # by Rprop, which takes back the step and shortens the next
    go_back: jax.Array  # to the best
    stepping: jax.Array


def judge_step(
    state: FitState,
    has_steps: bool,
    loss: jax.Array,
    gradient_max: jax.Array,
    stepping: jax.Array,
) -> Verdict:
    """The verdict on the step that led to this loss; ``state`` is that before it."""
    finite = jnp.isfinite(loss)
    is_best = finite & (loss < state.best_loss)
    # Where rounding hides what is gained, the place without a gradient is the better one.
    is_best |= (loss == state.best_loss) & (gradient_max == 0)
    if not has_steps:
        no = jnp.zeros_like(finite)
        return Verdict(is_best, no, no, ~finite, stepping)
    astray = finite & ~is_best & _is_astray(state, loss, gradient_max)
    return Verdict(
        is_best=is_best,
        astray=astray,
        rejected=~finite | astray | _is_too_long(state, loss),
        # After one loss that is not finite Rprop has taken its step back. After two
        # (rprop+ and irprop+ may undo only a part of it) return to the best.
        go_back=astray | (~finite & (state.nonfinite_steps > 0)),
        stepping=stepping,
    )


def _is_astray(state: FitState, loss: jax.Array, gradient_max: jax.Array) -> jax.Array:
    """Whether steps have led away from the best, and none leads back.

    Either there has been no new best for too many steps, or all gradients are zero at a
    worse place.
    """
    since = state.num_steps - jnp.maximum(state.best_step, state.returned_step)
    on_a_plateau = (gradient_max == 0) & (loss > state.best_loss)
    may_return = state.num_returns < MAX_RETURNS
    return may_return & ((since > MAX_STEPS_ASTRAY) | on_a_plateau)


def _is_too_long(state: FitState, loss: jax.Array) -> jax.Array:
    """Whether the last step was much too long.

    It led to a loss above the first one, and raised it by more than the gradient had
    promised to lower it: on a parabola, by a step of more than four times the way to the
    minimum.
    """
    rise = (loss - state.prev_loss).astype(state.promised_decrease.dtype)
    promised = state.promised_decrease
    return (loss > state.first_loss) & (promised > 0) & (rise > promised)
