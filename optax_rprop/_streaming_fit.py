"""``streaming_fit``: a fit to data that comes as a stream of batches, pass by pass."""

from __future__ import annotations  # so that a signature is short

from collections.abc import Callable, Iterable
from typing import Any, Literal, Never

import jax
import jax.numpy as jnp
import optax

from optax_rprop import _checks as shared_checks
from optax_rprop._fit import _checks, _limits_checks
from optax_rprop._fit._drive import Programs, programs_for, run_on_host
from optax_rprop._fit._loop import Loop, Segment, last_step, segment_of
from optax_rprop._fit._objective import Evaluation, Objective
from optax_rprop._fit._packing import unpack
from optax_rprop._fit._progress import Report, reporter
from optax_rprop._fit._record import StepRecord, as_row
from optax_rprop._fit._result import FitResult, FitState
from optax_rprop._fit._step import Held, advance
from optax_rprop._fit._stop import Limits
from optax_rprop._streaming import evaluator
from optax_rprop._transform._arrays import DEFAULT
from optax_rprop._transform._values import check_values

_NAME = "streaming_fit"


def streaming_fit(
    loss_fn: Callable[..., Any],
    params: optax.Params,
    batches: Iterable[Any] | Callable[[], Iterable[Any]],
    *,
    optimizer: optax.GradientTransformation | None = None,
    max_steps: int = 1000,
    target_loss: jax.typing.ArrayLike | None = None,
    step_tol: jax.typing.ArrayLike | None = None,
    patience: jax.typing.ArrayLike | None = None,
    rtol: jax.typing.ArrayLike | None = None,
    stop_when: Callable[[StepRecord], Any] | None = None,
    history: bool = True,
    progress: bool | Literal["always"] | Report = False,
    resume: FitState | None = None,
    **unknown: Never,
) -> FitResult:
    """:func:`fit` to data that is larger than memory.

    A step is a pass over all batches, which come from the host: from disk, from a loader
    or from a generator. Loss and gradient are those of :func:`streaming_value_and_grad`.
    Everything else is as in :func:`fit`: the stop rules, the best parameters, the way
    back from a loss that is not finite, history and progress. The loop itself runs on the
    host. If the data fits into memory, :func:`fit` with ``microbatch_size`` is faster.

    Args:
        loss_fn: The loss, ``loss_fn(params, *batch)``, a real scalar; a mean over the
            leading axis of the batch (terms without data in them are fine).
        params: The initial parameters, a tree of real or complex arrays.
        batches: All of the data: an iterable for any number of passes, such as a list or
            a loader, or a function that returns a new iterable for every pass. A batch is
            a tuple or a list of arrays with the same leading size; any other tree of
            arrays is a single argument. The batches may be uneven and in any order, but
            have to be the same data at every pass.
        optimizer: As in :func:`fit`, like everything below. There is no ``value_fn=``, so
            a line search does not work.
        max_steps: The most steps. One more pass evaluates where the fit ended.
        target_loss: Stop at a loss at or below it.
        step_tol: Stop when every coordinate has a step size of at most this.
        patience: Stop after this many steps without an improvement.
        rtol: The improvement that counts for ``patience``.
        stop_when: A rule of your own.
        history: Whether to keep what every step saw.
        progress: True for a bar, or a function of a :class:`StepRecord`.
        resume: ``result.last`` of a fit with the same loss and optimizer.
        **unknown: Not accepted; here so that an unknown keyword gets a clear message.

    Returns:
        A :class:`FitResult`, as :func:`fit` returns it.

    Raises:
        ValueError: As in :func:`fit`, or a pass has no batches, or the arrays of a batch
            have unequal leading sizes.
        TypeError: As in :func:`fit`, or ``batches`` allows only one pass, or ``params``
            are traced, as inside ``jax.jit``.
        ImportError: ``progress`` asks for a bar and tqdm is not installed.

    Example:
        A line through 1,000 points that are made anew at every pass, 100 at a time:

        >>> import jax.numpy as jnp, numpy as np
        >>> from optax_rprop import streaming_fit
        >>> def batches():
        ...     for part in range(10):
        ...         x = np.linspace(part, part + 1, 100, dtype="float32")
        ...         yield x, 2 * x + 3
        >>> def loss_fn(params, x, y):
        ...     return jnp.mean((params["w"] * x + params["b"] - y) ** 2)
        >>> start = {"w": jnp.array(0.0), "b": jnp.array(0.0)}
        >>> result = streaming_fit(loss_fn, start, batches, target_loss=1e-4)
        >>> result.status.name, bool(result.loss <= 1e-4)
        ('TARGET_REACHED', True)

    References:
        See :func:`fit`.
    """
    optimizer = DEFAULT if optimizer is None else optimizer
    _checks.arguments(
        _NAME,
        loss_fn=loss_fn,
        optimizer=optimizer,
        max_steps=max_steps,
        microbatch_size=None,
        has_aux=False,
        history=history,
        progress=progress,
        resume=resume,
        stop_when=stop_when,
        unknown=unknown,
    )
    limits = _limits_checks.limits(
        _NAME, target_loss=target_loss, step_tol=step_tol, patience=patience, rtol=rtol
    )
    shared_checks.parameters(_NAME, params)
    _checks.data(_NAME, params=params, resume=resume)
    _checks.values(_NAME, params)
    _checks.has_arrays(_NAME, params)
    _checks.stream(_NAME, batches)
    check_values(_NAME, _checks.SAME, resume)

    evaluate = evaluator(_NAME, loss_fn)
    objective = Objective(loss_fn, has_aux=False, microbatch_size=None)
    programs = programs_for(objective, optimizer, stop_when, _Programs)
    passes = _Passes(programs, lambda at: _pass(evaluate, at, batches))
    held = passes.start(limits, params, resume)
    shown = None if step_tol is None else _limits_checks.shown(limits.step_tol)
    programs.check(_NAME, limits, params, held, resume, shown)
    with reporter(progress, max_steps, resume) as report:
        result = run_on_host(passes, limits, (), held, max_steps, history, report)
    assert result is not None  # only a fit inside a traced program is none
    return result


def _pass(evaluate: Any, params: optax.Params, batches: Any) -> Evaluation:
    """A pass over all of the data."""
    loss, grads = evaluate(params, batches() if callable(batches) else batches)
    # JAX's gradient of a complex parameter is the conjugate of the direction up.
    return Evaluation(loss, None, jax.tree.map(jnp.conj, grads))


class _Programs(Programs):
    """What is compiled for a fit over a stream: all but the evaluation."""

    def __init__(self, loop: Callable[[], Loop]) -> None:
        super().__init__(loop)

        def begin(limits: Limits, params: Any, loss: jax.Array, resume: Any) -> Held:
            shapes = Evaluation(loss, None, params)
            return loop().begin(_NAME, limits, params, shapes, resume)

        def step(
            together: bool, limits: Limits, held: Held, evaluation: Evaluation, left: int
        ) -> Segment:
            _, optimizer, stop_when, _ = loop()
            end = last_step(held, left)
            held = advance(optimizer, limits, held, evaluation, end, together, stop_when)
            return segment_of(held, as_row(unpack(held.scalars).history)[None])

        self.begin = jax.jit(begin)
        self.step = jax.jit(step, static_argnums=0, donate_argnums=2)


class _Passes:
    """The steps of one fit, each with its pass over the data."""

    def __init__(
        self, programs: _Programs, evaluate: Callable[[Any], Evaluation]
    ) -> None:
        self._programs, self._evaluate = programs, evaluate
        self._first: Evaluation | None = None

    def start(self, limits: Limits, params: Any, resume: FitState | None) -> Held:
        """The fit before its first step, for which the data has been passed over once."""
        at = params
        if resume is not None:
            at = resume.params
            _checks.resume(_NAME, at, jax.eval_shape(lambda p: p, params))
        self._first = self._evaluate(at)
        held: Held = self._programs.begin(limits, params, self._first.loss, resume)
        return held

    def run(
        self,
        together: bool,
        limits: Limits,
        args: tuple[Any, ...],
        held: Held,
        pause_after: int,
        stop_after: int,
    ) -> Segment:
        """One step, whatever ``pause_after`` is."""
        del args, pause_after
        evaluation, self._first = self._first, None
        if evaluation is None:
            evaluation = self._evaluate(held.arrays["params"])
        segment: Segment = self._programs.step(
            together, limits, held, evaluation, stop_after
        )
        return segment
