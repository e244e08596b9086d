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

from collections.abc import Callable
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


class Step(NamedTuple):
    """What a step decides, each of the shape of the gradient."""

    step_size: jax.Array  # D'
    sign: jax.Array  # int8, to remember; also the direction of the move, 0 to stay
    undo: jax.Array | None  # bool, where to move by +p*D instead; None for nowhere


def rprop_step(
    grad: jax.Array,
    step_size: jax.Array,
    prev_sign: jax.Array,
    grow: Callable[[jax.Array], jax.Array],
    shrink: Callable[[jax.Array], jax.Array],
    variant: Variant,
    loss_rose: jax.Array | bool = False,
    rejected: jax.Array | None = None,
) -> Step:
    """One step of ``variant`` for real arrays.

    ``grow`` and ``shrink`` know the factors and bounds of the step sizes. ``loss_rose``
    and ``rejected`` are scalars: the first matters to irprop+ alone, the second, for a
    loss that is not finite, to every rule.
    """
    on_sign_change = ON_SIGN_CHANGE[variant]
    sign = _sign(grad)
    # Signs are compared, for a product of gradients would underflow.
    kept = (sign == prev_sign) & (sign != 0)  # s*p > 0
    changed = (sign == -prev_sign) & (sign != 0)  # s*p < 0

    new_step_size = jnp.where(changed, shrink(step_size), step_size)
    new_step_size = jnp.where(kept, grow(step_size), new_step_size)
    remember = sign if on_sign_change == "step" else jnp.where(changed, _ZERO, sign)
    undo = None
    if on_sign_change == "undo":
        undo = changed
    elif on_sign_change == "undo if the loss rose":
        undo = changed & loss_rose

    if rejected is not None:
        new_step_size = jnp.where(rejected, shrink(step_size), new_step_size)
        remember = jnp.where(rejected, _ZERO, remember)
        undo = rejected if undo is None else rejected | undo
    return Step(new_step_size, remember, undo)


def descent(step: Step, step_size: jax.Array, prev_sign: jax.Array) -> jax.Array:
    """What to subtract from the parameter; step size and sign are the old ones."""
    move = times_sign(step.step_size, step.sign)
    if step.undo is None:
        return move
    return jnp.where(step.undo, times_sign(step_size, -prev_sign), move)


def times_sign(step_size: jax.Array, sign: jax.Array) -> jax.Array:
    """``sign * step_size``, where 0 times an infinite step size is 0."""
    return jnp.where(sign > 0, step_size, jnp.where(sign < 0, -step_size, 0.0))


# NumPy's: a jax.Array made on import would start the backend too early.
_ONE, _ZERO = np.int8(1), np.int8(0)


def _sign(grad: jax.Array) -> jax.Array:
    """Sign as int8; NaN has none, so it counts as 0 and the coordinate stays."""
    # Not jnp.sign: it hands NaN on, and a NaN has no int8.
    return jnp.where(grad > 0, _ONE, jnp.where(grad < 0, -_ONE, _ZERO))
