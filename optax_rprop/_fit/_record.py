"""What a step saw, as scalars, made once.

It feeds the history, the stop rules, the progress and a user's own rule.
"""

from __future__ import annotations  # so that a signature is short

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop._fit._joining import joined
from optax_rprop._fit._packing import vector
from optax_rprop._fit._result import FitHistory, FitState
from optax_rprop._leaf import common_dtype, scalar_like, split
from optax_rprop._transform._gradients import states_and_gradients
from optax_rprop._transform._state import rprop_states

Arrays = tuple[Any, ...]


class StepRecord(NamedTuple):
    """What one step of a fit saw: ``stop_when`` and ``progress`` are called with it.

    For ``stop_when`` the fields are traced arrays. For ``progress`` they are numbers, and
    copies of the parameters. If the optimizer has no step sizes, the fields about them
    are None.

    Attributes:
        num_steps: The steps taken so far, this one included, by all calls.
        loss: The loss at the parameters before the step.
        best_loss: The lowest loss so far; inf if none was finite.
        best_step: The number of steps that led to it.
        gradient_max: The largest absolute entry of the gradient before the step.
        step_size_mean: The geometric mean of the step sizes after the step.
        step_size_spread: Their geometric standard deviation.
        step_size_max: The largest step size after the step.
        flip_fraction: The fraction of coordinates whose gradient changed its sign.
        best_params: The parameters of the lowest loss so far.
        best_aux: With ``has_aux``, the aux of these parameters.

    Example:
        Stop when the gradient is small:

        >>> import jax.numpy as jnp
        >>> from optax_rprop import fit
        >>> def is_flat(seen):
        ...     return seen.gradient_max < 0.01
        >>> result = fit(lambda x: (x - 3) ** 2, jnp.array(0.0), stop_when=is_flat)
        >>> result.status.name, bool(result.gradient_max < 0.01)
        ('STOPPED', True)
    """

    num_steps: Any
    loss: Any
    best_loss: Any
    best_step: Any
    gradient_max: Any
    step_size_mean: Any
    step_size_spread: Any
    step_size_max: Any
    flip_fraction: Any
    best_params: optax.Params
    best_aux: Any


class Seen(NamedTuple):
    """What the stop rules look at.

    A field is None where the optimizer has nothing to show in it.
    """

    history: FitHistory
    first_loss: jax.Array
    best_loss: jax.Array
    gradient_max: jax.Array  # the largest absolute entry; NaN where one is NaN
    best_gradient_max: jax.Array
    stalled_steps: jax.Array
    astray: jax.Array  # bool: the step went back to the best
    diverged: jax.Array  # bool: no way back to a finite loss was found
    step_size_active: jax.Array | None  # the largest among coordinates with a gradient

    @property
    def loss(self) -> jax.Array:
        return jnp.asarray(self.history.loss)


def largest_gradient(grads: optax.Updates, together: bool = True) -> jax.Array:
    """The largest absolute entry of all gradients; NaN where one is NaN."""
    leaves = [(grad,) for grad in jax.tree.leaves(split(grads)) if grad.size]
    largest = [jnp.max(jnp.abs(grad)) for (grad,), _ in joined(leaves, together)]
    dtype = common_dtype((np.dtype("float32"), *(x.dtype for x in largest)))
    return jnp.max(_stack(largest, dtype))


class StepSums(NamedTuple):
    """What a step left, over all coordinates that Rprop worked on.

    A field is None where there are no step sizes; the last two are also None where a
    wrapper hides which gradients Rprop saw.
    """

    log_step_size: jax.Array | None  # the sum of the logarithms
    log_square: jax.Array | None  # and of their squares
    step_size_max: jax.Array | None
    step_size_active: jax.Array | None  # the largest among coordinates with a gradient
    promised_decrease: jax.Array | None  # how much the step would lower a linear loss


def sums_by_leaf(grads: Any, after: Any, together: bool = True) -> list[Any]:
    """What ``step_sums`` adds up, for a step at ``grads`` that left ``after``.

    It is a pair for every leaf, or for all small leaves together: sums, and maxima.
    """
    states = states_and_gradients(after, grads)
    known = all(seen is not None for _, seen in states)
    leaves: list[Arrays] = []
    for state, seen in states:
        trees = [state.step_sizes]
        if known:
            trees += [seen, state.prev_signs]
        leaves += zip(*map(jax.tree.leaves, trees), strict=True)
    leaves = [leaf for leaf in leaves if leaf[0].size]
    return [_sums_of_leaf(*leaf) for leaf in joined(leaves, together)]


def step_sums(by_leaf: list[Any], dtype: Any) -> StepSums:
    """The sums over all leaves; ``dtype`` is that of the promised decrease."""

    def over_leaves(reduce: Any, values: list[Any], dtype: Any = np.float32) -> Any:
        return reduce(_stack(values, dtype)) if values else None

    def total(index: int, dtype: Any = np.float32) -> Any:
        values = [sums[index] for sums, _ in by_leaf if index < len(sums)]
        return over_leaves(jnp.sum, values, dtype)

    def largest(index: int) -> Any:
        values = [maxima[index] for _, maxima in by_leaf if index < len(maxima)]
        return over_leaves(jnp.max, values)

    return StepSums(total(0), total(1), largest(0), largest(1), total(2, dtype))


def _sums_of_leaf(leaf: Arrays, is_joined: bool) -> Any:
    size, *rest = leaf
    sums, bounds = [jnp.log(size), jnp.log(size) ** 2], [size]
    if rest:
        grad, sign = rest
        grad = jnp.abs(grad).astype(size.dtype)
        sums.append(jnp.where(sign != 0, grad * size, 0))
        bounds.append(jnp.where(grad > 0, size, 0))
    if is_joined:  # small arrays: one reduction of both is faster
        if rest:
            bounds.append(size)  # of one shape with the sums, a GPU takes one kernel
        return jnp.sum(jnp.stack(sums), 1), jnp.max(jnp.stack(bounds), 1)
    return [*map(jnp.sum, sums)], [*map(jnp.max, bounds)]


def num_flips(
    grads: Any, before: Any, seen_by: Any, together: bool = True
) -> jax.Array | None:
    """How many gradients changed their sign; None where they are hidden.

    ``before`` is the optimizer's state that remembers the signs, and ``seen_by`` the one
    whose bases tell what Rprop sees.
    """
    states = zip(rprop_states(before), states_and_gradients(seen_by, grads), strict=True)
    leaves: list[Arrays] = []
    for old, (_, seen) in states:
        if seen is None:
            return None
        leaves += zip(*map(jax.tree.leaves, (seen, old.prev_signs)), strict=True)
    leaves = [leaf for leaf in leaves if leaf[0].size]
    changes = [
        jnp.sum(((grad > 0) & (sign < 0)) | ((grad < 0) & (sign > 0)), dtype=np.int32)
        for (grad, sign), _ in joined(leaves, together)
    ]
    if not changes:
        return None
    return functools.reduce(jnp.add, changes)


def num_step_sizes(opt_state: Any) -> int:
    """How many coordinates Rprop works on."""
    leaves = (jax.tree.leaves(state.step_sizes) for state in rprop_states(opt_state))
    return sum(leaf.size for tree in leaves for leaf in tree)


def seen_by_step(
    loss: jax.Array,
    gradient_max: jax.Array,
    flips: jax.Array | None,
    sums: StepSums,
    num_coordinates: int,
    counts: dict[str, jax.Array],
    astray: jax.Array,
    diverged: jax.Array,
) -> Seen:
    """What a step saw; ``counts`` are the scalars of the state that it led to."""
    mean, spread, fraction = None, None, flips
    if sums.log_step_size is not None and sums.log_square is not None:
        log_mean = sums.log_step_size / num_coordinates
        variance = sums.log_square / num_coordinates - log_mean**2
        mean, spread = jnp.exp(log_mean), jnp.exp(jnp.sqrt(jnp.maximum(variance, 0)))
    if fraction is not None:
        fraction = fraction.astype(np.float32) / num_coordinates
    history = FitHistory(loss, mean, spread, sums.step_size_max, fraction)
    return Seen(
        history=history,
        first_loss=counts["first_loss"],
        best_loss=counts["best_loss"],
        gradient_max=gradient_max,
        best_gradient_max=counts["best_gradient_max"],
        stalled_steps=counts["stalled_steps"],
        astray=astray,
        diverged=diverged,
        step_size_active=sums.step_size_active,
    )


def blank_history(state: FitState, loss: jax.Array) -> FitHistory:
    """The history that ``seen_by_step`` fills, as zeros of the same dtypes."""

    def fields(state: FitState) -> FitHistory:
        grads, opt_state = state.params, state.opt_state
        sums = step_sums(sums_by_leaf(grads, opt_state), loss.dtype)
        flips = num_flips(grads, opt_state, opt_state)
        if flips is not None:
            flips = flips.astype(np.float32)
        log_step_size, log_square, step_size_max, *_ = sums
        return FitHistory(loss, log_step_size, log_square, step_size_max, flips)

    seen = jax.eval_shape(fields, state)
    blank: FitHistory = jax.tree.map(
        lambda field: scalar_like(state.params, 0, field.dtype), seen
    )
    return blank


def as_row(history: FitHistory) -> jax.Array:
    """The fields of one step as one array; a history is written row by row."""
    fields = jax.tree.leaves(history)
    dtype = functools.reduce(np.promote_types, (field.dtype for field in fields))
    return vector([field.astype(dtype) for field in fields])


def from_rows(rows: Any, like: FitHistory) -> FitHistory:
    """The fields of every step, with the dtypes in ``like``; NumPy's if the rows are."""
    fields = jax.tree.leaves(like)
    structure: Any = jax.tree.structure(like)
    columns = (rows[:, i].astype(field.dtype) for i, field in enumerate(fields))
    history: FitHistory = structure.unflatten(columns)
    return history


def knows_step_sizes(params: optax.Params, opt_state: Any) -> bool:
    """Whether there are step sizes, and it is known which gradient belongs to each."""
    states = states_and_gradients(opt_state, params)
    return bool(states) and all(seen is not None for _, seen in states)


def _stack(scalars: Sequence[jax.Array], dtype: Any = np.float32) -> jax.Array:
    return jnp.stack([scalar.astype(dtype) for scalar in scalars])
