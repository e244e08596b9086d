"""The record of a step: what it saw, as scalars, made once.

It feeds the history, the stop rules and the progress bar.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop._fit._result import FitHistory, FitState
from optax_rprop._leaf import coordinates, scalar_like
from optax_rprop._transform._gradients import states_and_gradients
from optax_rprop._transform._state import rprop_states

Arrays = tuple[jax.Array, ...]


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


def largest_gradient(grads: optax.Updates) -> jax.Array:
    """The largest absolute entry of all gradients; NaN where one is NaN."""
    leaves: list[Arrays] = [
        (coordinates(grad),) for grad in jax.tree.leaves(grads) if grad.size
    ]
    largest = [jnp.max(jnp.abs(grad)) for (grad,) in _stack_scalars(leaves)]
    dtype = np.result_type(np.float32, *(x.dtype for x in largest))
    return jnp.max(_stack(largest, dtype))


def promised_decrease(leaves: list[Arrays], dtype: Any) -> jax.Array:
    """How much the step that ``leaves_of_step`` saw would lower a linear loss.

    0 without a step, and where it is not known which gradients Rprop saw.
    """
    promised = [
        jnp.sum(jnp.where(sign != 0, jnp.abs(grad).astype(size.dtype) * size, 0))
        for size, grad, _, sign in (leaves if _all_known(leaves) else [])
    ]
    return jnp.sum(_stack(promised, dtype)) if promised else jnp.zeros((), dtype)


def record(
    loss: jax.Array,
    gradient_max: jax.Array,
    leaves: list[Arrays],
    after: FitState,
    astray: jax.Array,
    diverged: jax.Array,
) -> StepRecord:
    """The record of the step to ``after``, which ``leaves_of_step`` saw."""
    sizes = [size for size, *_ in leaves]
    count = sum(size.size for size in sizes)
    known = leaves if _all_known(leaves) else []  # with gradients and signs
    active = [jnp.max(jnp.where(jnp.abs(g) > 0, size, 0)) for size, g, _, _ in known]
    flips = [
        # A gradient of 0 or NaN forgets the sign without changing it.
        jnp.sum((old != 0) & (new != old) & (jnp.abs(g) > 0))
        for _, g, old, new in known
    ]
    history = FitHistory(
        loss=loss,
        step_size_mean=_exp_mean([jnp.sum(jnp.log(d)) for d in sizes], count),
        step_size_max=_max([jnp.max(size) for size in sizes]),
        flip_fraction=_mean(flips, count),
    )
    return StepRecord(
        history=history,
        first_loss=after.first_loss,
        best_loss=after.best_loss,
        gradient_max=gradient_max,
        best_gradient_max=after.best_gradient_max,
        stalled_steps=after.stalled_steps,
        astray=astray,
        diverged=diverged,
        step_size_active=_max(active),
    )


def blank_history(state: FitState, loss: jax.Array) -> FitHistory:
    """The fields of the history that ``record`` fills, as zeros of the same dtypes."""

    def history(state: FitState, loss: jax.Array) -> FitHistory:
        leaves = leaves_of_step(state.params, state.opt_state, state.opt_state)
        gradient_max, no = state.best_gradient_max, jnp.array(False)
        return record(loss, gradient_max, leaves, state, no, no).history

    seen = jax.eval_shape(history, state, loss)
    blank: FitHistory = jax.tree.map(
        lambda field: scalar_like(state.params, 0, field.dtype), seen
    )
    return blank


def as_row(history: FitHistory) -> jax.Array:
    """The fields of one step as one array; a history is written row by row."""
    fields = jax.tree.leaves(history)
    dtype = functools.reduce(np.promote_types, (field.dtype for field in fields))
    return _stack(fields, dtype)


def from_rows(rows: Any, like: FitHistory) -> FitHistory:
    """The fields of every step, with the dtypes in ``like``; NumPy's if the rows are."""
    fields = jax.tree.leaves(like)
    structure: Any = jax.tree.structure(like)
    columns = (rows[:, i].astype(field.dtype) for i, field in enumerate(fields))
    history: FitHistory = structure.unflatten(columns)
    return history


def knows_step_sizes(state: FitState) -> bool:
    """Whether there are step sizes, and it is known which gradient belongs to each."""
    leaves = leaves_of_step(state.params, state.opt_state, state.opt_state)
    return bool(leaves) and _all_known(leaves)


def _all_known(leaves: list[Arrays]) -> bool:
    return all(len(leaf) > 1 for leaf in leaves)


def leaves_of_step(grads: Any, before: Any, after: Any) -> list[Arrays]:
    """Step sizes, gradient, old and new signs of each leaf that Rprop works on.

    Only the step sizes where a wrapper hides which gradients Rprop saw. ``before`` and
    ``after`` are the states of the optimizer.
    """
    found: list[Arrays] = []
    states = zip(rprop_states(before), states_and_gradients(after, grads), strict=True)
    for old, (new, seen) in states:
        trees = [new.step_sizes]
        if seen is not None:
            trees += [jax.tree.map(coordinates, seen), old.prev_signs, new.prev_signs]
        leaves = zip(*map(jax.tree.leaves, trees), strict=True)
        found += [leaf for leaf in leaves if leaf[0].size]
    return _stack_scalars(found)


def _stack_scalars(leaves: list[Arrays]) -> list[Arrays]:
    """The same leaves, all scalars in one vector, because each leaf adds compile time."""
    groups: dict[Any, list[Arrays]] = {}
    for index, leaf in enumerate(leaves):
        scalar = all(x.ndim == 0 for x in leaf)
        groups.setdefault(tuple(x.dtype for x in leaf) if scalar else index, []).append(
            leaf
        )
    return [
        group[0] if len(group) == 1 else tuple(map(jnp.stack, zip(*group, strict=True)))
        for group in groups.values()
    ]


def _stack(scalars: list[jax.Array], dtype: Any = np.float32) -> jax.Array:
    return jnp.stack([scalar.astype(dtype) for scalar in scalars])


def _max(scalars: list[jax.Array]) -> jax.Array | None:
    return jnp.max(_stack(scalars)) if scalars else None


def _mean(sums: list[jax.Array], count: int) -> jax.Array | None:
    return jnp.sum(_stack(sums)) / count if sums else None


def _exp_mean(sums: list[jax.Array], count: int) -> jax.Array | None:
    return jnp.exp(jnp.sum(_stack(sums)) / count) if sums else None
