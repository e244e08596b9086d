"""Rprop with a step size and a sign in one byte: the state and the transformation."""

from __future__ import annotations  # so that a signature is short

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from optax_rprop._derivatives import refuse_derivative
from optax_rprop._rule import RULES, VARIANTS, Variant
from optax_rprop._transform import _checks, _settings_checks
from optax_rprop._transform._arrays import RpropState
from optax_rprop._transform._codes import (
    LEVELS,
    level_of,
    sign_of_code,
    step_codes,
    step_size_of,
)
from optax_rprop._transform._first_steps import LearningRate, first_step_sizes
from optax_rprop._transform._lift import (
    Form,
    Verdict,
    negated,
    no_loss_yet,
    real_number,
    transformation,
)


class Rprop8bitState(NamedTuple):
    """All that 8-bit Rprop remembers between two steps: 1 byte per parameter.

    Attributes:
        codes: A tree like the parameters, uint8: the level of the step size above
            ``min_step_size``, 0 to 84, plus 85 if the remembered sign is 1 and 170 if it
            is -1. In the place of a complex leaf there are two arrays of its shape,
            ``real`` and ``imag``.
        min_step_size: A float32 scalar: the step size of level 0, which is the lower
            bound for as long as this state is used.
        prev_value: As in :class:`RpropState`.

    Example:
        >>> import optax_rprop
        >>> tx = optax_rprop.scale_by_rprop_8bit()
        >>> _, state = tx.update(-3.0, tx.init(1.0))
        >>> decoded = state.decode()
        >>> float(decoded.step_sizes), int(decoded.prev_signs)
        (0.125, -1)
    """

    codes: optax.Params
    min_step_size: jax.Array
    prev_value: jax.Array

    def decode(self) -> RpropState:
        """The same state with step sizes (float32) and signs (int8) as arrays.

        For a state batched by ``jax.vmap``, call
        ``jax.vmap(Rprop8bitState.decode)(state)``.
        """
        return RpropState(
            step_sizes=jax.tree.map(
                lambda code: step_size_of(code, self.min_step_size), self.codes
            ),
            prev_signs=jax.tree.map(sign_of_code, self.codes),
            prev_value=self.prev_value,
        )


def rprop_8bit(
    learning_rate: LearningRate = 2**-3,
    min_step_size: jax.typing.ArrayLike = 2**-20,
    max_step_size: jax.typing.ArrayLike = 2.0,
    *,
    variant: Variant = "irprop-",
) -> optax.GradientTransformationExtraArgs:
    r"""Rprop with one byte of state per parameter, without rounding.

    The rules of :func:`rprop` on a grid of step sizes, four to an octave:

    .. math::

        \Delta \in \{1, 1.25, 1.5, 1.75\} \cdot 2^k, \qquad
        \Delta_{\min} \le \Delta \le \Delta_{\max} \le 2^{21} \Delta_{\min}

    A step size grows to the next one on the grid, on average by
    :math:`\eta^+ = 2^{1/4} \approx 1.189`, and shrinks by :math:`\eta^- = 1/2`. Nothing
    is rounded. Use it where the optimizer's state has to be small; elsewhere
    :func:`rprop` lets you choose the factors.

    Args:
        learning_rate: The initial step size, in the units of the parameters; on the grid.
            A tree of arrays or ``"relative"`` as in :func:`rprop`; what is in an array is
            rounded down to the grid.
        min_step_size: The lower bound of the step sizes; on the grid.
        max_step_size: The upper bound of the step sizes; on the grid, and at most
            :math:`2^{21}` times ``min_step_size``.
        variant: The rule, one of :data:`VARIANTS`.

    Returns:
        An ``optax.GradientTransformationExtraArgs`` as :func:`rprop` returns, with the
        same ``update``; its state holds a :class:`Rprop8bitState`, whose ``decode()``
        gives step sizes and signs as arrays.

    Raises:
        ValueError: A hyperparameter is not on the grid (the message names the nearest
            values), out of order, or the bounds are too far apart. From ``update``: as in
            :func:`rprop`.
        TypeError: As in :func:`rprop`.

    Example:
        Down ``x**2`` from 0.25: 0.125, the next on the grid, 0.15625, over the minimum,
        and half of that after a step at rest:

        >>> import optax, optax_rprop
        >>> tx = optax_rprop.rprop_8bit(learning_rate=0.125)
        >>> x = 0.25
        >>> state = tx.init(x)
        >>> for _ in range(4):
        ...     updates, state = tx.update(2 * x, state)
        ...     x = optax.apply_updates(x, updates)
        ...     print(f"{x:.6f}")
        0.125000
        -0.031250
        -0.031250
        0.046875

    References:
        Igel and Huesken (2003), "Empirical evaluation of the improved Rprop learning
        algorithms", for the rules; the grid is this package's own.
    """
    return optax.chain(
        _scale_by_rprop_8bit(
            "rprop_8bit", learning_rate, min_step_size, max_step_size, variant
        ),
        negated,
    )


def scale_by_rprop_8bit(
    learning_rate: LearningRate = 2**-3,
    min_step_size: jax.typing.ArrayLike = 2**-20,
    max_step_size: jax.typing.ArrayLike = 2.0,
    *,
    variant: Variant = "irprop-",
) -> optax.GradientTransformationExtraArgs:
    """The building block under :func:`rprop_8bit`: the same steps, not negated.

    As :func:`scale_by_rprop` is to :func:`rprop`.

    Args:
        learning_rate: As in :func:`rprop_8bit`, and so for all that follow.
        min_step_size: The lower bound of the step sizes.
        max_step_size: The upper bound of the step sizes.
        variant: The rule, one of :data:`VARIANTS`.

    Returns:
        An ``optax.GradientTransformationExtraArgs`` whose state is a
        :class:`Rprop8bitState`.

    Raises:
        ValueError: As in :func:`rprop_8bit`.
        TypeError: As in :func:`rprop_8bit`.

    Example:
        >>> import optax_rprop
        >>> tx = optax_rprop.scale_by_rprop_8bit()
        >>> state = tx.init(1.0)
        >>> for gradient in [-3.0, -0.001]:
        ...     update, state = tx.update(gradient, state)
        ...     print(f"{update:.5f}")
        -0.12500
        -0.15625

    References:
        See :func:`rprop_8bit`.
    """
    return _scale_by_rprop_8bit(
        "scale_by_rprop_8bit", learning_rate, min_step_size, max_step_size, variant
    )


def _scale_by_rprop_8bit(
    name: str,
    learning_rate: LearningRate,
    min_step_size: jax.typing.ArrayLike,
    max_step_size: jax.typing.ArrayLike,
    variant: Variant,
) -> optax.GradientTransformationExtraArgs:
    """The transformation; error messages name the public function ``name``."""
    learning_rate, min_step_size, max_step_size = jax.tree.map(
        real_number, (learning_rate, min_step_size, max_step_size)
    )
    _settings_checks.variant(name, variant, VARIANTS)
    _settings_checks.grid(name, learning_rate, min_step_size, max_step_size, LEVELS)
    learning_rate, min_step_size, max_step_size = refuse_derivative(
        (learning_rate, min_step_size, max_step_size),
        f"{name}: learning_rate and the bounds must not be differentiated, got a "
        "derivative. On the grid it is zero everywhere; rprop has one with respect "
        "to learning_rate.",
    )

    def init(params: optax.Params) -> Rprop8bitState:
        return Rprop8bitState(
            codes=jax.tree.map(
                lambda size: level_of(size, min_step_size),
                first_step_sizes(
                    name,
                    params,
                    learning_rate,
                    min_step_size,
                    max_step_size,
                    lambda _: jnp.float32,
                ),
            ),
            min_step_size=jnp.array(min_step_size, jnp.float32),  # a copy
            prev_value=no_loss_yet(params),
        )

    def stepper(state: Rprop8bitState, verdict: Verdict) -> Callable[..., Any]:
        highest = level_of(max_step_size, state.min_step_size)
        settings = (state.min_step_size, highest, RULES[variant])
        return lambda *leaf: step_codes(*leaf, *settings, *verdict)

    def check(caller: str, grads: Any, state: Rprop8bitState, params: Any) -> None:
        _checks.scalars(caller, state, "min_step_size", "prev_value")
        _checks.gradients(caller, grads, params, state.codes)
        _checks.codes(caller, grads, state.codes, state.min_step_size)

    form = Form(Rprop8bitState, ("codes",), init, stepper, check)
    return transformation(name, variant, form)
