"""Validation of what the user passed: the one place that words errors.

Every message reads ``<function>: <argument or leaf path> must <rule>, got <value>. <why
it matters, the usual value, or the call that fixes it>``. A wrong value is a ValueError,
a wrong kind a TypeError. Traced values are not checked: they have no value yet.
"""

import math
from collections.abc import Collection
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

State = TypeVar("State")


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
    wrong = [
        f"{path_name(path)} of {kind_of(leaf)}"
        for path, leaf in jax.tree.leaves_with_path(params)
        if not _is_inexact(leaf)
    ]
    if wrong:
        raise TypeError(
            f"{caller}: every parameter must be a floating-point or complex array, got "
            f"{', '.join(wrong)}. Leave such leaves out with optax.masked, or make them "
            "None."
        )


def state(caller: str, value: Any, kind: type[State]) -> State:
    """``value``; raise unless it is of the ``kind`` that init returns."""
    if not isinstance(value, kind):
        raise TypeError(
            f"{caller}: state must be a {kind.__name__}, got {type(value).__name__}. It "
            "is what init returned, and then what the update before did."
        )
    return value


def state_dtypes(caller: str, name: str, arrays: Any, *dtypes: Any) -> None:
    """Raise unless every array of this part of the state has one of ``dtypes``."""
    if all(leaf.dtype in dtypes for leaf in jax.tree.leaves(arrays)):
        return
    wrong = [
        f"{path_name(path)} of {kind_of(leaf)}"
        for path, leaf in jax.tree.leaves_with_path(arrays)
        if leaf.dtype not in dtypes
    ]
    raise TypeError(
        f"{caller}: {name} of the state must be "
        f"{' or '.join(np.dtype(dtype).name for dtype in dtypes)}, got "
        f"{', '.join(wrong)}. {_TARGET}"
    )


def state_scalars(caller: str, state: Any, *names: str) -> None:
    """Raise unless each of these parts of the state is a floating-point scalar."""
    for name in names:
        value = getattr(state, name)
        if not _is_inexact(value) or np.shape(value) != ():
            raise TypeError(
                f"{caller}: {name} of the state must be a floating-point scalar, got "
                f"{kind_of(value)} and shape {np.shape(value)}. {_TARGET}"
            )


def signs(caller: str, prev_signs: Any, step_sizes: Any) -> None:
    """Raise unless there is a sign for every step size."""
    structure: Any = jax.tree.structure(prev_signs)
    if structure == jax.tree.structure(step_sizes) and all(
        sign.shape == size.shape
        for sign, size in zip(
            jax.tree.leaves(prev_signs), jax.tree.leaves(step_sizes), strict=True
        )
    ):
        return  # the usual case, with no path spelled out
    found, want = (
        [(path_name(path), np.shape(leaf)) for path, leaf in jax.tree.leaves_with_path(t)]
        for t in (prev_signs, step_sizes)
    )
    if found != want:
        raise ValueError(
            f"{caller}: prev_signs of the state must have the leaves and the shapes of "
            f"its step_sizes, {want}, got {found}. {_TARGET}"
        )


def as_wide(caller: str, step_sizes: Any, params: Any) -> None:
    """Raise if parameters are wider than their step sizes, which init never makes."""
    if jax.dtypes.canonicalize_dtype("float64") == np.float32:
        return  # nothing is wider than float32
    sizes = dict(jax.tree.leaves_with_path(step_sizes))
    wrong = [
        f"{path_name(path)} of {sizes[path].dtype} for {dtype_of(param)}"
        for path, param in jax.tree.leaves_with_path(params)
        if path in sizes and _real_size(param) > max(4, sizes[path].dtype.itemsize)
    ]
    if wrong:
        raise TypeError(
            f"{caller}: step_sizes of the state must be float64 for parameters that are, "
            f"got {', '.join(wrong)}. {_TARGET}"
        )


def gradients(caller: str, grads: Any, step_sizes: Any) -> None:
    """Raise unless ``grads`` fits ``step_sizes``, the state that init made."""
    structure: Any = jax.tree.structure(grads)
    if structure != jax.tree.structure(step_sizes):
        have = [path for path, _ in jax.tree.leaves_with_path(grads)]
        want = [path for path, _ in jax.tree.leaves_with_path(step_sizes)]
        wrong = [f"none for {path_name(path)}" for path in want if path not in have]
        wrong += [f"one for {path_name(path)}" for path in have if path not in want]
        found = ", ".join(wrong) or f"the same leaves in {structure}"
        raise ValueError(
            f"{caller}: the gradients must have the tree structure of the parameters "
            f"that init was given, got {found}. {_INIT_AGAIN}"
        )
    pairs = zip(jax.tree.leaves(grads), jax.tree.leaves(step_sizes), strict=True)
    if all(_is_inexact(g) and _coordinates_shape(g) == d.shape for g, d in pairs):
        return  # the usual case, with no path spelled out

    wrong = [
        f"{path_name(path)} of {kind_of(grad)}"
        for path, grad in jax.tree.leaves_with_path(grads)
        if not _is_inexact(grad)
    ]
    if wrong:
        raise TypeError(
            f"{caller}: every gradient must be a floating-point or complex array, got "
            f"{', '.join(wrong)}. Rprop follows the sign of a derivative."
        )
    wrong = [
        f"{path_name(path)} of {kind_of(grad)} and shape {np.shape(grad)} where the "
        f"state has step sizes of shape {step_size.shape}"
        for (path, grad), step_size in zip(
            jax.tree.leaves_with_path(grads), jax.tree.leaves(step_sizes), strict=True
        )
        if _coordinates_shape(grad) != step_size.shape
    ]
    raise ValueError(
        f"{caller}: every gradient must have the shape of its parameter, got "
        f"{', '.join(wrong)}. {_INIT_AGAIN}"
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


_INIT_AGAIN = "Call init again after changing the model."
_TARGET = (
    "A checkpoint restored into another dtype is cast without a word; make the target "
    "with init."
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


def _real_size(value: Any) -> int:
    """The bytes of a real coordinate; 0 for what is no array."""
    dtype = dtype_of(value)
    if dtype is None:
        return 0
    return int(np.dtype(dtype).itemsize) // (2 if jnp.iscomplexobj(value) else 1)


def _is_inexact(leaf: Any) -> bool:
    dtype = dtype_of(leaf)
    return dtype is not None and jnp.issubdtype(dtype, jnp.inexact)


def _coordinates_shape(leaf: Any) -> tuple[int, ...]:
    """Real and imaginary parts are two coordinates, in a last axis of their own."""
    return (*np.shape(leaf), 2) if jnp.iscomplexobj(leaf) else np.shape(leaf)


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
