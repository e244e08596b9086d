"""The record of a step: what it saw, as scalars, made once.

It feeds the history, the stop rules and the progress bar.
"""

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
from optax_rprop._leaf import coordinates, scalar_like
from optax_rprop._transform._gradients import states_and_gradients
from optax_rprop._transform._state import rprop_states

Arrays = tuple[Any, ...]


class StepRecord(NamedTuple):
    """What one step saw, for the stop rules and, in ``history``, for people.

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
    leaves = [(coordinates(grad),) for grad in jax.tree.leaves(grads) if grad.size]
    largest = [jnp.max(jnp.abs(grad)) for (grad,), _ in joined(leaves, together)]
    dtype = np.result_type(np.float32, *(x.dtype for x in largest))
    return jnp.max(_stack(largest, dtype))


class StepSums(NamedTuple):
    """What a step left, over all coordinates that Rprop worked on.

    A field is None where there are no step sizes; the last two are also None where a
    wrapper hides which gradients Rprop saw.
    """

    log_step_size: jax.Array | None  # the sum of the logarithms
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
            trees += [jax.tree.map(coordinates, seen), state.prev_signs]
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

    return StepSums(total(0), largest(0), largest(1), total(1, dtype))


def _sums_of_leaf(leaf: Arrays, is_joined: bool) -> Any:
    size, *rest = leaf
    sums, bounds = [jnp.log(size)], [size]
    if rest:
        grad, sign = rest
        grad = jnp.abs(grad).astype(size.dtype)
        sums.append(jnp.where(sign != 0, grad * size, 0))
        bounds.append(jnp.where(grad > 0, size, 0))
    if is_joined:  # small arrays: one reduction of both is faster
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
        pair = jax.tree.map(coordinates, seen), old.prev_signs
        leaves += zip(*map(jax.tree.leaves, pair), strict=True)
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


def record(
    loss: jax.Array,
    gradient_max: jax.Array,
    flips: jax.Array | None,
    sums: StepSums,
    num_coordinates: int,
    counts: dict[str, jax.Array],
    astray: jax.Array,
    diverged: jax.Array,
) -> StepRecord:
    """The record of a step; ``counts`` are the scalars of the state that it led to."""
    mean, fraction = sums.log_step_size, flips
    if mean is not None:
        mean = jnp.exp(mean / num_coordinates)
    if fraction is not None:
        fraction = fraction.astype(np.float32) / num_coordinates
    history = FitHistory(loss, mean, sums.step_size_max, fraction)
    return StepRecord(
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
    """The fields of the history that ``record`` fills, as zeros of the same dtypes."""

    def fields(state: FitState) -> FitHistory:
        grads, opt_state = state.params, state.opt_state
        sums = step_sums(sums_by_leaf(grads, opt_state), loss.dtype)
        flips = num_flips(grads, opt_state, opt_state)
        if flips is not None:
            flips = flips.astype(np.float32)
        return FitHistory(loss, sums.log_step_size, sums.step_size_max, flips)

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
