"""What a fit returns: why it ended, its history, its last state and its result."""

from __future__ import annotations  # so that a signature is short

import enum
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from optax_rprop._fit import _batch, _html, _plot, _printing


class FitStatus(enum.IntEnum):
    """Why a fit ended; ``status.advice`` says what to do about it.

    It is an ``IntEnum``. So a comparison works inside ``jit`` and ``vmap`` too, where the
    status of a fit is an int32 array: ``result.status == FitStatus.TARGET_REACHED``.

    Example:
        >>> from optax_rprop import FitStatus
        >>> FitStatus(0).name, FitStatus(0).advice
        ('TARGET_REACHED', 'The loss is at or below target_loss: done.')
    """

    advice: str

    def __new__(cls, value: int, advice: str = "") -> FitStatus:
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
        "narrow valley across the axes.",
    )
    STATIONARY = (
        2,
        "Every gradient is exactly zero: a minimum, a saddle or a plateau. If the loss "
        "is not what you hoped for, start elsewhere.",
    )
    STALLED = (
        3,
        "The best loss has not improved for patience steps (100 by default): as good as "
        "it gets, or a plateau.",
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
        "resume=result.last.",
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
    STOPPED = 9, "stop_when said so."


Series = jax.Array | np.ndarray[Any, Any]


class FitHistory(NamedTuple):
    """What every step saw: NumPy arrays with one entry per step.

    Inside ``jit`` or ``vmap`` the number of steps is not known beforehand. There the
    fields are JAX arrays with ``max_steps`` entries, NaN after the last step.

    Entry ``i`` belongs to the parameters before step ``i``. If the optimizer has no step
    sizes, every field but the loss is None. ``flip_fraction`` is also None if a wrapper
    hides which gradient belongs to which step size.

    Attributes:
        loss: The loss, in its own dtype.
        step_size_mean: The geometric mean of the step sizes after the step, in the units
            of the parameters, or in those of :func:`in_units`; float32.
        step_size_spread: Their geometric standard deviation, to about a thousandth;
            float32. If the step sizes were log-normal, nine in ten would lie within a
            factor of ``spread ** 1.645`` of the mean.
        step_size_max: The largest step size after the step; float32.
        flip_fraction: The fraction of coordinates whose gradient changed its sign;
            float32. If gradients are noise, it stays near one half with ``"rprop-"`` and
            near one third with the rules that forget the sign at a change.

    Example:
        >>> import jax.numpy as jnp
        >>> from optax_rprop import fit
        >>> result = fit(lambda p: p**2, jnp.array(0.25), max_steps=5)
        >>> print(result.history.step_size_max.round(3))
        [0.1   0.12  0.144 0.072 0.072]
    """

    loss: Series
    step_size_mean: Series | None
    step_size_spread: Series | None
    step_size_max: Series | None
    flip_fraction: Series | None

    def __repr__(self) -> str:
        """From where to where each series went."""
        return _printing.history(self)

    def _repr_html_(self) -> str:
        """The same for a notebook, with a curve of the loss and one of the step sizes."""
        return _html.history(self)

    def plot(self, ax: Any = None) -> np.ndarray[Any, Any]:
        """Draw the loss and the step sizes over the steps, with matplotlib.

        The loss is on a logarithmic axis if it is always positive. A loss that is not
        finite is a gap. The step sizes are shown by their geometric mean, their maximum,
        and a band from the 5 % to the 95 % quantile of a log-normal distribution with
        their mean and spread.

        Args:
            ax: Two axes of matplotlib, for the loss and for the step sizes; a single one
                if there are no step sizes. None makes a new figure.

        Returns:
            These axes, in a NumPy array like that of ``plt.subplots``.

        Raises:
            ImportError: matplotlib is not installed; ``optax-rprop[plot]`` brings it.
            TypeError: The history is that of a batch, or has no values, as inside
                ``jit``; or ``ax`` is of another kind.
            ValueError: ``ax`` has another number of axes.

        Example:
            >>> import jax.numpy as jnp
            >>> from optax_rprop import fit
            >>> result = fit(lambda p: p**2, jnp.array(0.25), max_steps=5)
            >>> loss, step_sizes = result.history.plot()
            >>> loss.get_yscale(), [line.get_label() for line in step_sizes.lines]
            ('log', ['maximum', 'mean'])
        """
        return _plot.history(self, ax)


class FitState(NamedTuple):
    """All that a fit needs to go on as though it had never stopped.

    It holds only arrays, so Orbax, for example, can save it.

    Attributes:
        params: The parameters that the next step will evaluate.
        opt_state: The state of the optimizer.
        best_params: The best parameters that a step has evaluated.
        best_loss: Their loss; the largest finite number before the first finite loss.
        best_aux: Their aux; None without ``has_aux``.
        best_step: The number of steps before they were evaluated; int32.
        best_gradient_max: The largest absolute entry of the gradient there.
        num_steps: The steps taken since the fit began, by all calls; int32.
        returned_step: The number of steps taken when the fit last went back to the best
            because steps had led astray; int32, 0 if it never did.
        num_returns: How often it has gone back since the last new best; int32.
        prev_loss: The last finite loss that did not reject a step; before that, as
            ``best_loss``.
        promised_decrease: By how much the last step would have lowered the loss if it
            were linear: the sum of gradients times step sizes.
        first_loss: The first finite loss; before that, as ``best_loss``.
        reference_loss: The loss on which a later one has to improve by ``rtol``.
        stalled_steps: The steps since a loss last improved on it; int32.
        nonfinite_steps: The steps since the loss was last finite; int32.
        nonfinite_losses: How many losses since the last new best were not finite; int32.
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
        params: The best parameters that the fit evaluated, those after the last step
            included.
        loss: The loss of exactly these parameters, a scalar; inf if none was finite.
        num_steps: The number of steps of this call; inside ``jit`` or ``vmap`` an int32
            array.
        status: Why the fit ended, a :class:`FitStatus`; inside ``jit`` or ``vmap`` an
            int32 array that compares with it.
        history: A :class:`FitHistory`, or None with ``history=False``.
        last: The :class:`FitState` to go on from, with ``resume=``. Its ``params`` are
            those where the fit ended, which need not be the best.
        aux: With ``has_aux``, the aux of the loss at ``params``.
        best_step: The number of steps that led to ``params``, counted over all calls: 0
            for the initial parameters, ``last.num_steps`` for those where the fit ended.
        gradient_max: The largest absolute entry of the gradient at ``params``; NaN if the
            gradient has a NaN, or if no loss was finite.
        last_loss: The loss where the fit ended, at ``last.params``.

    Example:
        The best of a batch:

        >>> import jax
        >>> import jax.numpy as jnp
        >>> from optax_rprop import fit
        >>> def hills(p):
        ...     return jnp.cos(3 * p) + 0.1 * p**2
        >>> starts = jnp.array([-4.0, 1.5, 6.0])
        >>> results = jax.vmap(lambda start: fit(hills, start, step_tol=1e-3))(starts)
        >>> print([status.name for status in results.statuses])
        ['STEP_CONVERGED', 'STEP_CONVERGED', 'STEP_CONVERGED']
        >>> best = results.best()
        >>> print(best.status.name, f"{best.params:.2f} {best.loss:.2f}")
        STEP_CONVERGED 1.02 -0.89
    """

    params: optax.Params
    loss: jax.Array
    # Inside jit and vmap these counts and the status are int32 arrays. Their types are
    # those of a fit outside, so that `result.status.name` passes a type checker.
    num_steps: int
    status: FitStatus
    history: FitHistory | None
    last: FitState
    aux: Any
    best_step: int
    gradient_max: jax.Array
    last_loss: jax.Array

    def __repr__(self) -> str:
        """Why it ended, and from where to where it went; one line for a batch."""
        return _printing.result(self, FitStatus)

    def _repr_html_(self) -> str:
        """The same for a notebook, with a curve of the loss and one of the step sizes."""
        return _html.result(self, FitStatus)

    @property
    def advice(self) -> str:
        """What to do about the status, and about noise if the history shows some.

        Returns:
            ``status.advice``, and one more sentence if the loss goes up and down while
            the steps are tiny.

        Raises:
            TypeError: There are no values yet, as inside ``jit`` and ``vmap``, or it is
                the result of a batch.
        """
        return _batch.advice(self, FitStatus)

    @property
    def statuses(self) -> Any:
        """Why every fit of a batch ended.

        Returns:
            A NumPy array in the shape of the batch, with a :class:`FitStatus` for every
            fit; for a single fit, its :class:`FitStatus`.

        Raises:
            TypeError: There are no values yet, as inside ``jit`` and ``vmap``.
        """
        return _batch.statuses(self, FitStatus)

    def best(self) -> FitResult:
        """The fit of a batch with the lowest loss.

        A loss that is not finite never wins. If no loss is finite, the first fit is
        returned. The result is like that of a fit outside ``jit`` and ``vmap``: the
        status is a :class:`FitStatus`, the counts are ints, and the history ends at the
        last step.

        Returns:
            A :class:`FitResult` of one fit; the result itself if it is not a batch.

        Raises:
            TypeError: There are no values yet, as inside ``jit`` and ``vmap``.
            ValueError: The batch is empty.
        """
        best: FitResult = _batch.best(self, FitStatus)
        return best
