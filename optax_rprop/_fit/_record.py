"""The record of a step: what it saw, as scalars, made once.

It feeds the history, the stop rules and the progress bar.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop._fit._objective import Evaluation
from optax_rprop._fit._result import FitHistory, FitState
from optax_rprop._leaf import coordinates, scalar_like, shape_of_coordinates
from optax_rprop._transform._state import rprop_states

Arrays = tuple[jax.Array, ...]


class StepRecord(NamedTuple):
    """What one step saw; a field is None where the optimizer has nothing to show."""

    loss: jax.Array
    first_loss: jax.Array
    best_loss: jax.Array
    gradient_max: jax.Array  # the largest absolute entry; NaN where one is NaN
    best_gradient_max: jax.Array
    stalled_steps: jax.Array
    diverged: jax.Array  # bool: no way back to a finite loss was found
    step_size_mean: jax.Array | None
    step_size_max: jax.Array | None
    step_size_active: jax.Array | None  # the largest among coordinates with a gradient
    flip_fraction: jax.Array | None

    def history(self) -> FitHistory:
        """The fields that a history shows."""
        return FitHistory(*(getattr(self, name) for name in FitHistory._fields))


def largest_gradient(grads: optax.Updates) -> jax.Array:
    """The largest absolute entry of all gradients; NaN where one is NaN."""
    leaves: list[Arrays] = [
        (coordinates(grad),) for grad in jax.tree.leaves(grads) if grad.size
    ]
    largest = [jnp.max(jnp.abs(grad)) for (grad,) in _stack_scalars(leaves)]
    dtype = np.result_type(np.float32, *(x.dtype for x in largest))
    return jnp.max(_stack(largest, dtype))


def record(
    evaluation: Evaluation,
    before: FitState,
    after: FitState,
    diverged: jax.Array,
) -> StepRecord:
    """The record of the step from ``before`` to ``after``."""
    leaves = _stack_scalars(_leaves(evaluation.grads, before.opt_state, after.opt_state))
    seen = StepRecord(
        loss=evaluation.loss,
        first_loss=after.first_loss,
        best_loss=after.best_loss,
        gradient_max=largest_gradient(evaluation.grads),
        best_gradient_max=after.best_gradient_max,
        stalled_steps=after.stalled_steps,
        diverged=diverged,
        step_size_mean=None,
        step_size_max=None,
        step_size_active=None,
        flip_fraction=None,
    )
    if not leaves:
        return seen
    count = sum(size.size for size, *_ in leaves)
    logs = [jnp.sum(jnp.log(size)) for size, *_ in leaves]
    seen = seen._replace(
        step_size_mean=jnp.exp(jnp.sum(_stack(logs)) / count),
        step_size_max=jnp.max(_stack([jnp.max(size) for size, *_ in leaves])),
    )
    if any(len(leaf) == 1 for leaf in leaves):
        return seen
    active = [jnp.max(jnp.where(jnp.abs(g) > 0, size, 0)) for size, g, _, _ in leaves]
    flips = [
        # A gradient of 0 or NaN forgets the sign without changing it.
        jnp.sum((old != 0) & (new != old) & (jnp.abs(g) > 0))
        for _, g, old, new in leaves
    ]
    return seen._replace(
        step_size_active=jnp.max(_stack(active)),
        flip_fraction=jnp.sum(_stack(flips)) / count,
    )


def blank_history(state: FitState, loss_dtype: Any) -> FitHistory:
    """The fields that ``record`` will fill, as zeros of the same dtypes."""
    loss = scalar_like(state.params, 0, loss_dtype)
    seen = scalar_like(state.params, 0, jnp.float32)
    size = seen if rprop_states(state.opt_state) else None
    return FitHistory(loss, size, size, seen if knows_step_sizes(state) else None)


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
    leaves = _leaves(state.params, state.opt_state, state.opt_state)
    return bool(leaves) and all(len(leaf) > 1 for leaf in leaves)


def _leaves(grads: Any, before: Any, after: Any) -> list[Arrays]:
    """Step sizes, gradient, old and new signs of each leaf that Rprop works on.

    Only the step sizes where a wrapper reshapes the tree: no gradient is known then.
    """
    grad_at = dict(jax.tree.leaves_with_path(grads))
    found: list[Arrays] = []
    for old, new in zip(rprop_states(before), rprop_states(after), strict=True):
        signs = map(jax.tree.leaves, (old.prev_signs, new.prev_signs))
        sizes = jax.tree.leaves_with_path(new.step_sizes)
        for (path, size), *old_and_new in zip(sizes, *signs, strict=True):
            grad = grad_at.get(path)
            if grad is None or shape_of_coordinates(grad) != size.shape:
                grad = _flattened(grads, size.shape)
            known = () if grad is None else (coordinates(grad), *old_and_new)
            if size.size:
                found.append((size, *known))
    return found


def _flattened(grads: Any, shape: tuple[int, ...]) -> jax.Array | None:
    """The gradients as ``optax.flatten`` passes them on; None if its shape is another."""
    leaves = jax.tree.leaves(grads)
    dtype = jnp.result_type(*leaves)
    count = sum(leaf.size for leaf in leaves)
    parts = (2,) if jnp.issubdtype(dtype, jnp.complexfloating) else ()
    if (count, *parts) != shape:
        return None
    return jnp.concatenate([leaf.ravel() for leaf in leaves])


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
