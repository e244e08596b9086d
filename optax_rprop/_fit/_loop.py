"""The loop on the device, a segment of steps at a time."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optax_rprop._derivatives import refuse_derivative
from optax_rprop._fit import _checks
from optax_rprop._fit._objective import Evaluation, Objective
from optax_rprop._fit._record import as_row, blank_history, from_rows, knows_step_sizes
from optax_rprop._fit._result import FitHistory, FitResult, FitState, FitStatus
from optax_rprop._fit._step import initial_state, remember_best, take_step
from optax_rprop._fit._stop import RUNNING, Limits, final_status, is_found, reached
from optax_rprop._leaf import scalar_like, select_tree
from optax_rprop._transform._state import smallest_step_size

# XLA's CPU backend runs the loop of a small problem in one thread, several times faster,
# as long as no array in it is larger than 512 bytes. So the history is written in blocks.
BLOCK = 128


class Carry(NamedTuple):
    """What one step hands to the next."""

    state: FitState
    status: jax.Array  # RUNNING, or why to stop
    last_loss: jax.Array  # of the last evaluation
    closed: jax.Array  # whether that was of state.params, after the last step


class Segment(NamedTuple):
    """Some steps of a fit, one after another."""

    carry: Carry
    history: FitHistory  # zero after the last step
    num_steps: jax.Array
    loss: jax.Array  # the best; inf where none was finite


class Loop(NamedTuple):
    """What a loop is compiled for."""

    objective: Objective
    optimizer: optax.GradientTransformationExtraArgs

    def start(
        self,
        limits: Limits,
        params: optax.Params,
        args: tuple[Any, ...],
        resume: FitState | None,
    ) -> Carry:
        """The carry before the first step, of a new state or of one to go on from."""
        _checks.start("fit", self.objective, params, args)
        # Copies, since the loop writes into its carry.
        params = jax.tree.map(lambda p: jnp.array(p, jnp.result_type(p)), params)
        loss, aux = jax.eval_shape(self.objective.loss_and_aux, params, *args)
        shapes = Evaluation(loss, aux, params)
        new_state = functools.partial(initial_state, self.optimizer)
        if resume is None:
            state = new_state(params, shapes)
        else:
            _checks.resume("fit", resume, jax.eval_shape(new_state, params, shapes))
            state = jax.tree.map(jnp.array, resume)
        status = jnp.where(
            reached(limits, state.best_loss), int(FitStatus.TARGET_REACHED), int(RUNNING)
        )
        return Carry(
            state=state,
            status=status.astype(jnp.int32),
            last_loss=scalar_like(params, 0, loss.dtype),
            closed=scalar_like(params, False, bool),
        )

    def run(
        self,
        limits: Limits,
        args: tuple[Any, ...],
        carry: Carry,
        pause_after: jax.typing.ArrayLike,
        stop_after: jax.typing.ArrayLike,
        *,
        length: int,
    ) -> Segment:
        """Step until there is a reason to stop; at most ``pause_after`` steps.

        With a reason, or after ``stop_after`` steps, a last pass evaluates the parameters
        that the last step led to, and takes no step. The history has ``length`` entries,
        a multiple of BLOCK and at least ``pause_after``.

        All counts are values of the program, so that XLA can unroll none of its loops: a
        fit in one piece runs the same machine code as one in several.
        """
        first = carry.state.num_steps
        pause_at, stop_at = first + pause_after, first + stop_after

        def stepping(carry: Carry) -> jax.Array:
            return (carry.status == int(RUNNING)) & (carry.state.num_steps < stop_at)

        def going_on(carry: Carry, pause_at: jax.Array) -> jax.Array:
            paused = stepping(carry) & (carry.state.num_steps >= pause_at)
            return ~carry.closed & ~paused

        def step(carry: Carry) -> tuple[Carry, jax.Array]:
            def value_fn(params: Any) -> jax.Array:
                return self.objective.loss_and_aux(params, *args)[0]

            # The only evaluation in the program: every step gets its bits from it.
            evaluation = self.objective.evaluate(carry.state.params, args)
            state = remember_best(carry.state, evaluation)
            stepped, record, status = take_step(
                self.optimizer, limits, state, evaluation, value_fn=value_fn
            )
            state, status = select_tree(
                stepping(carry), (stepped, status), (state, carry.status)
            )
            closed = ~stepping(carry)
            return Carry(state, status, evaluation.loss, closed), as_row(record.history())

        def block(carry: Carry) -> tuple[Carry, jax.Array]:
            began = carry.state.num_steps
            end = jnp.minimum(pause_at, began + BLOCK)

            def body(inner: tuple[Carry, jax.Array]) -> tuple[Carry, jax.Array]:
                carry, rows = inner
                # The last pass takes no step, and writes to a row that is not read.
                row = jnp.where(stepping(carry), carry.state.num_steps - began, BLOCK)
                carry, seen = step(carry)
                return carry, _set_row(rows, seen, row)

            carry, rows = jax.lax.while_loop(
                lambda inner: going_on(inner[0], end), body, (carry, blank(BLOCK + 1))
            )
            return carry, rows[:BLOCK]

        def body(outer: tuple[Carry, jax.Array]) -> tuple[Carry, jax.Array]:
            carry, blocks = outer
            row = (carry.state.num_steps - first) // BLOCK
            carry, rows = block(carry)
            return carry, _set_row(blocks, rows, row)

        like = blank_history(carry.state, carry.last_loss.dtype)

        def blank(*shape: int) -> jax.Array:
            row = as_row(like)
            return jnp.broadcast_to(row, (*shape, *row.shape))

        carry, blocks = jax.lax.while_loop(
            lambda outer: going_on(outer[0], pause_at),
            body,
            (carry, blank(length // BLOCK + 1, BLOCK)),
        )
        history = from_rows(blocks[:-1].reshape(length, -1), like)
        num_steps = carry.state.num_steps - first
        state = carry.state
        status = jnp.where(
            carry.closed, final_status(limits, state, carry.status), carry.status
        )
        loss = jnp.where(is_found(state.best_loss), state.best_loss, jnp.inf)
        return Segment(carry._replace(status=status), history, num_steps, loss)

    def smallest_step_size(self, carry: Carry) -> jax.Array | None:
        """The least lower bound of the step sizes; None where step_tol has no meaning."""
        state = carry.state
        if not knows_step_sizes(state):
            return None
        return smallest_step_size(self.optimizer, state.params, state.opt_state)

    def whole(
        self,
        limits: Limits,
        params: optax.Params,
        args: tuple[Any, ...],
        resume: FitState | None,
        max_steps: int,
        history: bool,
        has_step_tol: bool,
    ) -> FitResult:
        """The fit as one program, to be part of another."""
        limits, params, args, resume = refuse_derivative(
            (limits, params, args, resume), _checks.NO_DERIVATIVE
        )
        carry = self.start(limits, params, args, resume)
        if has_step_tol:
            smallest = 0.0 if knows_step_sizes(carry.state) else None
            _checks.step_tol_can_be_met("fit", limits.step_tol, smallest)
        length = -(-max_steps // BLOCK) * BLOCK
        segment = self.run(limits, args, carry, max_steps, max_steps, length=length)
        result = result_of(segment)
        if not history:
            return result
        taken = jnp.arange(max_steps) < segment.num_steps
        series = jax.tree.map(
            lambda s: jnp.where(taken, s[:max_steps], jnp.nan), segment.history
        )
        return result._replace(history=series)


def result_of(segment: Segment) -> FitResult:
    """What a loop that has closed found, without its history."""
    carry, _, num_steps, loss = segment
    state = carry.state
    return FitResult(
        params=state.best_params,
        loss=loss,
        num_steps=num_steps,
        status=carry.status,
        history=None,
        last=state,
        aux=state.best_aux,
        best_step=state.best_step,
        gradient_max=state.best_gradient_max,
        last_loss=carry.last_loss,
    )


def _set_row(rows: jax.Array, row: jax.Array, index: jax.Array) -> jax.Array:
    updated: jax.Array = jax.lax.dynamic_update_index_in_dim(rows, row, index, axis=0)
    return updated
