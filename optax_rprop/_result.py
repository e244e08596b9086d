"""What a fit returns: why it ended, its history, its last state and its result."""

import enum
from typing import Any, NamedTuple

import jax
import optax


class FitStatus(enum.IntEnum):
    """Why a fit ended; ``status.advice`` is a sentence on what to do about it.

    An ``IntEnum``, so that a comparison works inside ``jit`` and ``vmap`` too, where the
    status of a fit is an int32 array: ``result.status == FitStatus.TARGET_REACHED``.

    Example:
        >>> from optax_rprop import FitStatus
        >>> FitStatus(0).name, FitStatus(0).advice
        ('TARGET_REACHED', 'The loss is at or below target_loss: done.')
    """

    TARGET_REACHED = 0
    STEP_CONVERGED = 1
    STATIONARY = 2
    STALLED = 3
    NONFINITE = 4
    INTERRUPTED = 5
    MAX_STEPS = 6

    __str__ = enum.Enum.__str__  # the name, not the number

    @property
    def advice(self) -> str:
        """What this status means, and what to do about it."""
        return _ADVICE[self]


_NOISE = (
    " A flip fraction in the history that stays near one half (one third with the rules "
    "that forget the sign at a change) means noise: fit to all of the data, not to "
    "mini-batches of it."
)
_ADVICE = {
    FitStatus.TARGET_REACHED: "The loss is at or below target_loss: done.",
    FitStatus.STEP_CONVERGED: "No coordinate steps further than step_tol any more: a "
    "minimum to that precision in the parameters, or noise." + _NOISE,
    FitStatus.STATIONARY: "Every gradient is exactly zero: a minimum, a saddle or a "
    "plateau. If the loss is not what you hoped for, start elsewhere.",
    FitStatus.STALLED: "The best loss has not improved by rtol for patience steps: as "
    "good as it gets, or a plateau." + _NOISE,
    FitStatus.NONFINITE: "No finite loss could be found again. Check the loss at the "
    "initial parameters, or start with a smaller learning_rate; with history=False, "
    "jax_debug_nans finds the operation.",
    FitStatus.INTERRUPTED: "Interrupted by Ctrl-C: the result is what was found until "
    "then. Go on with resume=result.last.",
    FitStatus.MAX_STEPS: "All max_steps were taken. If the loss still falls, go on with "
    "resume=result.last." + _NOISE,
}


class FitHistory(NamedTuple):
    """What every step saw: arrays of length ``max_steps``, NaN after the last step.

    Entry ``i`` belongs to the parameters before step ``i``. All but the loss are None
    for an optimizer without Rprop's step sizes.

    Attributes:
        loss: The loss, in its own dtype.
        step_size_mean: The geometric mean of the step sizes after the step, in parameter
            units; float32.
        step_size_max: The largest step size after the step; float32.
        flip_fraction: The fraction of coordinates whose gradient changed its sign;
            float32. Where gradients are noise it stays near one half with ``"rprop-"``
            and near one third with the rules that forget the sign at a change.
    """

    loss: jax.Array
    step_size_mean: jax.Array | None
    step_size_max: jax.Array | None
    flip_fraction: jax.Array | None


class FitState(NamedTuple):
    """All that a fit needs to go on as though it had never stopped.

    Only arrays, so that it can be saved, for example with Orbax.

    Attributes:
        params: The parameters that the next step will evaluate.
        opt_state: The state of the optimizer.
        best_params: The best parameters evaluated by a step so far.
        best_loss: Their loss; inf before the first finite one.
        best_aux: Their aux; None without ``has_aux``.
        reference_loss: The loss that the next one has to improve on by ``rtol``.
        stalled_steps: For how many steps none has; int32.
        nonfinite_steps: For how many steps the loss has not been finite; int32.
        rules: A checksum of the rules of Rprop in the optimizer, so that no other rule
            goes on from here unnoticed; uint32.
    """

    params: optax.Params
    opt_state: optax.OptState
    best_params: optax.Params
    best_loss: jax.Array
    best_aux: Any
    reference_loss: jax.Array
    stalled_steps: jax.Array
    nonfinite_steps: jax.Array
    rules: jax.Array


class FitResult(NamedTuple):
    """What :func:`fit` found.

    Attributes:
        params: The best parameters evaluated, the last iterate included.
        loss: The loss of exactly these parameters, a scalar; inf where none was finite.
        num_steps: The number of steps of this call; an int, and inside ``jit`` or
            ``vmap`` an int32 array.
        status: Why it ended, a :class:`FitStatus`; inside ``jit`` or ``vmap`` an int32
            array that compares with it.
        history: A :class:`FitHistory`, or None with ``history=False``.
        last: The :class:`FitState` to go on from, with ``resume=``.
        aux: With ``has_aux``, what the loss returned beside itself at ``params``.
    """

    params: optax.Params
    loss: jax.Array
    num_steps: int | jax.Array
    status: FitStatus | jax.Array
    history: FitHistory | None
    last: FitState
    aux: Any = None
