"""The loop on the device, a segment of steps at a time."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optax_rprop._fit import _checks
from optax_rprop._fit._objective import Evaluation, Objective
from optax_rprop._fit._record import blank_history
from optax_rprop._fit._result import FitHistory, FitResult, FitState, FitStatus
from optax_rprop._fit._step import advance, finalize, initial_state, zeros_like
from optax_rprop._fit._stop import RUNNING, Limits, reached
from optax_rprop._leaf import scalar_like, select_tree
from optax_rprop._transform._state import smallest_step_size

# XLA's CPU backend runs the loop of a small problem in one thread, several times faster,
# as long as no array in it is larger than 512 bytes. So the history is written in blocks.
BLOCK = 128


class Carry(NamedTuple):
    """What one step hands to the next."""

    state: FitState
    evaluation: Evaluation  # of state.params
    evaluated: jax.Array  # False before the first evaluation
    status: jax.Array  # RUNNING, or why to stop


class Segment(NamedTuple):
    """Some steps of a fit, one after another."""

    carry: Carry
    history: FitHistory  # NaN after the last step
    result: FitResult  # as if the fit ended here; its history and last are None


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
            evaluation=zeros_like(params, shapes),
            evaluated=scalar_like(params, False, bool),
            status=status.astype(jnp.int32),
        )

    def run(
        self,
        limits: Limits,
        args: tuple[Any, ...],
        carry: Carry,
        max_steps: jax.typing.ArrayLike,
        length: int,
    ) -> Segment:
        """Step until there is a reason to stop, at most ``max_steps`` times.

        The history has ``length`` entries, a multiple of BLOCK and at least ``max_steps``.
        The loop ends with the evaluation of the parameters that its last step led to.
        All counts are values of the program, so that XLA can unroll none of its loops:
        a fit in one piece runs the same machine code as a fit in several.
        """
        first = carry.state.num_steps
        stop_at = first + max_steps

        def going_on(carry: Carry, stop_at: jax.Array) -> jax.Array:
            running = (carry.status == int(RUNNING)) & (carry.state.num_steps < stop_at)
            return running | ~carry.evaluated

        def step(carry: Carry) -> tuple[Carry, FitHistory]:
            def value_fn(params: Any) -> jax.Array:
                return self.objective.loss_and_aux(params, *args)[0]

            state, record, status = advance(
                self.optimizer, limits, carry.state, carry.evaluation, value_fn=value_fn
            )
            # The first pass has nothing to step from, and evaluates only. One evaluation
            # in the program is compiled once, and gives the same bits to every step.
            state, status = select_tree(
                carry.evaluated, (state, status), (carry.state, carry.status)
            )
            evaluation = self.objective.evaluate(state.params, args)
            evaluated = jnp.ones_like(carry.evaluated)
            return Carry(state, evaluation, evaluated, status), record.history()

        def block(carry: Carry) -> tuple[Carry, FitHistory]:
            began = carry.state.num_steps

            def body(inner: tuple[Carry, FitHistory]) -> tuple[Carry, FitHistory]:
                carry, history = inner
                # A pass without a step has no row.
                row = jnp.where(carry.evaluated, carry.state.num_steps - began, BLOCK)
                carry, seen = step(carry)
                return carry, _set(history, row, seen)

            end = jnp.minimum(stop_at, began + BLOCK)
            return jax.lax.while_loop(
                lambda inner: going_on(inner[0], end), body, (carry, blank(BLOCK))
            )

        def blank(*shape: int) -> FitHistory:
            return blank_history(carry.state, carry.evaluation, shape)

        def body(outer: tuple[Carry, FitHistory]) -> tuple[Carry, FitHistory]:
            carry, history = outer
            row = (carry.state.num_steps - first) // BLOCK
            carry, written = block(carry)
            return carry, _set(history, row, written)

        carry, history = jax.lax.while_loop(
            lambda outer: going_on(outer[0], stop_at),
            body,
            (carry, blank(length // BLOCK, BLOCK)),
        )
        result = finalize(limits, carry.state, carry.evaluation, carry.status)
        num_steps = carry.state.num_steps - first
        result = result._replace(num_steps=num_steps, last=None)
        return Segment(carry, jax.tree.map(jnp.ravel, history), result)

    def smallest_step_size(self, carry: Carry) -> jax.Array:
        """The least lower bound of Rprop's step sizes; 0 where a wrapper hides it."""
        state = carry.state
        return smallest_step_size(self.optimizer, state.params, state.opt_state)

    def whole(
        self,
        limits: Limits,
        params: optax.Params,
        args: tuple[Any, ...],
        resume: FitState | None,
        max_steps: int,
        history: bool,
    ) -> FitResult:
        """The fit as one program, to be part of another."""
        carry = self.start(limits, params, args, resume)
        length = -(-max_steps // BLOCK) * BLOCK
        carry, series, result = self.run(limits, args, carry, max_steps, length)
        kept = jax.tree.map(lambda s: s[:max_steps], series) if history else None
        return result._replace(history=kept, last=carry.state)


def _set(history: FitHistory, row: jax.Array, seen: FitHistory) -> FitHistory:
    """The history with ``seen`` in this row; no change where there is no such row."""
    return jax.tree.map(lambda h, x: h.at[row].set(x, mode="drop"), history, seen)
