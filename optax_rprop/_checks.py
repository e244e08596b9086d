"""Validation of what the user passed: the one place that words errors.

Every message reads ``<function>: <argument or leaf path> must <rule>, got <value>. <why
it matters, the usual value, or the call that fixes it>``. A wrong value is a ValueError,
a wrong kind a TypeError. Traced values are not checked: they have no value yet.
"""

import math
from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def variant(caller: str, name: Any, names: Collection[str]) -> None:
    """Raise unless ``name`` is one of the rules in ``names``."""
    if name not in names:
        raise ValueError(
            f"{caller}: variant must be one of {', '.join(map(repr, names))}, got "
            f"{name!r}. 'irprop-' is the default and needs no loss."
        )


def hyperparameters(
    caller: str,
    learning_rate: Any,
    eta_minus: Any,
    eta_plus: Any,
    min_step_size: Any,
    max_step_size: Any,
) -> None:
    """Raise unless each hyperparameter is a number in its range."""
    initial = as_number(caller, "learning_rate", learning_rate)
    minus = as_number(caller, "eta_minus", eta_minus)
    plus = as_number(caller, "eta_plus", eta_plus)
    smallest = as_number(caller, "min_step_size", min_step_size)
    largest = as_number(caller, "max_step_size", max_step_size)

    if initial is not None and not 0 < initial < math.inf:
        raise ValueError(
            f"{caller}: learning_rate must be positive and finite, got {initial:g}. "
            "It is the initial step size, in the units of the parameters; 0.1 is usual."
        )
    if minus is not None and not 0 < minus < 1:
        raise ValueError(
            f"{caller}: eta_minus must lie strictly between 0 and 1, got {minus:g}. "
            "It shrinks a step after a sign change; 0.5 is usual."
        )
    if plus is not None and not 1 < plus < math.inf:
        raise ValueError(
            f"{caller}: eta_plus must be finite and greater than 1, got {plus:g}. "
            "It grows a step while the sign stays; 1.2 is usual."
        )
    if smallest is not None and not 0 <= smallest < math.inf:
        raise ValueError(
            f"{caller}: min_step_size must be finite and at least 0, got {smallest:g}. "
            "No step shrinks below it; 1e-6 is usual."
        )
    if largest is not None and not largest > 0:
        raise ValueError(
            f"{caller}: max_step_size must be positive, got {largest:g}. "
            "No step grows above it; 50 is usual, and inf sets no limit."
        )
    _in_order(caller, initial, smallest, largest)


def parameters(caller: str, params: Any) -> None:
    """Raise unless every leaf is a floating-point or complex array."""
    wrong = list_unless(is_inexact, params)
    if wrong:
        raise TypeError(
            f"{caller}: every parameter must be a floating-point or complex array, got "
            f"{wrong}. Leave such leaves out with optax.masked, or make them "
            "None."
        )


def loss(caller: str, value: Any) -> None:
    """Raise unless ``value`` is a real scalar."""
    if not _is_real(value):
        raise TypeError(
            f"{caller}: value must be a real number, got {kind_of(value)}. It is the "
            "loss at the parameters where the gradient was taken."
        )
    if np.shape(value) != ():
        raise ValueError(
            f"{caller}: value must be a scalar, got shape {np.shape(value)}. It is one "
            "loss for all of the data; take its mean or its sum."
        )


def loss_missing(caller: str, variant: str) -> None:
    """Raise: the rule looks at the loss, and none was given."""
    raise TypeError(
        f"{caller}: value must be the loss when variant is {variant!r}, got None. Call "
        "update(grads, state, params, value=loss); a training loop that does not hand "
        "value on needs one of the other rules."
    )


def grid(
    caller: str, learning_rate: Any, min_step_size: Any, max_step_size: Any, levels: int
) -> None:
    """Raise unless the step sizes lie on the 8-bit grid, in order and near enough."""
    initial = _on_grid(caller, "learning_rate", learning_rate)
    smallest = _on_grid(caller, "min_step_size", min_step_size)
    largest = _on_grid(caller, "max_step_size", max_step_size)
    _in_order(caller, initial, smallest, largest)
    octaves = (levels - 1) // 4
    if smallest is not None and largest is not None and largest > smallest * 2**octaves:
        raise ValueError(
            f"{caller}: max_step_size must be at most 2**{octaves} times min_step_size, "
            f"got {largest:g} and {smallest:g}. One byte holds {levels} step sizes; "
            "2**-20 and 2 are usual."
        )


def as_number(caller: str, name: str, value: Any) -> float | None:
    """``value`` as a float, or None where it is traced."""
    if type(value) is float:
        return value  # the usual case: a fit of a small problem takes microseconds
    if callable(value):
        raise TypeError(
            f"{caller}: {name} must be a number, got the function {value!r}. A schedule "
            "has nothing to scale: each parameter adapts a step size of its own."
        )
    if not _is_real(value):
        raise TypeError(
            f"{caller}: {name} must be a real number, got {kind_of(value)}. A Python "
            "float or a scalar array will do."
        )
    if np.shape(value) != ():
        raise ValueError(
            f"{caller}: {name} must be a scalar, got shape {np.shape(value)}. For "
            "groups of parameters with values of their own, use optax.multi_transform."
        )
    return None if isinstance(value, jax.core.Tracer) else float(value)


def _on_grid(caller: str, name: str, value: Any) -> float | None:
    """``value`` as a float, or None where it is traced; one of m * 2**k."""
    size = as_number(caller, name, value)
    if size is None:
        return None
    tiny, huge = (float(limit) for limit in (np.finfo("float32").tiny, 2.0**127))
    if not tiny <= size <= huge:
        raise ValueError(
            f"{caller}: {name} must be positive and in the normal range of float32, got "
            f"{size:g}. It is a step size, in the units of the parameters."
        )
    fraction, exponent = math.frexp(size)  # size = fraction * 2**exponent, 1/2 and up
    below = math.floor(8 * fraction)
    if 8 * fraction != below:
        low, high = (math.ldexp(eighths / 8, exponent) for eighths in (below, below + 1))
        raise ValueError(
            f"{caller}: {name} must lie on the grid of 1, 1.25, 1.5 or 1.75 times a "
            f"power of 2, got {size:g}. The nearest values are {low!r} and {high!r}."
        )
    return size


def _in_order(
    caller: str, initial: float | None, smallest: float | None, largest: float | None
) -> None:
    # Compared as float32, which is what step sizes are: float32(0.1) is not 0.1.
    if _exceeds(smallest, largest):
        raise ValueError(
            f"{caller}: min_step_size must not exceed max_step_size, got {smallest:g} "
            f"and {largest:g}. They bound every step size; 1e-6 and 50 are usual."
        )
    if _exceeds(smallest, initial) or _exceeds(initial, largest):
        bounds = " to ".join("?" if b is None else f"{b:g}" for b in (smallest, largest))
        raise ValueError(
            f"{caller}: learning_rate must lie between min_step_size and max_step_size, "
            f"got {initial:g} outside {bounds}. It is the initial step size; widen the "
            "bounds if you mean it."
        )


def _exceeds(low: float | None, high: float | None) -> bool:
    return None not in (low, high) and bool(np.float32(low) > np.float32(high))


def _is_real(value: Any) -> bool:
    dtype = dtype_of(value)
    return dtype is not None and (
        jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)
    )


def is_inexact(leaf: Any) -> bool:
    dtype = dtype_of(leaf)
    return dtype is not None and jnp.issubdtype(dtype, jnp.inexact)


def dtype_of(value: Any) -> Any:
    """The dtype of an array, a traced or abstract one, or a number; else None."""
    if hasattr(value, "dtype"):
        try:
            return np.dtype(value.dtype)
        except TypeError:  # a random key's, or that of another library
            return value.dtype if isinstance(value, jax.Array) else None
    if isinstance(value, bool | int | float | complex):
        return np.dtype(type(value))
    return None


def kind_of(value: Any) -> str:
    dtype = getattr(value, "dtype", dtype_of(value))
    return type(value).__name__ if dtype is None else f"dtype {dtype}"


def path_name(path: tuple[Any, ...]) -> str:
    return f"leaf {jax.tree_util.keystr(path)}" if path else "the only leaf"


def list_unless(right: Callable[[Any], bool], tree: Any) -> str:
    """The paths and kinds of all leaves that are not ``right``, for a message."""
    return ", ".join(
        f"{path_name(path)} of {kind_of(leaf)}"
        for path, leaf in jax.tree.leaves_with_path(tree)
        if not right(leaf)
    )


def shapes_of(tree: Any) -> list[tuple[str, tuple[int, ...]]]:
    """The path and the shape of every leaf."""
    return [
        (path_name(path), np.shape(leaf))
        for path, leaf in jax.tree.leaves_with_path(tree)
    ]
