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
from typing import Any, Literal, NamedTuple

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
    sign: jax.Array  # to remember; also where to move: -s*D', and nowhere at 0
    undo: jax.Array | None  # bool, where to move by +p*D instead; None for nowhere


def rprop_step(
    sign: jax.Array,
    kept: jax.Array,
    changed: jax.Array,
    step_size: jax.Array,
    grow: Callable[[jax.Array], jax.Array],
    shrink: Callable[[jax.Array], jax.Array],
    variant: Variant,
    loss_rose: jax.Array | bool,
    rejected: jax.Array | None,
) -> Step:
    """One step of ``variant`` for real arrays, whatever holds a sign and a step size.

    ``kept`` is where s*p > 0 and ``changed`` where s*p < 0; ``grow`` and ``shrink`` know
    the factors and bounds. ``loss_rose`` and ``rejected`` are scalars: the first matters
    to irprop+ alone, the second, for a loss that is not finite, to every rule.
    """
    on_sign_change = ON_SIGN_CHANGE[variant]
    none = np.zeros((), sign.dtype)

    new_step_size = where(changed, shrink(step_size), step_size)
    new_step_size = where(kept, grow(step_size), new_step_size)
    remember = sign if on_sign_change == "step" else where(changed, none, sign)
    undo = None
    if on_sign_change == "undo":
        undo = changed
    elif on_sign_change == "undo if the loss rose":
        undo = changed & loss_rose

    if rejected is not None:
        new_step_size = where(rejected, shrink(step_size), new_step_size)
        remember = where(rejected, none, remember)
        undo = rejected if undo is None else rejected | undo
    return Step(new_step_size, remember, undo)


def above_and_below_zero(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where ``x`` has a sign of 1, and where one of -1. NaN has none."""
    zero = jnp.zeros_like(x)
    return x > zero, x < zero


def sign_of(x: jax.Array) -> jax.Array:
    """1, -1 or 0, int8."""
    # Not jnp.sign: it hands NaN on, and a NaN is no integer.
    above, below = above_and_below_zero(x)
    return above.astype(np.int8) - below.astype(np.int8)


def where(condition: jax.Array, this: Any, that: Any) -> jax.Array:
    """``jnp.where`` for arrays of one shape, or scalars, of one dtype.

    As a single operation: jnp.where is a function of its own in the program, which for a
    model of many small leaves makes up a tenth of the time to compile.
    """
    arrays = [x for x in (this, that, condition) if np.ndim(x)]
    if not arrays:
        return jnp.where(condition, this, that)

    def full(x: Any) -> jax.Array:
        # Like an array that is there, so that it is sharded like it.
        return x if np.ndim(x) else jax.lax.full_like(arrays[0], x, jnp.result_type(x))

    return jax.lax.select(condition, full(this), full(that))
