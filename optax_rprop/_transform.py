"""The rule lifted over a pytree, once, into an Optax transformation; the state."""

from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import optax

from optax_rprop import _checks, _state_checks
from optax_rprop._identity import say
from optax_rprop._leaf import Hyperparameters, coordinates_like, step_leaf
from optax_rprop._rule import Variant

VARIANTS: tuple[Variant, ...] = get_args(Variant)
"""The names of the four rules, for loops over all of them."""


class RpropState(NamedTuple):
    """All that Rprop remembers between two steps: 5 bytes a float32 parameter.

    Attributes:
        step_sizes: A tree like the parameters: the step size of every coordinate, in the
            units of its parameter; float32, or the parameter's own dtype where that is
            wider. A complex leaf of shape ``(...)`` has step sizes of shape ``(..., 2)``,
            for its real and its imaginary part.
        prev_signs: A tree like ``step_sizes``, int8: the remembered signs -1, 0 or 1. A
            coordinate with a sign moved against it in the last step, by its step size.
        prev_value: A scalar: the last finite loss given as ``value=``; inf before the
            first. It has the default float dtype: float64 where x64 is enabled.
    """

    step_sizes: optax.Params
    prev_signs: optax.Params
    prev_value: jax.Array


def rprop(
    learning_rate: jax.typing.ArrayLike = 0.1,
    eta_minus: jax.typing.ArrayLike = 0.5,
    eta_plus: jax.typing.ArrayLike = 1.2,
    min_step_size: jax.typing.ArrayLike = 1e-6,
    max_step_size: jax.typing.ArrayLike = 50.0,
    *,
    variant: Variant = "irprop-",
) -> optax.GradientTransformationExtraArgs:
    r"""Rprop: steps that follow the sign of each gradient, with sizes of their own.

    Every parameter keeps a step size. It grows while the sign of its gradient stays and
    shrinks when the sign changes, so the size of the gradient never matters and there is
    no learning rate to tune. Made for losses over all of the data. On noisy mini-batches
    signs change by chance, the steps shrink to nothing, and Adam is the better choice.

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
    * ``"rprop-"`` moves by :math:`-s \Delta'` like everywhere else;
    * ``"rprop+"`` undoes the last move, by :math:`+p \Delta`, and remembers 0;
    * ``"irprop+"`` does so only if the loss rose, else stays; it remembers 0 either way.

    A gradient of 0 or NaN moves nothing and remembers 0. A loss ``value`` that is not
    finite rejects the last step, in every rule: what moved goes back, all step sizes
    shrink, and the gradient is not looked at.

    Args:
        learning_rate: The initial step size, in the units of the parameters; positive,
            and between the two bounds. It is no rate and takes no schedule: after the
            first steps it is forgotten.
        eta_minus: The factor that shrinks a step size; strictly between 0 and 1.
        eta_plus: The factor that grows a step size; greater than 1.
        min_step_size: The lower bound of the step sizes; at least 0.
        max_step_size: The upper bound of the step sizes; may be inf.
        variant: The rule, one of :data:`VARIANTS`.

    Returns:
        An ``optax.GradientTransformationExtraArgs``: :func:`scale_by_rprop`, then
        ``optax.scale(-1)``. Its ``update`` takes the loss as ``value=``, a real scalar,
        required by ``"irprop+"`` and optional for the others. Updates have the shape and
        dtype of the gradients.

    Raises:
        ValueError: A hyperparameter is outside of its range, or ``variant`` is unknown.
            From ``update``: the gradients don't have the structure or the shapes that
            ``init`` saw, or ``value`` is no scalar.
        TypeError: A hyperparameter is no number. From ``init`` and ``update``: a leaf is
            neither floating-point nor complex, or ``value`` is missing or no real number.

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
        optax.scale(-1.0),
    )


def scale_by_rprop(
    learning_rate: jax.typing.ArrayLike = 0.1,
    eta_minus: jax.typing.ArrayLike = 0.5,
    eta_plus: jax.typing.ArrayLike = 1.2,
    min_step_size: jax.typing.ArrayLike = 1e-6,
    max_step_size: jax.typing.ArrayLike = 50.0,
    *,
    variant: Variant = "irprop-",
) -> optax.GradientTransformationExtraArgs:
    """The building block under :func:`rprop`: the same steps, not negated.

    Optax's convention for a ``scale_by_`` transformation: its updates point up the
    gradient, for a chain that ends in ``optax.scale(-1)``. Take it where the chain
    scales by something else, for example by +1 to maximise; take :func:`rprop` for all
    else.

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
    learning_rate: jax.typing.ArrayLike,
    hyper: Hyperparameters,
    variant: Variant,
) -> optax.GradientTransformationExtraArgs:
    """The transformation; ``name`` is the public function that errors speak of."""
    _checks.variant(name, variant, VARIANTS)
    _checks.hyperparameters(name, learning_rate, *hyper)

    def init_fn(params: optax.Params) -> RpropState:
        _checks.parameters(f"{name}.init", params)
        say(f"rprop {variant!r}", params)
        return RpropState(
            step_sizes=coordinates_like(params, learning_rate, _step_size_dtype),
            prev_signs=coordinates_like(params, 0, lambda _: jnp.int8),
            prev_value=jnp.full((), jnp.inf, jnp.result_type(float)),
        )

    def update_fn(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        *,
        value: jax.typing.ArrayLike | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, RpropState]:
        del extra_args
        state = _state_checks.state(f"{name}.update", state, RpropState)
        _state_checks.dtypes(f"{name}.update", "prev_signs", state.prev_signs, "int8")
        _state_checks.dtypes(
            f"{name}.update", "step_sizes", state.step_sizes, "float32", "float64"
        )
        _state_checks.scalars(f"{name}.update", state, "prev_value")
        _state_checks.signs(f"{name}.update", state.prev_signs, state.step_sizes)
        _state_checks.as_wide(f"{name}.update", state.step_sizes, params)
        _state_checks.gradients(f"{name}.update", updates, state.step_sizes)
        loss_rose, rejected, prev_value = look_at_loss(
            f"{name}.update", variant, value, state.prev_value
        )
        structure: Any = jax.tree.structure(updates)
        leaves = map(jax.tree.leaves, (updates, state.step_sizes, state.prev_signs))
        steps = [
            step_leaf(*leaf, hyper, variant, loss_rose, rejected)
            for leaf in zip(*leaves, strict=True)
        ]
        updates, step_sizes, prev_signs = (
            structure.unflatten(step[part] for step in steps) for part in range(3)
        )
        return updates, RpropState(step_sizes, prev_signs, prev_value)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def look_at_loss(
    caller: str,
    variant: Variant,
    value: jax.typing.ArrayLike | None,
    prev_value: jax.Array,
) -> tuple[jax.Array | bool, jax.Array | None, jax.Array]:
    """Whether the loss rose, whether it rejects the step, and the loss to remember."""
    if value is None:
        if variant == "irprop+":
            _checks.loss_missing(caller, variant)
        return False, None, prev_value
    _checks.loss(caller, value)
    value = jnp.asarray(value, prev_value.dtype)
    rejected = ~jnp.isfinite(value)
    return value > prev_value, rejected, jnp.where(rejected, prev_value, value)


def _step_size_dtype(param_dtype: Any) -> Any:
    """Float32, or the real dtype of the parameter where that is wider."""
    real = jnp.zeros((), param_dtype).real.dtype
    return real if real.itemsize > 4 else jnp.float32
