"""The loop on the device, a segment of steps at a time."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop._derivatives import refuse_derivative
from optax_rprop._fit import _checks, _limits_checks
from optax_rprop._fit._objective import Evaluation, Objective
from optax_rprop._fit._packing import unpack
from optax_rprop._fit._record import StepRecord, as_row, from_rows, knows_step_sizes
from optax_rprop._fit._result import FitResult, FitState
from optax_rprop._fit._step import (
    Held,
    Scalars,
    advance,
    hold,
    initial_state,
    is_stepping,
)
from optax_rprop._fit._stop import Limits, is_found
from optax_rprop._transform._state import smallest_step_size

# XLA's CPU backend runs the loop of a small problem in one thread, several times faster,
# as long as no array in it is larger than 512 bytes. So the history is written in blocks.
BLOCK = 24  # and a row to spare, of 5 float32


class Segment(NamedTuple):
    """Some steps of a fit, one after another."""

    held: Held
    rows: jax.Array  # the history, a row for every step; zero after the last
    loss: jax.Array  # the best; inf where none was finite
    gradient_max: jax.Array  # at the best; NaN where no loss was finite
    last_loss: jax.Array  # of the last evaluation


class Loop(NamedTuple):
    """What a loop is compiled for."""

    objective: Objective
    optimizer: optax.GradientTransformationExtraArgs
    stop_when: Callable[[StepRecord], Any] | None = None
    together: bool = True  # no array is spread over devices, as far as is known

    def start(
        self,
        limits: Limits,
        params: optax.Params,
        args: tuple[Any, ...],
        resume: FitState | None,
    ) -> Held:
        """The fit before the first step, of a new state or of one to go on from."""
        _checks.start(self.objective, params, args)
        loss, aux = jax.eval_shape(self.objective.loss_and_aux, params, *args)
        return self.begin("fit", limits, params, Evaluation(loss, aux, params), resume)

    def begin(
        self,
        caller: str,
        limits: Limits,
        params: optax.Params,
        shapes: Evaluation,
        resume: FitState | None,
    ) -> Held:
        """The same, where it is known what an evaluation gives."""
        # Copies, since the loop writes into its carry.
        params = jax.tree.map(lambda p: jnp.array(p, jnp.result_type(p)), params)
        new_state = functools.partial(initial_state, self.optimizer)
        if resume is None:
            state = new_state(params, shapes)
        else:
            _checks.resume(caller, resume, jax.eval_shape(new_state, params, shapes))
            state = jax.tree.map(jnp.array, resume)
        return hold(limits, state)

    def run(
        self,
        limits: Limits,
        args: tuple[Any, ...],
        held: Held,
        pause_after: jax.typing.ArrayLike,
        stop_after: jax.typing.ArrayLike,
        *,
        length: int,
    ) -> Segment:
        """Step until there is a reason to stop; at most ``pause_after`` steps.

        With a reason, or after ``stop_after`` steps, a last pass evaluates the parameters
        that the last step led to, and takes no step. The history has ``length`` entries,
        a multiple of BLOCK and at least ``pause_after``.

        The counts are arguments, not constants, so XLA cannot unroll a loop: a fit in one
        piece and one in several run the same machine code.
        """
        first = unpack(held.scalars).counts["num_steps"]
        pause_at, stop_at = last_step(held, pause_after), last_step(held, stop_after)
        row = jnp.zeros_like(as_row(unpack(held.scalars).history))

        def blank(*shape: int) -> jax.Array:
            return jnp.broadcast_to(row, (*shape, *row.shape))

        def going_on(held: Held, pause_at: jax.Array) -> jax.Array:
            seen = unpack(held.scalars)
            paused = is_stepping(seen, stop_at) & (seen.counts["num_steps"] >= pause_at)
            unfinished: jax.Array = ~seen.closed & ~paused
            return unfinished

        def block(outer: tuple[Held, jax.Array]) -> tuple[Held, jax.Array]:
            held, blocks = outer
            began = unpack(held.scalars).counts["num_steps"]
            end = jnp.minimum(pause_at, began + BLOCK)

            def body(inner: tuple[Held, jax.Array]) -> tuple[Held, jax.Array]:
                held, rows = inner
                held = self.step(limits, args, held, stop_at)
                seen = unpack(held.scalars)
                # The last pass takes no step, and writes to a row that is not read.
                taken = seen.counts["num_steps"] - 1 - began
                row = jnp.where(seen.closed, BLOCK, taken)
                return held, _set_row(rows, as_row(seen.history), row)

            held, rows = jax.lax.while_loop(
                lambda inner: going_on(inner[0], end), body, (held, blank(BLOCK + 1))
            )
            return held, _set_row(blocks, rows[:BLOCK], (began - first) // BLOCK)

        held, blocks = jax.lax.while_loop(
            lambda outer: going_on(outer[0], pause_at),
            block,
            (held, blank(length // BLOCK + 1, BLOCK)),
        )
        return segment_of(held, blocks[:-1].reshape(length, -1))

    def step(
        self,
        limits: Limits,
        args: tuple[Any, ...],
        held: Held,
        stop_at: jax.Array,
    ) -> Held:
        """Evaluate, and step if there is no reason to stop."""

        def value_fn(params: Any) -> jax.Array:
            return self.objective.loss_and_aux(params, *args)[0]

        # The only evaluation in the program, so every step computes the same bits.
        evaluation = self.objective.evaluate(held.arrays["params"], args)
        return advance(
            self.optimizer,
            limits,
            held,
            evaluation,
            stop_at,
            self.together,
            self.stop_when,
            value_fn=value_fn,
        )

    def smallest_step_size(self, held: Held) -> jax.Array | None:
        """The least lower bound of the step sizes; None where step_tol has no meaning."""
        params, opt_state = held.arrays["params"], held.arrays["opt_state"]
        if not knows_step_sizes(params, opt_state):
            return None
        return smallest_step_size(self.optimizer, params, opt_state)

    def whole(
        self,
        limits: Limits,
        params: optax.Params,
        args: tuple[Any, ...],
        resume: FitState | None,
        max_steps: int,
        history: bool,
        step_tol: str | None,
    ) -> FitResult:
        """The fit as one program, to be part of another."""
        limits, params, args, resume = refuse_derivative(
            (limits, params, args, resume), _checks.NO_DERIVATIVE
        )
        held = self.start(limits, params, args, resume)
        if step_tol is not None:
            known = knows_step_sizes(held.arrays["params"], held.arrays["opt_state"])
            smallest = 0.0 if known else None
            _limits_checks.step_tol_can_be_met("fit", limits.step_tol, smallest, step_tol)
        length = -(-max_steps // BLOCK) * BLOCK
        before = unpack(held.scalars).counts["num_steps"]
        segment = self.run(limits, args, held, max_steps, max_steps, length=length)
        seen = unpack(segment.held.scalars)
        num_steps = seen.counts["num_steps"] - before
        series = None
        if history:
            taken = jnp.arange(max_steps, dtype=jnp.int32) < num_steps
            series = jax.tree.map(
                lambda s: jnp.where(taken, s[:max_steps], jnp.nan),
                from_rows(segment.rows, seen.history),
            )
        return result_of(segment, seen, num_steps, seen.status, series)


def segment_of(held: Held, rows: jax.Array) -> Segment:
    """What steps that ended in ``held`` have to tell."""
    seen = unpack(held.scalars)
    best = seen.counts["best_loss"]
    found = is_found(best)
    return Segment(
        held,
        rows,
        loss=jnp.where(found, best, jnp.inf),
        gradient_max=jnp.where(found, seen.counts["best_gradient_max"], jnp.nan),
        last_loss=seen.last_loss,
    )


def last_step(held: Held, pause_after: jax.typing.ArrayLike) -> jax.Array:
    """The count of steps that is ``pause_after`` from now, as far as it has room."""
    first = unpack(held.scalars).counts["num_steps"]
    left = np.iinfo(np.int32).max - first
    end: jax.Array = first + jnp.minimum(jnp.asarray(pause_after, jnp.int32), left)
    return end


def result_of(
    segment: Segment, seen: Scalars, num_steps: Any, status: Any, history: Any
) -> FitResult:
    """The result of a loop that ended with this segment and these scalars."""
    state = FitState(**segment.held.arrays, **seen.counts)
    best_step: Any = state.best_step  # an int only outside jit and vmap
    return FitResult(
        params=state.best_params,
        loss=segment.loss,
        num_steps=num_steps,
        status=status,
        history=history,
        last=state,
        aux=state.best_aux,
        best_step=best_step,
        gradient_max=segment.gradient_max,
        last_loss=segment.last_loss,
    )


def _set_row(rows: jax.Array, row: jax.Array, index: jax.Array) -> jax.Array:
    if jax.typeof(row).sharding.mesh != jax.typeof(rows).sharding.mesh:
        # Data or parameters on explicit axes, without jax.set_mesh: the rows, which are
        # made of constants, are on none. This is slower, and takes both.
        return rows.at[index].set(row, mode="drop")
    updated: jax.Array = jax.lax.dynamic_update_index_in_dim(rows, row, index, axis=0)
    return updated
