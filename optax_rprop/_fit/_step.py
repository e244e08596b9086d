"""A step of a fit, as pure functions, independent of any loop.

``evaluate`` (of an objective, a stream or a user's own loop) gives loss, aux and
gradients; ``advance`` takes the step. A driver calls them in turn.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optax_rprop._fit._objective import Evaluation
from optax_rprop._fit._record import (
    StepRecord,
    largest_gradient,
    leaves_of_step,
    promised_decrease,
    record,
)
from optax_rprop._fit._result import FitState
from optax_rprop._fit._stop import Limits, is_found, status_after, update_patience
from optax_rprop._leaf import finfo, scalar_like, select_tree, varying_like
from optax_rprop._transform._state import rprop_states

# Each loss that is not finite halves Rprop's steps: from 50 to 1e-6 takes 26 of them. A
# wrapper that hides the loss from Rprop would repeat the same steps for ever.
MAX_NONFINITE_LOSSES = MAX_RETURNS = 30
# Rprop is not monotone, but it seldom needs more steps than this to a new best loss.
MAX_STEPS_ASTRAY = 10


class Outcome(NamedTuple):
    """What a step led to."""

    state: FitState
    record: StepRecord
    status: jax.Array  # RUNNING, or why to stop


def initial_state(
    optimizer: optax.GradientTransformationExtraArgs,
    params: optax.Params,
    evaluation: Evaluation,
) -> FitState:
    """The state before the first step; ``evaluation`` gives shapes and dtypes alone."""

    def count() -> jax.Array:
        return scalar_like(params, 0, jnp.int32)

    def zeros(like: jax.ShapeDtypeStruct) -> jax.Array:
        return jnp.broadcast_to(scalar_like(params, 0, like.dtype), like.shape)

    loss_dtype = evaluation.loss.dtype
    gradient_max = jax.eval_shape(largest_gradient, params)
    no_loss = finfo(loss_dtype).max  # finite, since jax_debug_infs looks at it
    return FitState(
        params=params,
        opt_state=varying_like(params, optimizer.init(params)),
        best_params=jax.tree.map(jnp.copy, params),
        best_loss=scalar_like(params, no_loss, loss_dtype),
        best_aux=jax.tree.map(zeros, evaluation.aux),
        best_step=count(),
        best_gradient_max=scalar_like(params, 0, gradient_max.dtype),
        num_steps=count(),
        returned_step=count(),
        num_returns=count(),
        prev_loss=scalar_like(params, no_loss, loss_dtype),
        promised_decrease=scalar_like(params, 0, gradient_max.dtype),
        first_loss=scalar_like(params, no_loss, loss_dtype),
        reference_loss=scalar_like(params, no_loss, loss_dtype),
        stalled_steps=count(),
        nonfinite_steps=count(),
        nonfinite_losses=count(),
    )


def advance(
    optimizer: optax.GradientTransformationExtraArgs,
    limits: Limits,
    state: FitState,
    evaluation: Evaluation,
    stepping: jax.Array | bool = True,
    **extra_args: Any,
) -> Outcome:
    """Remember the best, update, go back from where no step should lead, count.

    ``evaluation`` is that of ``state.params``. Where ``stepping`` does not hold, the best
    is remembered and no step is taken. ``extra_args`` are handed to the optimizer beside
    ``value`` and ``grad``, for example ``value_fn`` for a line search.
    """
    loss, _, grads = evaluation
    gradient_max = largest_gradient(grads)
    state = _remember_best(state, evaluation, gradient_max)
    finite = jnp.isfinite(loss)
    has_steps = bool(rprop_states(state.opt_state))
    may_reject = has_steps & finite
    astray = may_reject & _is_astray(state, loss, gradient_max)
    rejected = astray | (may_reject & _is_too_long(state, loss))
    updates, opt_state = optimizer.update(
        grads,
        state.opt_state,
        state.params,
        value=jnp.where(rejected, jnp.nan, loss),
        grad=grads,
        **extra_args,
    )
    params = optax.apply_updates(state.params, updates)
    leaves = leaves_of_step(grads, state.opt_state, opt_state)
    promised = promised_decrease(leaves, gradient_max.dtype)
    # A wrapper may hide the loss from Rprop, which then takes a step of the old length.
    astray &= promised == 0

    nonfinite_steps = jnp.where(finite, 0, state.nonfinite_steps + 1)
    if has_steps:
        # After one loss that is not finite Rprop has taken its step back. After two
        # (rprop+ and irprop+ may undo only a part of it) return to the best. After
        # three, give up.
        go_back, diverged = astray | (nonfinite_steps > 1), nonfinite_steps > 2
    else:
        go_back = diverged = ~finite
        opt_state = select_tree(finite, opt_state, state.opt_state)
    params = select_tree(go_back, state.best_params, params)
    nonfinite_losses = state.nonfinite_losses + (~finite).astype(jnp.int32)
    diverged |= nonfinite_losses > MAX_NONFINITE_LOSSES

    reference_loss, stalled_steps = update_patience(limits, state, loss)
    after = state._replace(
        params=params,
        opt_state=opt_state,
        num_steps=state.num_steps + 1,
        returned_step=jnp.where(astray, state.num_steps, state.returned_step),
        num_returns=state.num_returns + astray.astype(jnp.int32),
        prev_loss=jnp.where(finite & ~rejected, loss, state.prev_loss),
        promised_decrease=promised,
        reference_loss=reference_loss,
        stalled_steps=stalled_steps,
        nonfinite_steps=nonfinite_steps,
        nonfinite_losses=nonfinite_losses,
    )
    seen = record(loss, gradient_max, leaves, after, astray, diverged)
    if stepping is not True:
        after = select_tree(jnp.asarray(stepping), after, state)
    return Outcome(after, seen, status_after(limits, seen))


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


def _remember_best(
    state: FitState, evaluation: Evaluation, gradient_max: jax.Array
) -> FitState:
    """The state with its own parameters as the best, where their loss is lower."""
    loss = evaluation.loss
    better = jnp.isfinite(loss) & (loss < state.best_loss)
    here = {
        "best_params": state.params,
        "best_loss": loss,
        "best_aux": evaluation.aux,
        "best_step": state.num_steps,
        "best_gradient_max": gradient_max,
        "nonfinite_losses": 0,
        "num_returns": 0,
    }
    there = {name: getattr(state, name) for name in here}
    is_first = jnp.isfinite(loss) & ~is_found(state.first_loss)
    return state._replace(
        first_loss=jnp.where(is_first, loss, state.first_loss),
        **select_tree(better, here, there),
    )
