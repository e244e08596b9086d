"""A step of a fit, as pure functions, independent of any loop.

``evaluate`` (of an objective, a stream or a user's own loop) gives loss, aux and
gradients; ``advance`` takes the step. A driver calls them in turn.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop._fit import _checks
from optax_rprop._fit._judge import MAX_RETURNS, Verdict, judge_step
from optax_rprop._fit._objective import Evaluation
from optax_rprop._fit._packing import (
    Packed,
    in_one_kernel,
    layout_of,
    pack,
    unpack,
    written_first,
)
from optax_rprop._fit._record import (
    StepRecord,
    StepSums,
    blank_history,
    largest_gradient,
    num_flips,
    num_step_sizes,
    seen_by_step,
    step_sums,
    sums_by_leaf,
)
from optax_rprop._fit._result import FitHistory, FitState, FitStatus
from optax_rprop._fit._stop import (
    RUNNING,
    Limits,
    final_status,
    is_found,
    reached,
    status_after,
    update_patience,
)
from optax_rprop._leaf import finfo, scalar_like, select_tree, varying_like
from optax_rprop._transform._box import free_gradients, nan_where_outside
from optax_rprop._transform._gradients import sees_otherwise
from optax_rprop._transform._state import rprop_states

# Each loss that is not finite halves Rprop's steps: from 50 to 1e-12 takes 46 of them. A
# wrapper that hides the loss from Rprop would repeat the same steps for ever.
MAX_NONFINITE_LOSSES = 50

_ARRAYS = "params", "opt_state", "best_params", "best_aux"  # of a FitState


class Scalars(NamedTuple):
    """All of a fit that is no array of the parameters', between two passes."""

    counts: dict[str, jax.Array]  # the scalars of its FitState
    status: jax.Array  # RUNNING, or why to stop
    last_loss: jax.Array  # of the last evaluation
    closed: jax.Array  # whether that was of the last parameters, after the last step
    gradient_max: jax.Array  # of the last step
    history: FitHistory  # what the last step saw


class Held(NamedTuple):
    """A fit between two passes, as a loop holds it."""

    arrays: dict[str, Any]  # the fields of its FitState that are trees of arrays
    scalars: Packed  # its Scalars


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

    opt_state = optimizer.init(params)
    params = nan_where_outside(opt_state, params)
    loss_dtype = evaluation.loss.dtype
    gradient_max = jax.eval_shape(largest_gradient, params)
    no_loss = finfo(loss_dtype).max  # finite, since jax_debug_infs looks at it
    return FitState(
        params=params,
        opt_state=varying_like(params, opt_state),
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


def hold(limits: Limits, state: FitState) -> Held:
    """The fit in this state, as a loop holds it before its first step."""
    counts = state._asdict()
    arrays = {name: counts.pop(name) for name in _ARRAYS}
    target = int(FitStatus.TARGET_REACHED)
    status = jnp.where(reached(limits, state.best_loss), target, int(RUNNING))
    last_loss = jnp.zeros_like(state.best_loss)
    scalars = Scalars(
        counts=counts,
        status=status.astype(np.int32),
        last_loss=last_loss,
        closed=scalar_like(state.params, False, bool),
        gradient_max=jnp.zeros_like(state.best_gradient_max),
        history=blank_history(state, last_loss),
    )
    return Held(arrays, pack(scalars, layout_of(scalars)))


def advance(
    optimizer: optax.GradientTransformationExtraArgs,
    limits: Limits,
    held: Held,
    evaluation: Evaluation,
    stop_at: jax.Array,
    together: bool = True,
    stop_when: Callable[[StepRecord], Any] | None = None,
    **extra_args: Any,
) -> Held:
    """Judge the last step; take the next, or go back; count.

    ``evaluation`` is that of the parameters that are ``held``. With a reason to stop, the
    best is remembered and no step is taken. Small arrays are summed up ``together``.
    ``stop_when`` is asked after every step. ``extra_args`` are handed to the optimizer
    beside ``value`` and ``grad``, for example ``value_fn`` for a line search.
    """
    arrays, packed = held
    loss, _, grads = evaluation
    opt_state = arrays["opt_state"]
    num_coordinates = num_step_sizes(opt_state)
    gradient_max = largest_gradient(grads, together)
    later = sees_otherwise(opt_state)
    flips = None if later else num_flips(grads, opt_state, opt_state, together)
    before = unpack(packed)
    always = before.counts["num_steps"] >= 0  # which XLA does not know
    verdicts = layout_of((Verdict(*5 * [always]), before))

    def judge(packed: Any, loss: jax.Array, gradient_max: jax.Array, flips: Any) -> Any:
        before = unpack(packed)
        state, stepping = FitState(**arrays | before.counts), is_stepping(before, stop_at)
        verdict = judge_step(state, num_coordinates > 0, loss, gradient_max, stepping)
        return pack((verdict, before), verdicts), flips

    def count(
        judged: Any, loss: jax.Array, gradient_max: jax.Array, flips: Any, by_leaf: Any
    ) -> Any:
        verdict, before = unpack(judged)
        sums = step_sums(by_leaf, gradient_max.dtype)
        after = _count(
            limits, before, num_coordinates, verdict, loss, gradient_max, flips, sums
        )
        return pack(after, packed.layout)

    # First, so that the changes of signs are counted before the old signs are lost.
    judged, flips = in_one_kernel(judge, always, packed, loss, gradient_max, flips)
    verdict, _ = unpack(judged)
    moved = _move(optimizer, arrays, evaluation, verdict, extra_args)
    moved = written_first(moved)
    if later:
        flips = num_flips(grads, opt_state, moved["opt_state"], together)
        free = free_gradients(moved["opt_state"], grads)
        if free is not grads:
            gradient_max = largest_gradient(free, together)
    by_leaf = sums_by_leaf(grads, moved["opt_state"], together)
    after = in_one_kernel(count, always, judged, loss, gradient_max, flips, by_leaf)
    if stop_when is not None:
        after = _asked(stop_when, moved, after)
    return Held(moved, after)


def record_of(arrays: dict[str, Any], seen: Scalars) -> StepRecord:
    """The record of the last step."""
    best_loss = seen.counts["best_loss"]
    return StepRecord(
        num_steps=seen.counts["num_steps"],
        loss=seen.history.loss,
        best_loss=jnp.where(is_found(best_loss), best_loss, jnp.inf),
        best_step=seen.counts["best_step"],
        gradient_max=seen.gradient_max,
        step_size_mean=seen.history.step_size_mean,
        step_size_spread=seen.history.step_size_spread,
        step_size_max=seen.history.step_size_max,
        flip_fraction=seen.history.flip_fraction,
        best_params=arrays["best_params"],
        best_aux=arrays["best_aux"],
    )


def _asked(
    stop_when: Callable[[StepRecord], Any], arrays: dict[str, Any], packed: Packed
) -> Packed:
    """The scalars, with the status STOPPED if ``stop_when`` holds."""
    seen = unpack(packed)
    answer = stop_when(record_of(arrays, seen))
    _checks.answer(answer)
    stops = jnp.asarray(answer) & (seen.status == int(RUNNING)) & ~seen.closed
    status = jnp.where(stops, int(FitStatus.STOPPED), seen.status)
    return pack(seen._replace(status=status), packed.layout)


def is_stepping(seen: Scalars, stop_at: jax.Array) -> jax.Array:
    """Whether there is no reason to stop; else the next pass is the last."""
    return (seen.status == int(RUNNING)) & (seen.counts["num_steps"] < stop_at)


def _move(
    optimizer: optax.GradientTransformationExtraArgs,
    arrays: dict[str, Any],
    evaluation: Evaluation,
    verdict: Verdict,
    extra_args: dict[str, Any],
) -> dict[str, Any]:
    """The arrays after the step."""
    loss, aux, grads = evaluation
    params, opt_state = arrays["params"], arrays["opt_state"]
    updates, new_opt_state = optimizer.update(
        grads,
        opt_state,
        params,
        value=jnp.where(verdict.rejected, jnp.nan, loss),
        grad=grads,
        **extra_args,
    )
    if not rprop_states(opt_state):  # it may not know of losses that are not finite
        new_opt_state = select_tree(jnp.isfinite(loss), new_opt_state, opt_state)
    best_params, best_aux = select_tree(
        verdict.is_best, (params, aux), (arrays["best_params"], arrays["best_aux"])
    )
    new_params = optax.apply_updates(params, updates)
    new_params = select_tree(verdict.go_back, best_params, new_params)
    params, opt_state = select_tree(
        verdict.stepping, (new_params, new_opt_state), (params, opt_state)
    )
    moved = params, opt_state, best_params, best_aux
    return dict(zip(_ARRAYS, moved, strict=True))


def _count(
    limits: Limits,
    before: Scalars,
    num_coordinates: int,
    verdict: Verdict,
    loss: jax.Array,
    gradient_max: jax.Array,
    flips: jax.Array | None,
    sums: StepSums,
) -> Scalars:
    """The scalars after the step."""
    is_best, astray, rejected, _, stepping = verdict
    counts, finite = dict(before.counts), jnp.isfinite(loss)

    def set_where(condition: jax.Array, **new: Any) -> None:
        counts.update({k: jnp.where(condition, x, counts[k]) for k, x in new.items()})

    set_where(finite & ~is_found(counts["first_loss"]), first_loss=loss)
    set_where(
        is_best,
        best_loss=loss,
        best_step=counts["num_steps"],
        best_gradient_max=gradient_max,
        nonfinite_losses=0,
        num_returns=0,
    )
    promised = sums.promised_decrease
    if promised is None:
        promised = jnp.zeros_like(counts["promised_decrease"])
    stalled = update_patience(limits, counts, loss)
    # A wrapper may hide the loss from Rprop, which has then promised another step.
    returns = jnp.where(promised > 0, MAX_RETURNS, counts["num_returns"] + 1)
    set_where(stepping & astray, returned_step=counts["num_steps"], num_returns=returns)
    set_where(stepping & finite & ~rejected, prev_loss=loss)
    set_where(
        stepping,
        num_steps=counts["num_steps"] + 1,
        promised_decrease=promised,
        reference_loss=stalled[0],
        stalled_steps=stalled[1],
        nonfinite_steps=jnp.where(finite, 0, counts["nonfinite_steps"] + 1),
        nonfinite_losses=counts["nonfinite_losses"] + (~finite).astype(np.int32),
    )
    # After three losses in a row that were not finite, give up.
    diverged = counts["nonfinite_steps"] > (2 if num_coordinates else 0)
    diverged |= counts["nonfinite_losses"] > MAX_NONFINITE_LOSSES
    seen = seen_by_step(
        loss, gradient_max, flips, sums, num_coordinates, counts, astray, diverged
    )
    ended = final_status(limits, counts, before.status)
    return Scalars(
        counts=counts,
        status=jnp.where(stepping, status_after(limits, seen), ended),
        last_loss=loss,
        closed=~stepping,
        gradient_max=jnp.where(stepping, gradient_max, before.gradient_max),
        history=select_tree(stepping, seen.history, before.history),
    )
