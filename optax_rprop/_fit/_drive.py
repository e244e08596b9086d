"""The loop from the host: what is compiled, and the calls of it."""

import functools
import math
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop._checks import is_traced
from optax_rprop._fit import _limits_checks
from optax_rprop._fit._loop import BLOCK, Loop, Segment, result_of
from optax_rprop._fit._objective import Objective
from optax_rprop._fit._packing import unpack
from optax_rprop._fit._progress import Report, deferred_interrupt
from optax_rprop._fit._record import StepRecord, from_rows
from optax_rprop._fit._result import FitHistory, FitResult, FitState, FitStatus
from optax_rprop._fit._step import Held, Scalars, record_of
from optax_rprop._fit._stop import RUNNING, Limits
from optax_rprop._kept import is_constant, kept_with
from optax_rprop._transform._box import check_start

SEGMENT = 42 * BLOCK  # the most steps of one call, and the length of its history
_SECONDS_PER_REPORT = 0.2


class Programs:
    """The compiled programs of a loop: one set for a loss and an optimizer."""

    def __init__(self, loop: Callable[[], Loop]) -> None:
        self._loop = loop
        self._start = jax.jit(lambda *args: loop().start(*args))
        # Its result is a constant, which lies on the devices of its unused arguments.
        self._smallest = jax.jit(
            lambda held: loop().smallest_step_size(held), keep_unused=True
        )
        self.run: Callable[..., Segment] = jax.jit(
            lambda together, *args: (
                loop()._replace(together=together).run(*args, length=SEGMENT)
            ),
            static_argnums=0,
            donate_argnums=3,
        )
        self.whole = jax.jit(lambda *args: loop().whole(*args), static_argnums=(4, 5, 6))

    def start(self, limits: Limits, params: Any, args: Any, resume: Any) -> Held:
        """The fit before the first step, on the devices of the parameters."""
        sharded = not is_traced(params) and any(
            isinstance(leaf, jax.Array) and len(leaf.sharding.device_set) > 1
            for leaf in jax.tree.leaves(params)
        )
        if not sharded:
            compiled: Held = self._start(limits, params, args, resume)
            return compiled
        # XLA places a program's constants where it likes; eager ones lie like their leaf.
        # Copies, since an optimizer's init may return one array twice, or the user's own.
        held: Held = self._loop().start(limits, params, args, resume)
        copied: Held = jax.tree.map(jnp.copy, held)
        return copied

    def check(
        self,
        caller: str,
        limits: Limits,
        params: Any,
        held: Held,
        resume: FitState | None,
        step_tol: str | None,
    ) -> None:
        """Raise unless the values of a fit before its first step are right.

        ``step_tol`` is what the user asked for, as messages show it.
        """
        if resume is None:
            check_start(caller, held.arrays["opt_state"], params)
        if step_tol is not None:
            smallest = self._smallest(held)
            smallest = None if smallest is None else smallest.item()
            _limits_checks.step_tol_can_be_met(
                caller, limits.step_tol, smallest, step_tol
            )


P = TypeVar("P", bound=Programs)


def programs_for(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    stop_when: Callable[[StepRecord], Any] | None,
    programs: type[P],
) -> P:
    """The programs of a loop: kept for as long as the functions that it calls live."""
    _, has_aux, microbatch_size = objective
    kind = type(optimizer)

    def make(owners: Callable[[], Any]) -> P:
        def loop() -> Loop:
            loss_fn, init, update, *stop = owners()
            extended = optax.with_extra_args_support(kind(init, update))
            return Loop(Objective(loss_fn, has_aux, microbatch_size), extended, *stop)

        return programs(loop)

    own = () if stop_when is None else (stop_when,)
    owners = (objective.loss_fn, optimizer.init, optimizer.update, *own)
    if not all(map(is_constant, (objective.loss_fn, *own))):
        return make(lambda: owners)
    return kept_with(owners, (has_aux, microbatch_size, kind, programs), make)


class Runs(Protocol):
    """What steps a fit on, as ``Programs.run`` does."""

    def run(
        self,
        together: bool,
        limits: Limits,
        args: tuple[Any, ...],
        held: Held,
        pause_after: int,
        stop_after: int,
        /,
    ) -> Segment:
        """Some steps; once none is left, the pass that closes the fit."""


def run_on_host(
    programs: Runs,
    limits: Limits,
    args: tuple[Any, ...],
    held: Held,
    max_steps: int,
    with_history: bool,
    report: Report | None,
) -> FitResult | None:
    """Step in calls of the compiled loop, which with a report last fractions of a second.

    Every fit outside jit and vmap runs this one program, whatever its rules, its
    history, its number of steps and its reports. So all take the same steps, bit for bit.
    Returns None, without a step, if the loss closes over traced values.
    """
    first = _scalars_of(held).counts["num_steps"].item()
    num_steps, chunk = 0, SEGMENT if report is None else 1
    # To sum up arrays together that are spread over devices, each would be gathered.
    together = is_traced(held.arrays["params"]) or all(
        leaf.is_fully_replicated for leaf in jax.tree.leaves(held.arrays["params"])
    )
    written: list[FitHistory] = []
    reported = -math.inf
    with deferred_interrupt(report is not None) as interrupted:
        while True:
            began = time.perf_counter()
            stopped = interrupted()
            left = 0 if stopped else max_steps - num_steps
            chunk = min(chunk, SEGMENT, left)
            segment = programs.run(together, limits, args, held, chunk, left)
            if is_traced(segment.loss):
                return None
            held = segment.held
            seen = _scalars_of(held)
            taken = seen.counts["num_steps"].item() - first - num_steps
            num_steps += taken
            closed = seen.closed.item()
            if with_history:
                series = from_rows(np.asarray(segment.rows)[:taken], seen.history)
                written.append(series)
            now = time.perf_counter()
            # Twice or half as many steps at a time, to keep to the time of a report.
            chunk = chunk * 2 if now - began < _SECONDS_PER_REPORT else chunk // 2 or 1
            due = closed or now - reported >= _SECONDS_PER_REPORT
            if report is not None and taken and due:
                reported = now
                report(record_of(held.arrays, seen))
            if closed:
                break
        status = FitStatus(seen.status.item())
        if status is RUNNING and stopped:
            status = FitStatus.INTERRUPTED
        history = _join(written) if with_history else None
        counts = _placed_like(held.scalars, seen.counts)
        result = result_of(
            segment, seen._replace(counts=counts), num_steps, status, history
        )
        return result._replace(best_step=seen.counts["best_step"].item())


def _scalars_of(held: Held) -> Scalars:
    """The scalars, as NumPy's: read in one piece, and on no device."""
    scalars: Scalars = unpack(jax.tree.map(np.asarray, held.scalars))
    return scalars


@functools.partial(jax.jit, keep_unused=True)
def _placed_like(arrays: Any, tree: Any) -> Any:
    """The tree on the devices of the arrays, in one call."""
    return jax.tree.map(jnp.copy, tree)


def _join(written: list[FitHistory]) -> FitHistory:
    """The parts one after another."""
    joined: FitHistory = jax.tree.map(lambda *parts: np.concatenate(parts), *written)
    return joined
