"""``fit``: one call from parameters and data to a result."""

from __future__ import annotations  # so that a signature is short

from collections.abc import Callable
from typing import Any, Literal, Never

import jax
import optax

from optax_rprop._checks import is_traced, parameters
from optax_rprop._fit import _checks, _limits_checks
from optax_rprop._fit._drive import Programs, programs_for, run_on_host
from optax_rprop._fit._objective import Objective
from optax_rprop._fit._progress import Report, reporter
from optax_rprop._fit._record import StepRecord
from optax_rprop._fit._result import FitResult, FitState
from optax_rprop._transform._arrays import DEFAULT
from optax_rprop._transform._values import check_values


def fit(
    loss_fn: Callable[..., Any],
    params: optax.Params,
    *args: Any,
    optimizer: optax.GradientTransformation | None = None,
    max_steps: int = 1000,
    target_loss: jax.typing.ArrayLike | None = None,
    step_tol: jax.typing.ArrayLike | None = None,
    patience: jax.typing.ArrayLike | None = None,
    rtol: jax.typing.ArrayLike | None = None,
    stop_when: Callable[[StepRecord], Any] | None = None,
    microbatch_size: int | None = None,
    has_aux: bool = False,
    history: bool = True,
    progress: bool | Literal["always"] | Report = False,
    resume: FitState | None = None,
    **unknown: Never,
) -> FitResult:
    r"""Minimise ``loss_fn(params, *args)`` over all of the data, in one compiled loop.

    A step evaluates the loss and its gradient, remembers the best parameters and moves
    on. Without any other rule, a fit stops when 100 steps have brought no new best loss.

    The loop runs on the device. It is compiled once for each ``loss_fn``, ``optimizer``
    and set of shapes, whatever else a call asks for. So create both functions once, and
    pass data as ``args`` instead of closing over it: like ``jax.jit``, a fit does not see
    that a global or an attribute behind a function has changed. (A bound method or an
    object with a ``__call__`` is compiled anew at each call.) ``fit`` works inside
    ``jax.jit``, under ``jax.vmap`` (every fit of the batch ends by its own rule) and on
    sharded arrays.

    By design, Rprop is not monotone and stands still after a sign change. So ``fit``
    returns the best parameters, and no rule looks at the size of an update. With
    :math:`f_i` the loss of step :math:`i`, :math:`\Delta` the step sizes and :math:`g`
    the gradient, a fit ends when

    .. math::

        f_i \le \mathtt{target\_loss}, \qquad
        \max_{g_j \ne 0} \Delta_j \le \mathtt{step\_tol}, \qquad
        g = 0,

    or when the best loss has not improved by ``rtol``, relative to itself, for
    ``patience`` steps, or when ``stop_when`` says so, or after ``max_steps``. If a rule
    holds at a place much worse than the best, the status says so (``WORSE_THAN_BEST``).

    Rprop's first step may be far too large. So a fit with Rprop goes back to the best
    parameters, with smaller steps, if there has been no new best for more than 10 steps,
    or if every gradient is zero at a worse loss. It also takes back a step that led above
    the first loss, if the step raised the loss by more than the gradient had promised to
    lower it.

    A fit undoes a step to a loss that is not finite, and shrinks the step sizes. If the
    loss is still not finite, the fit goes back to the best parameters with yet smaller
    steps. An optimizer other than Rprop can't shrink its steps, so there the fit ends.

    Outside ``jax.jit`` and ``jax.vmap`` every fit of a ``loss_fn`` and an ``optimizer``
    runs the same compiled loop. So its steps are the same bit for bit, in one piece or
    resumed, with or without a history or progress. Inside them, XLA compiles the loss
    together with the code around it, and the last digits may differ.

    Args:
        loss_fn: The loss, ``loss_fn(params, *args)``, a real scalar; with ``has_aux``, a
            pair of the loss and anything else.
        params: The initial parameters, a tree of real or complex arrays.
        *args: The data, trees of arrays; new data of the same shapes compiles nothing.
        optimizer: Any Optax transformation; ``rprop(min_step_size=1e-12)`` if None. Its
            ``update`` is given ``value=``, ``grad=`` and ``value_fn=``.
        max_steps: The most steps that this call takes; at least 1.
        target_loss: Stop at a loss at or below it.
        step_tol: Stop when every coordinate has a step size of at most this; positive,
            and not below ``min_step_size``. It is in the units of the parameters, or in
            those of :func:`in_units`. A coordinate whose gradient is exactly zero or NaN
            counts as arrived. Only for Rprop.
        patience: Stop after this many steps without an improvement; at least 1. None
            means 100; with inf this rule never stops the fit.
        rtol: The improvement that counts for ``patience``, relative to the loss. None
            means 1e-4 if you pass ``patience``, and otherwise 0: any improvement counts.
        stop_when: A rule of your own: a function from a :class:`StepRecord` to a bool. It
            is compiled into the loop, which it ends with ``STOPPED``. Like the loss,
            create it once.
        microbatch_size: Accumulate loss and gradient over slices of this many entries of
            the leading axis of every array in ``args``, to save memory. The loss has to
            be a mean over that axis (terms without data in them are fine); a size that
            does not divide the axis is exact too. Sums are float32, or wider if the
            values are wider.
        has_aux: Whether ``loss_fn`` returns a pair; ``result.aux`` then belongs to the
            best parameters. Not together with ``microbatch_size``.
        history: Whether to keep what every step saw; see :class:`FitHistory`.
        progress: True for a bar in a terminal or a notebook (``"always"`` draws one
            everywhere), or a function of a :class:`StepRecord`, called a few times per
            second. The first Ctrl-C then ends the fit early, with its result.
        resume: ``result.last`` of a fit with the same loss and optimizer: the fit goes on
            as though it had never stopped. ``params`` then only gives structure, shapes
            and dtypes. The rule of Rprop, its factors and its bounds may change.
        **unknown: Not accepted; here so that an unknown keyword gets a clear message.

    Returns:
        A :class:`FitResult`.

    Raises:
        ValueError: An argument is out of its range, ``args`` have unequal leading sizes
            under ``microbatch_size``, the loss is not a scalar, ``step_tol`` is below the
            smallest step size or the optimizer has no step sizes, or ``resume`` does not
            fit.
        TypeError: An argument is of a wrong kind, a parameter is neither floating-point
            nor complex, the data does not fit ``loss_fn``, or a derivative is taken
            through the fit.
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
    optimizer = DEFAULT if optimizer is None else optimizer
    _checks.arguments(
        "fit",
        loss_fn=loss_fn,
        optimizer=optimizer,
        max_steps=max_steps,
        microbatch_size=microbatch_size,
        has_aux=has_aux,
        history=history,
        progress=progress,
        resume=resume,
        stop_when=stop_when,
        unknown=unknown,
    )
    limits = _limits_checks.limits(
        "fit", target_loss=target_loss, step_tol=step_tol, patience=patience, rtol=rtol
    )
    parameters("fit", params)
    _checks.data("fit", params=params, args=args, resume=resume)
    programs = programs_for(
        Objective(loss_fn, has_aux, microbatch_size), optimizer, stop_when, Programs
    )

    shown = None if step_tol is None else _limits_checks.shown(limits.step_tol)

    if not is_traced((params, args, limits, resume)):
        held = programs.start(limits, params, args, resume)
        # A loss or an optimizer that holds traced values shows in what it returns.
        if not is_traced(held):
            check_values("fit", _checks.SAME, resume)
            programs.check("fit", limits, params, held, resume, shown)
            with reporter(progress, max_steps, resume) as report:
                result = run_on_host(
                    programs, limits, args, held, max_steps, history, report
                )
            if result is not None:
                return result
    _checks.not_traced(progress)
    traced: FitResult = programs.whole(
        limits, params, args, resume, max_steps, history, shown
    )
    return traced
