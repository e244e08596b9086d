"""``fit``: one call from parameters and data to a result."""

import math
import time
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop import _fit_checks
from optax_rprop._diagnostics import step_size_mean
from optax_rprop._identity import rules_of
from optax_rprop._loop import Problem, block, finish, run, start
from optax_rprop._progress import Report, deferred_interrupt, reporter
from optax_rprop._result import FitResult, FitState, FitStatus
from optax_rprop._stop import Rules
from optax_rprop._transform import rprop

_DEFAULT_OPTIMIZER = rprop()  # one for all calls, so that they share what was compiled


def fit(
    loss_fn: Callable[..., Any],
    params: optax.Params,
    *args: Any,
    optimizer: optax.GradientTransformation | None = None,
    max_steps: int = 1000,
    target_loss: jax.typing.ArrayLike | None = None,
    step_tol: jax.typing.ArrayLike | None = None,
    patience: jax.typing.ArrayLike | None = None,
    rtol: jax.typing.ArrayLike = 1e-4,
    microbatch_size: int | None = None,
    has_aux: bool = False,
    history: bool = True,
    progress: bool | Literal["always"] | Report = False,
    resume: FitState | None = None,
) -> FitResult:
    r"""Minimise ``loss_fn(params, *args)`` over all of the data, in one compiled loop.

    A step evaluates the loss and its gradient, remembers the best parameters and moves
    on. The loop runs on the device from the first step to the last, and it is compiled
    once for a ``loss_fn``, an ``optimizer`` and the shapes: keep both as they are, and
    give data as ``args``, not inside of ``loss_fn``. It works inside ``jax.jit``, under
    ``jax.vmap`` (every lane ends by its own rule) and on sharded arrays.

    Rprop is not monotone and stands still after a sign change, by design. So the best
    parameters are returned, and no rule looks at the size of an update. With
    :math:`f_i` the loss of step :math:`i`, :math:`\Delta` the step sizes and :math:`g`
    the gradient, a fit ends when

    .. math::

        f_i \le \mathtt{target\_loss}, \qquad
        \max_{g_j \ne 0} \Delta_j \le \mathtt{step\_tol}, \qquad
        g = 0,

    or when the best loss has not improved by ``rtol``, relative to itself, for
    ``patience`` steps, or after ``max_steps``.

    A step to a loss that is not finite is undone, with smaller step sizes. Where the loss
    is still not finite, the fit goes back to the best parameters with yet smaller steps.
    Another optimizer than Rprop can't shrink its steps: then the fit ends.

    Args:
        loss_fn: The loss, ``loss_fn(params, *args)``, a real scalar; with ``has_aux`` a
            pair of it and anything else. It has to be hashable, as functions are.
        params: The initial parameters, a tree of real or complex arrays.
        *args: The data, trees of arrays; new data of the same shapes compiles nothing.
        optimizer: Any Optax transformation; :func:`rprop` with its defaults if None. Its
            ``update`` is given ``value=``, ``grad=`` and ``value_fn=``.
        max_steps: The largest number of steps of this call; at least 1.
        target_loss: Stop at a loss at or below it.
        step_tol: Stop when no step size is larger, in parameter units; positive. A
            coordinate whose gradient is exactly zero counts as arrived. For Rprop alone.
        patience: Stop after so many steps without an improvement; at least 1.
        rtol: The improvement that counts for ``patience``, relative to the loss.
        microbatch_size: Accumulate loss and gradient over slices of this many entries of
            the leading axis of every array in ``args``, to save memory. The loss has to
            be a mean over that axis (terms without data in them are fine); a size that
            does not divide the axis is exact too.
        has_aux: Whether ``loss_fn`` returns a pair; ``result.aux`` is then that of the
            best parameters. Not together with ``microbatch_size``.
        history: Whether to keep what every step saw; see :class:`FitHistory`.
        progress: True for a bar (none where the output is no terminal; ``"always"`` draws
            one there too), or a function of the number of steps, the loss and the
            geometric mean of the step sizes (None without Rprop), called a few times a
            second. The result is the same bit for bit. Ctrl-C then ends the fit early.
        resume: ``result.last`` of a fit with the same loss and optimizer: goes on as
            though it had never stopped. ``params`` then only says the structure.

    Returns:
        A :class:`FitResult`.

    Raises:
        ValueError: An argument is out of its range, ``args`` have unequal leading sizes
            under ``microbatch_size``, the loss is no scalar, ``step_tol`` is asked of an
            optimizer without step sizes, or ``resume`` does not fit.
        TypeError: An argument is of a wrong kind, or a parameter is no floating-point or
            complex array.
        ImportError: ``progress`` asks for a bar and tqdm is not installed.

    Example:
        A line through three points, to a loss of 1e-6:

        >>> import jax.numpy as jnp
        >>> from optax_rprop import fit
        >>> def loss_fn(params, x, y):
        ...     return jnp.mean((params["w"] * x + params["b"] - y) ** 2)
        >>> x = jnp.array([-1.0, 0.0, 1.0])
        >>> start = {"w": jnp.array(0.0), "b": jnp.array(0.0)}
        >>> result = fit(loss_fn, start, x, 2 * x + 3, target_loss=1e-6)
        >>> result.status.name, bool(result.loss <= 1e-6)
        ('TARGET_REACHED', True)
        >>> print(f"{result.params['w']:.2f} {result.params['b']:.2f}")
        2.00 3.00

    References:
        Igel and Huesken (2003), "Empirical evaluation of the improved Rprop learning
        algorithms", on full-batch training and its stopping.
    """
    optimizer = _DEFAULT_OPTIMIZER if optimizer is None else optimizer
    _fit_checks.arguments(
        "fit",
        loss_fn=loss_fn,
        optimizer=optimizer,
        max_steps=max_steps,
        target_loss=target_loss,
        step_tol=step_tol,
        patience=patience,
        rtol=rtol,
        microbatch_size=microbatch_size,
        has_aux=has_aux,
        progress=progress,
    )
    _fit_checks.arrays("fit", params, args)
    problem = Problem(loss_fn, optimizer, max_steps, microbatch_size, has_aux, history)
    rules = Rules(target_loss, step_tol, patience, rtol)
    result: Any  # a FitResult of arrays
    if resume is not None:
        _fit_checks.fit_state("fit", resume, FitState)
        _fit_checks.same_rules("fit", resume.rules, rules_of(optimizer, params))
    if progress is False:
        result = _run(problem, rules, params, args, resume)
    else:
        _fit_checks.not_traced("fit", progress, (params, args, resume))
        with reporter(progress, max_steps) as report:
            result = _fit_in_chunks(problem, rules, params, args, resume, report)
    if not isinstance(result.status, jax.core.Tracer):  # as it is inside jit and vmap
        result = result._replace(
            num_steps=result.num_steps.item(), status=FitStatus(result.status.item())
        )
    return FitResult(*result)


_run = jax.jit(run, static_argnums=0)
_start = jax.jit(start, static_argnums=0)
_block = jax.jit(block, static_argnums=0)
_finish = jax.jit(finish, static_argnums=0)
_step_size_mean = jax.jit(step_size_mean)


_SECONDS_A_REPORT = 0.2


def _fit_in_chunks(
    problem: Problem,
    rules: Rules,
    params: Any,
    args: Any,
    resume: FitState | None,
    report: Report,
) -> FitResult:
    """The same loop, left a few times a second to report and to look for Ctrl-C."""
    carry = _start(problem, rules, params, args, resume)
    num_steps, chunk, going_on = 0, 1, True
    blocks, lengths = [], []
    reported = -math.inf
    with deferred_interrupt() as interrupted:
        while going_on:
            began = time.perf_counter()
            stop_at = min(num_steps + chunk, problem.max_steps)
            carry, history = _block(problem, rules, args, carry, stop_at)
            taken = carry.num_steps.item() - num_steps
            num_steps += taken
            blocks.append(history)
            lengths.append(taken)
            running = carry.status.item() == FitStatus.MAX_STEPS
            going_on = running and num_steps < problem.max_steps
            now = time.perf_counter()
            # Twice as many steps at a time, or half, to keep to the time of a report.
            chunk = chunk * 2 if now - began < _SECONDS_A_REPORT else max(1, chunk // 2)
            if not going_on or now - reported >= _SECONDS_A_REPORT:
                reported = now
                size = _step_size_mean(carry.state.opt_state)
                report(
                    num_steps, carry.loss.item(), None if size is None else size.item()
                )
            if interrupted():
                break

    def join(*series: jax.Array) -> jax.Array:
        taken = [np.asarray(s)[:k] for s, k in zip(series, lengths, strict=True)]
        padding = (0, problem.max_steps - num_steps)
        return jnp.pad(np.concatenate(taken), padding, constant_values=jnp.nan)

    history = jax.tree.map(join, *blocks)
    result: FitResult = _finish(problem, rules, args, carry, history)
    if going_on:
        interrupted_status = jnp.asarray(int(FitStatus.INTERRUPTED), jnp.int32)
        result = result._replace(status=interrupted_status)
    return result
