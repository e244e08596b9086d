"""The four published Rprop rules: arrays in, arrays out.

With ``s`` the sign of the gradient now, ``p`` the remembered sign (0 at the start), ``D``
the step size (``D'`` the new one) and ``E`` the loss, each coordinate does this:

* ``s*p > 0``: ``D' = min(D*eta_plus, max)``, move by ``-s*D'``, remember ``s``.
* ``s*p = 0``: ``D' = D``, move by ``-s*D'``, remember ``s``.
* ``s*p < 0``: ``D' = max(D*eta_minus, min)``, and then

  * ``rprop-``: move by ``-s*D'``, remember ``s``;
  * ``irprop-``: stay, remember 0;
  * ``rprop+``: undo the last move, by ``+p*D``, remember 0;
  * ``irprop+``: undo if ``E`` rose, else stay; remember 0.

Where ``p`` is not 0 the last move was exactly ``-p*D``, in every rule. So a sign and a
step size are the whole memory of every rule, and one can go on from that of another.

References:
    Riedmiller and Braun (1993), "A direct adaptive method for faster backpropagation
    learning: the RPROP algorithm" (rprop+). Riedmiller (1994), "Rprop - Description and
    implementation details" (rprop-). Igel and Huesken (2000), "Improving the Rprop
    learning algorithm", and (2003), "Empirical evaluation of the improved Rprop learning
    algorithms" (irprop+ and irprop-).
"""

from typing import Literal, NamedTuple, get_args

import jax
import numpy as np

from optax_rprop._leaf import select

Variant = Literal["rprop-", "irprop-", "rprop+", "irprop+"]

VARIANTS: tuple[Variant, ...] = get_args(Variant)
"""The names of the four rules, for loops over all of them."""


class OnSignChange(NamedTuple):
    """What a coordinate does when its gradient changes sign."""

    step: bool  # move by -s*D' and remember s; else remember 0
    undo: Literal["never", "always", "if the loss rose"]  # move by +p*D

    @property
    def needs_loss(self) -> bool:
        return self.undo == "if the loss rose"


RULES: dict[Variant, OnSignChange] = {
    "rprop-": OnSignChange(step=True, undo="never"),
    "irprop-": OnSignChange(step=False, undo="never"),
    "rprop+": OnSignChange(step=False, undo="always"),
    "irprop+": OnSignChange(step=False, undo="if the loss rose"),
}


class Step(NamedTuple):
    """What a step decides, each of the shape of the gradient."""

    step_size: jax.Array  # D'
    sign: jax.Array  # the sign to remember; the move is -s*D', none where it is 0
    undo: jax.Array | None  # bool, where the move is +p*D instead; None for nowhere


def rprop_step(
    sign: jax.Array,
    same_sign: jax.Array,
    opposite_sign: jax.Array,
    step_size: jax.Array,
    grown: jax.Array,
    shrunk: jax.Array,
    rule: OnSignChange,
    loss_rose: jax.Array | bool,
) -> Step:
    """One step of ``rule``, for step sizes and signs in any representation.

    ``same_sign`` is where s*p > 0 and ``opposite_sign`` where s*p < 0. ``grown`` is
    min(D*eta_plus, max) and ``shrunk`` is max(D*eta_minus, min).
    """
    new_step_size = select(opposite_sign, shrunk, step_size)
    new_step_size = select(same_sign, grown, new_step_size)
    remember = sign if rule.step else select(opposite_sign, _zero(sign), sign)
    undo = None
    if rule.undo != "never":
        undo = opposite_sign & loss_rose if rule.needs_loss else opposite_sign
    return Step(new_step_size, remember, undo)


def take_back(step: Step, shrunk: jax.Array, rejected: jax.Array) -> Step:
    """``step``; where the scalar ``rejected`` holds, one that takes back the last step.

    This package's own addition: a loss that is not finite takes back what moved, shrinks
    every step size and forgets every sign, in all four rules.
    """
    return Step(
        step_size=select(rejected, shrunk, step.step_size),
        sign=select(rejected, _zero(step.sign), step.sign),
        undo=rejected if step.undo is None else rejected | step.undo,
    )


def _zero(sign: jax.Array) -> np.ndarray:
    return np.zeros((), sign.dtype)
