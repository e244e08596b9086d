"""Rprop as a minimiser of Optimistix: the steps and the stop rules of ``fit``."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop._derivatives import refuse_derivative
from optax_rprop._fit import _checks, _limits_checks
from optax_rprop._fit._objective import Evaluation
from optax_rprop._fit._packing import unpack
from optax_rprop._fit._record import knows_step_sizes
from optax_rprop._fit._result import FitStatus
from optax_rprop._fit._step import Held, Scalars, advance, hold, initial_state
from optax_rprop._fit._stop import Limits
from optax_rprop._transform._arrays import DEFAULT

try:
    import optimistix
except ImportError as error:
    raise ImportError(
        f"optax_rprop.optimistix: optimistix must be installed, got {error}. pip install "
        "'optax-rprop[optimistix]' brings it."
    ) from error

__all__ = ["RpropMinimiser"]

_NAME = "RpropMinimiser"
_RESULTS: Any = optimistix.RESULTS
_FAILURES = {  # every other status is a success
    FitStatus.NONFINITE: _RESULTS.nonfinite,
    FitStatus.NAN_GRADIENT: _RESULTS.nonfinite,
    FitStatus.WORSE_THAN_BEST: _RESULTS.nonlinear_divergence,
}


class RpropMinimiser(optimistix.AbstractMinimiser[Any, Any, Any]):
    r"""Rprop for ``optimistix.minimise``, with the steps and the stop rules of ``fit``.

    Use it for implicit derivatives of the solution, and in code that is written for the
    solvers of Optimistix. Otherwise use :func:`~optax_rprop.fit`, which has a history,
    shows its progress and can go on where it ended.

    At a minimum :math:`y` of ``fn(y, args)`` the gradient is zero. So
    ``optimistix.ImplicitAdjoint()``, the default of ``minimise``, takes derivatives with
    respect to ``args``, :math:`\theta`, by the implicit function theorem:

    .. math::

        \frac{\mathrm{d}y}{\mathrm{d}\theta} =
        -\left(\frac{\partial^2 f}{\partial y^2}\right)^{-1}
        \frac{\partial^2 f}{\partial y \, \partial\theta}.

    They are right only if the gradient is zero. So they are wrong if a bound of
    :func:`~optax_rprop.in_box` holds a parameter.

    ``optimistix.OptaxMinimiser`` stops when two losses and two iterates are close to each
    other, so it mistakes Rprop's standstill after a sign change for the end. Here no rule
    looks at the size of an update. The solution is the best point that was evaluated.

    ``sol.stats["status"]`` is a :class:`~optax_rprop.FitStatus`, as an int32 array, and
    ``sol.result`` follows from it. ``TARGET_REACHED``, ``STEP_CONVERGED``, ``STATIONARY``
    and ``STALLED`` are ``successful``; ``NONFINITE`` and ``NAN_GRADIENT`` are
    ``nonfinite``; ``WORSE_THAN_BEST`` is ``nonlinear_divergence``; and ``MAX_STEPS`` is
    ``nonlinear_max_steps_reached``. Optimistix counts evaluations as steps. There is one
    evaluation more than steps of ``fit``, because the last one only evaluates where the
    steps led. Give ``minimise`` enough ``max_steps``: its default is 256.

    Args:
        optimizer: Any Optax transformation; ``rprop(min_step_size=1e-12)`` if None, as in
            :func:`~optax_rprop.fit`. Create it once: a new one compiles again.
        step_tol: Stop when every coordinate has a step size of at most this; positive,
            and not below ``min_step_size``. It is in the units of the parameters, or in
            those of :func:`~optax_rprop.in_units`. Only for Rprop.
        target_loss: Stop at a loss at or below it.
        patience: Stop after this many steps without an improvement; at least 1. None
            means 100; with inf this rule never stops the fit.
        rtol: The improvement that counts for ``patience``, relative to the loss; None
            means the same as in :func:`~optax_rprop.fit`.

    Raises:
        ValueError: An argument is out of its range. From ``minimise``: ``step_tol`` is
            given, and the optimizer has no step sizes.
        TypeError: An argument is of a wrong kind. From ``minimise``: a derivative is
            taken through the steps, with an adjoint other than ``ImplicitAdjoint``.
        ImportError: From the import of this module: Optimistix is not installed.

    Example:
        The minimum of ``(y - t)**2 + y**2`` is at ``t / 2``:

        >>> import jax
        >>> import jax.numpy as jnp
        >>> import optimistix
        >>> from optax_rprop.optimistix import RpropMinimiser
        >>> solver = RpropMinimiser(step_tol=1e-5)
        >>> def solution(t):
        ...     loss = lambda y, t: (y - t) ** 2 + y**2
        ...     return optimistix.minimise(loss, solver, jnp.array(0.0), t).value
        >>> value, derivative = jax.value_and_grad(solution)(3.0)
        >>> print(f"{value:.3f} {derivative:.3f}")
        1.500 0.500

    References:
        Rader, Lyons and Kidger (2024), "Optimistix: modular optimisation in JAX and
        Equinox".

        Blondel et al. (2022), "Efficient and modular implicit differentiation".
    """

    optimizer: optax.GradientTransformation
    step_tol: Any
    limits: Limits
    rtol: Any
    # Optimistix asks these two of every solver, and only its `root_find` uses them. That
    # one would need an atol that says what a root is.
    atol: float
    norm: Any

    def __init__(
        self,
        optimizer: optax.GradientTransformation | None = None,
        *,
        step_tol: jax.typing.ArrayLike | None = None,
        target_loss: jax.typing.ArrayLike | None = None,
        patience: jax.typing.ArrayLike | None = None,
        rtol: jax.typing.ArrayLike | None = None,
    ) -> None:
        """See the class."""
        self.optimizer = DEFAULT if optimizer is None else optimizer
        _checks.transformation(_NAME, self.optimizer)
        self.step_tol = step_tol
        self.limits = _limits_checks.limits(
            _NAME,
            target_loss=target_loss,
            step_tol=step_tol,
            patience=patience,
            rtol=rtol,
        )
        self.rtol, self.atol, self.norm = self.limits.rtol, 0.0, optimistix.max_norm

    def init(
        self,
        fn: Any,
        y: Any,
        args: Any,
        options: Any,
        f_struct: Any,
        aux_struct: Any,
        tags: Any,
    ) -> Held:
        """The fit before its first step."""
        optimizer = optax.with_extra_args_support(self.optimizer)
        state = initial_state(optimizer, y, Evaluation(f_struct, aux_struct, y))
        if self.step_tol is not None:
            smallest = 0.0 if knows_step_sizes(y, state.opt_state) else None
            shown = _limits_checks.shown(self.step_tol)
            _limits_checks.step_tol_can_be_met(_NAME, self.step_tol, smallest, shown)
        return _split(hold(self.limits, state))[1]

    def step(
        self, fn: Any, y: Any, args: Any, options: Any, state: Held, tags: Any
    ) -> tuple[Any, Held, Any]:
        """Evaluate ``y``, and step if there is no reason to stop."""
        (loss, aux), grads = jax.value_and_grad(fn, has_aux=True)(y, args)
        evaluation = refuse_derivative(
            Evaluation(loss, aux, jax.tree.map(jnp.conj, grads)), _NO_DERIVATIVE
        )
        held = advance(
            optax.with_extra_args_support(self.optimizer),
            self.limits,
            Held({**state.arrays, "params": y}, state.scalars),
            evaluation,
            stop_at=jnp.int32(np.iinfo(np.int32).max),  # minimise counts its max_steps
            value_fn=lambda y: fn(y, args)[0],
        )
        return *_split(held), aux

    def terminate(
        self, fn: Any, y: Any, args: Any, options: Any, state: Held, tags: Any
    ) -> tuple[jax.Array, Any]:
        """Whether the fit has ended, and with which result."""
        seen: Scalars = unpack(state.scalars)
        result = _RESULTS.successful
        for status, failure in _FAILURES.items():
            failed = seen.closed & (seen.status == int(status))
            result = _RESULTS.where(failed, failure, result)
        return seen.closed, result

    def postprocess(
        self,
        fn: Any,
        y: Any,
        aux: Any,
        args: Any,
        options: Any,
        state: Held,
        tags: Any,
        result: Any,
    ) -> tuple[Any, Any, dict[str, Any]]:
        """The best parameters, their aux, and the status of the fit."""
        seen: Scalars = unpack(state.scalars)
        # Optimistix itself ends the loop after max_steps, and at a y that is not finite.
        otherwise = jnp.where(
            result == _RESULTS.nonfinite,
            int(FitStatus.NONFINITE),
            int(FitStatus.MAX_STEPS),
        )
        status = jnp.where(seen.closed, seen.status, otherwise.astype(np.int32))
        best = state.arrays
        return best["best_params"], best["best_aux"], {"status": status}


_NO_DERIVATIVE = (
    f"{_NAME}: adjoint must be optimistix.ImplicitAdjoint(), got a derivative through "
    "the steps. Rprop follows signs, so it would be zero without being right."
)


def _split(held: Held) -> tuple[Any, Held]:
    """The parameters, which Optimistix holds itself, and the rest."""
    rest = dict(held.arrays)
    return rest.pop("params"), held._replace(arrays=rest)
