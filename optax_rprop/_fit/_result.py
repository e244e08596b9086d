"""What a fit returns: why it ended, its history, its last state and its result."""

import enum
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from optax_rprop._fit import _printing

_NOISE = (
    " A flip fraction in the history that stays near one half (one third with the rules "
    "that forget the sign at a change) means noise: fit to all of the data, not to "
    "mini-batches of it."
)


class FitStatus(enum.IntEnum):
    """Why a fit ended; ``status.advice`` says what to do about it.

    An ``IntEnum``, so that a comparison works inside ``jit`` and ``vmap`` too, where the
    status of a fit is an int32 array: ``result.status == FitStatus.TARGET_REACHED``.

    Example:
        >>> from optax_rprop import FitStatus
        >>> FitStatus(0).name, FitStatus(0).advice
        ('TARGET_REACHED', 'The loss is at or below target_loss: done.')
    """

    advice: str

    def __new__(cls, value: int, advice: str = "") -> "FitStatus":
        """A member with its advice."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.advice = advice
        return member

    __str__ = enum.Enum.__str__  # the name, not the number

    TARGET_REACHED = 0, "The loss is at or below target_loss: done."
    STEP_CONVERGED = (
        1,
        "Every parameter with a gradient has a step size of at most step_tol: a minimum "
        "to that precision in the parameters; or, if result.gradient_max is large, a "
        "narrow valley across the axes; or noise." + _NOISE,
    )
    STATIONARY = (
        2,
        "Every gradient is exactly zero: a minimum, a saddle or a plateau. If the loss "
        "is not what you hoped for, start elsewhere.",
    )
    STALLED = (
        3,
        "The best loss has not improved by rtol for patience steps: as good as it gets, "
        "or a plateau." + _NOISE,
    )
    NONFINITE = (
        4,
        "No finite loss could be found again. Check the loss at the initial parameters, "
        "or start with a smaller learning_rate; jax_debug_nans finds the operation.",
    )
    INTERRUPTED = (
        5,
        "Interrupted by Ctrl-C: the result is what was found until then. Go on with "
        "resume=result.last.",
    )
    MAX_STEPS = (
        6,
        "All max_steps were taken. If the loss still falls, go on with "
        "resume=result.last." + _NOISE,
    )
    NAN_GRADIENT = (
        7,
        "The loss is finite, and gradients are NaN: those parameters have not moved. The "
        "derivative of jnp.where(x > 0, jnp.sqrt(x), 0) is NaN below 0, for example: "
        "choose a safe x with a jnp.where inside; jax_debug_nans finds the operation.",
    )
    WORSE_THAN_BEST = (
        8,
        "The fit came to rest at a place with a smaller gradient but a worse loss than "
        "the best: a step led away, and none led back. result.params are those after "
        "step result.best_step, of which the stop rules say nothing. If "
        "result.gradient_max is not small there, start with a smaller learning_rate.",
    )


Series = jax.Array | np.ndarray[Any, Any]


class FitHistory(NamedTuple):
    """What every step saw: arrays of length ``max_steps``, NaN after the last step.

    They are NumPy's; those of JAX inside ``jit`` or ``vmap``.

    Entry ``i`` belongs to the parameters before step ``i``. Without Rprop's step sizes
    every field but the loss is None. ``flip_fraction`` is also None where a wrapper hides
    which gradient belongs to which step size.

    Attributes:
        loss: The loss, in its own dtype.
        step_size_mean: The geometric mean of the step sizes after the step, in parameter
            units; float32.
        step_size_max: The largest step size after the step; float32.
        flip_fraction: The fraction of coordinates whose gradient changed its sign;
            float32. Where gradients are noise it stays near one half with ``"rprop-"``
            and near one third with the rules that forget the sign at a change.
    """

    loss: Series
    step_size_mean: Series | None
    step_size_max: Series | None
    flip_fraction: Series | None

    def __repr__(self) -> str:
        """From where to where each series went."""
        return _printing.history(self)


class FitState(NamedTuple):
    """All that a fit needs to go on as though it had never stopped.

    It holds only arrays, so that it can be saved, for example with Orbax.

    Attributes:
        params: The parameters that the next step will evaluate.
        opt_state: The state of the optimizer.
        best_params: The best parameters that a step has evaluated.
        best_loss: Their loss; the largest finite number before the first finite loss.
        best_aux: Their aux; None without ``has_aux``.
        best_step: How many steps were taken before they were evaluated; int32.
        best_gradient_max: The largest absolute entry of the gradient there.
        num_steps: The steps taken since the fit began, by all calls; int32.
        returned_step: How many steps were taken when the fit last went back to the best
            because steps had led astray; int32, 0 if it never did.
        num_returns: How often it has done so since the best; int32.
        prev_loss: The last finite loss that did not reject a step; until then as
            ``best_loss``.
        promised_decrease: How much lower the last step would have made it, had the loss
            been linear: the sum of gradients times step sizes.
        first_loss: The first finite loss; until then as ``best_loss``.
        reference_loss: The loss that a later one has to improve on by ``rtol``.
        stalled_steps: The steps since a loss last did; int32.
        nonfinite_steps: The steps since the loss was last finite; int32.
        nonfinite_losses: The losses since the best that were not finite; int32.
    """

    params: optax.Params
    opt_state: optax.OptState
    best_params: optax.Params
    best_loss: jax.Array
    best_aux: Any
    best_step: jax.Array
    best_gradient_max: jax.Array
    num_steps: jax.Array
    returned_step: jax.Array
    num_returns: jax.Array
    prev_loss: jax.Array
    promised_decrease: jax.Array
    first_loss: jax.Array
    reference_loss: jax.Array
    stalled_steps: jax.Array
    nonfinite_steps: jax.Array
    nonfinite_losses: jax.Array

    def __repr__(self) -> str:
        """The steps taken, the best loss and the shapes."""
        return _printing.state(self)


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
        last: The :class:`FitState` to go on from, with ``resume=``. Its ``params`` are
            where the fit ended, which need not be the best.
        aux: With ``has_aux``, what the loss returned beside itself at ``params``.
        best_step: How many steps led to ``params``, counted over all calls: 0 for the
            initial ones, ``last.num_steps`` for those where the fit ended.
        gradient_max: The largest absolute entry of the gradient at ``params``; NaN where
            the gradient has a NaN, or no loss was finite.
        last_loss: The loss where the fit ended, at ``last.params``.
    """

    params: optax.Params
    loss: jax.Array
    num_steps: int | jax.Array
    status: FitStatus | jax.Array
    history: FitHistory | None
    last: FitState
    aux: Any = None
    best_step: int | jax.Array = 0
    gradient_max: jax.Array | None = None
    last_loss: jax.Array | None = None

    def __repr__(self) -> str:
        """Why it ended, and from where to where it went; one line for a batch."""
        return _printing.result(self, FitStatus)
