"""The step sizes of a new state: one number, one for each parameter, or in proportion."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop._leaf import coordinates_like, is_abstract, sizes_like, split
from optax_rprop._transform import _settings_checks

LearningRate = jax.typing.ArrayLike | optax.Params | Literal["relative"]

FRACTION = 0.1  # of the parameter, with "relative"; and the first step where that is 0


def first_step_sizes(
    caller: str,
    params: Any,
    learning_rate: Any,
    smallest: jax.typing.ArrayLike,
    largest: jax.typing.ArrayLike,
    dtype_of: Callable[[Any], Any],
) -> Any:
    """A step size for every coordinate of the parameters, as ``learning_rate`` says."""
    if isinstance(learning_rate, str):
        return jax.tree.map(
            lambda param: _relative(param, smallest, largest, dtype_of), params
        )
    if jax.tree_util.all_leaves([learning_rate]) and np.ndim(learning_rate) == 0:
        return coordinates_like(params, learning_rate, dtype_of)
    size_at = _settings_checks.first_steps(caller, params, learning_rate)
    return jax.tree.map_with_path(
        lambda path, param: sizes_like(param, size_at[path], dtype_of), params
    )


def _relative(
    param: Any,
    smallest: jax.typing.ArrayLike,
    largest: jax.typing.ArrayLike,
    dtype_of: Callable[[Any], Any],
) -> Any:
    def of_part(zeros: jax.Array, part: jax.Array) -> jax.Array:
        fraction = jnp.asarray(FRACTION, zeros.dtype)
        size = fraction * jnp.abs(part).astype(zeros.dtype)
        usable = (size > 0) & jnp.isfinite(size)
        low, high = (jnp.asarray(bound, zeros.dtype) for bound in (smallest, largest))
        return zeros + jnp.clip(jnp.where(usable, size, fraction), low, high)

    zeros = coordinates_like(param, 0, dtype_of)
    parts = zeros if is_abstract(param) else split(jnp.asarray(param))
    return jax.tree.map(of_part, zeros, parts)
