"""``fit_many``: fits from many starts at once."""

from __future__ import annotations  # so that a signature is short

from collections.abc import Callable
from typing import Any, Never

import jax
import optax

from optax_rprop._fit import _checks, _limits_checks
from optax_rprop._fit._fit import fit
from optax_rprop._fit._record import StepRecord
from optax_rprop._fit._result import FitResult


def fit_many(
    loss_fn: Callable[..., Any],
    starts: optax.Params,
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
    **unknown: Never,
) -> FitResult:
    """:func:`fit` from many starts at once: ``result.best()`` is the best of them.

    If a loss has several minima, as that of a Gaussian process or of a mixture may have,
    only some starts find a good one. This is ``jax.vmap`` of :func:`fit`: one compiled
    loop steps all fits, each ends by its own rule, and the loop runs until the last has
    ended.

    Args:
        loss_fn: As in :func:`fit`.
        starts: The initial parameters: a tree of arrays with an additional leading axis,
            one start per entry. ``jax.vmap(init)(jax.random.split(key, 8))`` makes eight.
        *args: The data, the same for all starts. Everything below is as in :func:`fit`.
        optimizer: Any Optax transformation; ``rprop(min_step_size=1e-12)`` if None.
        max_steps: The most steps that each fit takes.
        target_loss: Stop at a loss at or below it.
        step_tol: Stop when every coordinate has a step size of at most this.
        patience: Stop after this many steps without an improvement.
        rtol: The improvement that counts for ``patience``.
        stop_when: A rule of your own.
        microbatch_size: Accumulate loss and gradient over slices of this many entries.
        has_aux: Whether ``loss_fn`` returns a pair.
        history: Whether to keep what every step saw.
        **unknown: Not accepted; here so that an unknown keyword gets a clear message.

    Returns:
        A :class:`FitResult` of all fits, with a leading axis in every array.
        ``result.best()`` is the result of the best start, ``result.statuses`` says why
        each fit ended, and ``result.loss`` holds all losses.

    Raises:
        ValueError: As in :func:`fit`, or the leaves of ``starts`` have unequal leading
            sizes.
        TypeError: As in :func:`fit`.

    Example:
        Two of three starts find the lower of two valleys:

        >>> import jax.numpy as jnp
        >>> from optax_rprop import fit_many
        >>> def loss_fn(x):
        ...     return (x**2 - 1) ** 2 + 0.3 * x
        >>> result = fit_many(loss_fn, jnp.array([-2.0, 0.5, -0.3]), step_tol=1e-4)
        >>> [f"{loss:.2f}" for loss in result.loss]
        ['-0.31', '0.29', '-0.31']
        >>> print(f"{result.best().params:.2f}")
        -1.04

    References:
        See :func:`fit`.
    """
    caller = "fit_many"
    settings: dict[str, Any] = {
        "optimizer": optimizer,
        "max_steps": max_steps,
        "microbatch_size": microbatch_size,
        "has_aux": has_aux,
        "history": history,
        "stop_when": stop_when,
    }
    rules: dict[str, Any] = {
        "target_loss": target_loss,
        "step_tol": step_tol,
        "patience": patience,
        "rtol": rtol,
    }
    _checks.many(caller, starts)
    _limits_checks.limits(caller, **rules)
    _checks.no_unknown(caller, unknown)
    many: FitResult = jax.vmap(
        lambda start: fit(loss_fn, start, *args, **settings, **rules)
    )(starts)
    return many
