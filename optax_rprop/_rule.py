"""The paper: the four published Rprop rules, arrays in, arrays out.

With ``s`` the sign of the gradient now, ``p`` the remembered sign (0 at the start), ``D``
the step size (``D'`` the new one) and ``E`` the loss, each coordinate does this:

* ``s*p > 0``: ``D' = min(D*eta_plus, max)``, move by ``-s*D'``, remember ``s``.
* ``s*p = 0``: ``D' = D``, move by ``-s*D'``, remember ``s``.
* ``s*p < 0``: ``D' = max(D*eta_minus, min)``, and then

  * ``rprop-``: move by ``-s*D'``, remember ``s``;
  * ``irprop-``: stay, remember 0;
  * ``rprop+``: undo the last move, by ``+p*D``, remember 0;
  * ``irprop+``: undo if ``E`` rose, else stay; remember 0.

Where ``p`` is not 0 the last move was exactly ``-p*D``, so a sign and a step size are the
whole memory of every rule.

References:
    Riedmiller and Braun (1993), "A direct adaptive method for faster backpropagation
    learning: the RPROP algorithm" (rprop+). Riedmiller (1994), "Rprop - Description and
    implementation details" (rprop-). Igel and Huesken (2000), "Improving the Rprop
    learning algorithm", and (2003), "Empirical evaluation of the improved Rprop learning
    algorithms" (irprop+ and irprop-).
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Variant = Literal["rprop-", "irprop-", "rprop+", "irprop+"]

#: All that tells the rules apart: what a coordinate does when its gradient changes sign.
ON_SIGN_CHANGE: dict[Variant, str] = {
    "rprop-": "step",
    "irprop-": "stay",
    "rprop+": "undo",
    "irprop+": "undo if the loss rose",
}


class Hyperparameters(NamedTuple):
    """The numbers of the rule, scalars."""

    eta_minus: jax.typing.ArrayLike
    eta_plus: jax.typing.ArrayLike
    min_step_size: jax.typing.ArrayLike
    max_step_size: jax.typing.ArrayLike


class Step(NamedTuple):
    """What one step yields, each of the shape of the gradient."""

    descent: jax.Array  # what to subtract from the parameter; dtype of the step sizes
    step_size: jax.Array
    sign: jax.Array  # int8, the sign to remember


def rprop_step(
    grad: jax.Array,
    step_size: jax.Array,
    prev_sign: jax.Array,
    hyper: Hyperparameters,
    variant: Variant,
    loss_rose: jax.Array | bool = False,
) -> Step:
    """One step of ``variant`` for real arrays; ``loss_rose`` matters to irprop+ alone."""
    on_sign_change = ON_SIGN_CHANGE[variant]
    sign = _sign(grad)
    # A product of signs: a product of gradients would underflow.
    agreement = sign * prev_sign
    changed = agreement < 0

    grown = jnp.minimum(step_size * hyper.eta_plus, hyper.max_step_size)
    shrunk = _shrink(step_size, hyper)
    new_step_size = jnp.where(changed, shrunk, step_size)
    new_step_size = jnp.where(agreement > 0, grown, new_step_size)

    remember = sign if on_sign_change == "step" else jnp.where(changed, _ZERO, sign)
    descent = _times_sign(new_step_size, remember)  # a sign of 0 stays

    if on_sign_change == "undo":
        descent = jnp.where(changed, _undo(step_size, prev_sign), descent)
    elif on_sign_change == "undo if the loss rose":
        descent = jnp.where(changed & loss_rose, _undo(step_size, prev_sign), descent)
    return Step(descent, new_step_size, remember)


def reject_step(
    step_size: jax.Array, prev_sign: jax.Array, hyper: Hyperparameters
) -> Step:
    """Every rule's answer to a loss that is not finite: back, and smaller steps."""
    return Step(
        descent=_undo(step_size, prev_sign),
        step_size=_shrink(step_size, hyper),
        sign=jnp.zeros_like(prev_sign),
    )


# NumPy's: a jax.Array made on import would start the backend too early.
_ONE, _ZERO = np.int8(1), np.int8(0)


def _sign(grad: jax.Array) -> jax.Array:
    """Sign as int8; NaN has none, so it counts as 0 and the coordinate stays."""
    # Not jnp.sign: it hands NaN on, and a NaN has no int8.
    return jnp.where(grad > 0, _ONE, jnp.where(grad < 0, -_ONE, _ZERO))


def _times_sign(step_size: jax.Array, sign: jax.Array) -> jax.Array:
    """``sign * step_size``, where 0 times an infinite step size is 0."""
    return jnp.where(sign > 0, step_size, jnp.where(sign < 0, -step_size, 0.0))


def _undo(step_size: jax.Array, prev_sign: jax.Array) -> jax.Array:
    """The last move taken back: nothing, where the coordinate did not step."""
    return _times_sign(step_size, -prev_sign)


def _shrink(step_size: jax.Array, hyper: Hyperparameters) -> jax.Array:
    return jnp.maximum(step_size * hyper.eta_minus, hyper.min_step_size)
