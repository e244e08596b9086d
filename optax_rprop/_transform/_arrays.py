"""Rprop with its step sizes and signs as arrays: the state and the transformation."""

from __future__ import annotations  # so that a signature is short

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optax_rprop._leaf import coordinates_like, step_size_dtype
from optax_rprop._rule import RULES, VARIANTS, Variant
from optax_rprop._transform import _checks, _settings_checks
from optax_rprop._transform._first_steps import LearningRate, first_step_sizes
from optax_rprop._transform._kernel import Hyperparameters, step_leaf
from optax_rprop._transform._lift import (
    Form,
    Verdict,
    negated,
    no_loss_yet,
    real_number,
    transformation,
)


class RpropState(NamedTuple):
    """All that Rprop remembers between two steps: 5 bytes per float32 parameter.

    Attributes:
        step_sizes: A tree like the parameters: the step size of every coordinate, in the
            units of its parameter; float32, or the parameter's own dtype where that is
            wider. In the place of a complex leaf there are two arrays of its shape,
            ``real`` and ``imag``.
        prev_signs: A tree like ``step_sizes``, int8: the remembered signs -1, 0 or 1. A
            coordinate whose sign is not 0 moved against it in the last step, by its step
            size.
        prev_value: A scalar: the last finite loss given as ``value=``; the largest
            finite number before the first. It has the default float dtype: float64 where
            x64 is enabled.
    """

    step_sizes: optax.Params
    prev_signs: optax.Params
    prev_value: jax.Array


def rprop(
    learning_rate: LearningRate = 0.1,
    eta_minus: jax.typing.ArrayLike = 0.5,
    eta_plus: jax.typing.ArrayLike = 1.2,
    min_step_size: jax.typing.ArrayLike = 1e-6,
    max_step_size: jax.typing.ArrayLike = 50.0,
    *,
    variant: Variant = "irprop-",
) -> optax.GradientTransformationExtraArgs:
    r"""Rprop: steps that follow the sign of each gradient, one step size per parameter.

    Every parameter keeps a step size. It grows while the sign of its gradient stays and
    shrinks when the sign changes, so the size of the gradient never matters and there is
    no learning rate to tune. Rprop is made for losses over all of the data. On noisy
    mini-batches signs change by chance, the steps shrink to nothing, and Adam is the
    better choice.

    With :math:`s` the sign of the gradient now, :math:`p` the remembered sign,
    :math:`\Delta` the step size and :math:`\eta^-, \eta^+` the arguments ``eta_minus``
    and ``eta_plus``:

    .. math::

        \Delta' = \begin{cases}
            \min(\eta^+ \Delta, \Delta_{\max}) & s p > 0 \\
            \Delta & s p = 0 \\
            \max(\eta^- \Delta, \Delta_{\min}) & s p < 0
        \end{cases}

    and the parameter moves by :math:`-s \Delta'` and :math:`s` is remembered, except on a
    sign change (:math:`s p < 0`), where

    * ``"irprop-"`` (the default) stays and remembers 0;
    * ``"rprop-"`` moves by :math:`-s \Delta'` as everywhere else;
    * ``"rprop+"`` undoes the last move, by :math:`+p \Delta`, and remembers 0;
    * ``"irprop+"`` does so only if the loss rose, else stays; it remembers 0 either way.

    A gradient of 0 or NaN moves nothing and remembers 0. A loss ``value`` that is not
    finite rejects the last step, in every rule: what moved goes back, all step sizes
    shrink, and the gradient is not looked at.

    Args:
        learning_rate: The initial step size, in the units of the parameters; positive,
            and between the two bounds. A tree like the parameters, of numbers or arrays
            of their shapes, gives each its own. ``"relative"`` stands for a tenth of the
            size of each initial parameter (within the bounds; 0.1 where it is 0), which
            suits parameters of very different units. It is not a rate and takes no
            schedule: after the first steps it is forgotten.
        eta_minus: The factor that shrinks a step size; strictly between 0 and 1.
        eta_plus: The factor that grows a step size; greater than 1.
        min_step_size: The lower bound of the step sizes; at least 0, which stands for
            the smallest normal number, since a step size of 0 could never grow.
        max_step_size: The upper bound of the step sizes; may be inf.
        variant: The rule, one of :data:`VARIANTS`.

    Returns:
        An ``optax.GradientTransformationExtraArgs``, the chain of :func:`scale_by_rprop`
        and ``optax.scale(-1)``. Its ``update`` takes the loss as ``value=``, a real
        scalar, required by ``"irprop+"`` and optional for the others. Updates have the
        shape and dtype of the gradients.

    Raises:
        ValueError: A hyperparameter, as float32 holds it, is outside its range, or
            ``variant`` is unknown. From ``init``: ``learning_rate`` is a tree unlike the
            parameters. From ``update``: the gradients, the parameters or the
            state don't have the structure, the shapes and the dtypes that ``init`` saw,
            or ``value`` is not a scalar.
        TypeError: A hyperparameter is not a number. From ``init`` and ``update``: a leaf
            is neither floating-point nor complex, or ``value`` is missing or not a real
            number.

    Example:
        Down ``x**2`` from 0.25. The step grows from 0.1 to 0.12, jumps over 0, stays
        there for one step with half its size, and goes on from there:

        >>> import jax, optax, optax_rprop
        >>> tx = optax_rprop.rprop(learning_rate=0.1)
        >>> x = 0.25
        >>> state = tx.init(x)
        >>> for _ in range(5):
        ...     updates, state = tx.update(2 * x, state)
        ...     x = optax.apply_updates(x, updates)
        ...     print(f"{x:.3f}")
        0.150
        0.030
        -0.114
        -0.114
        -0.042

    References:
        Riedmiller and Braun (1993), "A direct adaptive method for faster backpropagation
        learning: the RPROP algorithm". Riedmiller (1994), "Rprop - Description and
        implementation details". Igel and Huesken (2003), "Empirical evaluation of the
        improved Rprop learning algorithms".
    """
    return optax.chain(
        _scale_by_rprop(
            "rprop",
            learning_rate,
            Hyperparameters(eta_minus, eta_plus, min_step_size, max_step_size),
            variant,
        ),
        negated,
    )


def scale_by_rprop(
    learning_rate: LearningRate = 0.1,
    eta_minus: jax.typing.ArrayLike = 0.5,
    eta_plus: jax.typing.ArrayLike = 1.2,
    min_step_size: jax.typing.ArrayLike = 1e-6,
    max_step_size: jax.typing.ArrayLike = 50.0,
    *,
    variant: Variant = "irprop-",
) -> optax.GradientTransformationExtraArgs:
    """The building block under :func:`rprop`: the same steps, not negated.

    This is Optax's convention for a ``scale_by_`` transformation: its updates point up
    the gradient, for a chain that ends in ``optax.scale(-1)``. Use it where the chain
    scales by something else, for example by +1 to maximise, and :func:`rprop` otherwise.

    Args:
        learning_rate: As in :func:`rprop`, and so for all that follow.
        eta_minus: The factor that shrinks a step size.
        eta_plus: The factor that grows a step size.
        min_step_size: The lower bound of the step sizes.
        max_step_size: The upper bound of the step sizes.
        variant: The rule, one of :data:`VARIANTS`.

    Returns:
        An ``optax.GradientTransformationExtraArgs`` whose state is a
        :class:`RpropState`.

    Raises:
        ValueError: As in :func:`rprop`.
        TypeError: As in :func:`rprop`.

    Example:
        The second step in the same direction is 1.2 times as long:

        >>> import optax_rprop
        >>> tx = optax_rprop.scale_by_rprop()
        >>> state = tx.init(1.0)
        >>> for gradient in [-3.0, -0.001]:
        ...     update, state = tx.update(gradient, state)
        ...     print(f"{update:.2f}")
        -0.10
        -0.12

    References:
        See :func:`rprop`.
    """
    return _scale_by_rprop(
        "scale_by_rprop",
        learning_rate,
        Hyperparameters(eta_minus, eta_plus, min_step_size, max_step_size),
        variant,
    )


def _scale_by_rprop(
    name: str,
    learning_rate: LearningRate,
    hyper: Hyperparameters,
    variant: Variant,
) -> optax.GradientTransformationExtraArgs:
    """The transformation; error messages name the public function ``name``."""
    learning_rate, hyper = jax.tree.map(real_number, (learning_rate, hyper))
    _settings_checks.variant(name, variant, VARIANTS)
    _settings_checks.hyperparameters(name, learning_rate, *hyper)

    def init(params: optax.Params) -> RpropState:
        return RpropState(
            step_sizes=first_step_sizes(
                name,
                params,
                learning_rate,
                hyper.min_step_size,
                hyper.max_step_size,
                step_size_dtype,
            ),
            prev_signs=coordinates_like(params, 0, lambda _: jnp.int8),
            prev_value=no_loss_yet(params),
        )

    def stepper(state: RpropState, verdict: Verdict) -> Callable[..., Any]:
        del state
        return lambda *leaf: step_leaf(*leaf, hyper, RULES[variant], *verdict)

    def check(caller: str, grads: Any, state: RpropState, params: Any) -> None:
        _checks.scalars(caller, state, "prev_value")
        _checks.gradients(caller, grads, params, state.step_sizes)
        sizes, signs = {"step_sizes": state.step_sizes}, {"prev_signs": state.prev_signs}
        _checks.coordinates(caller, grads, params, sizes, signs)

    form = Form(RpropState, ("step_sizes", "prev_signs"), init, stepper, check)
    return transformation(name, variant, form)


# What a fit and the wrappers run if no transformation is named; one object, so that all
# fits share what was compiled. The published least step of 1e-6 is too long where
# parameters are small or a valley is narrow, and a shorter one costs nothing elsewhere.
DEFAULT = rprop(min_step_size=1e-12)
