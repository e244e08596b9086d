"""Validation of a state and of the gradients; the template is that of _checks.py."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from optax_rprop._checks import (
    dtype_of,
    is_inexact,
    kind_of,
    list_unless,
    path_name,
    shapes_of,
)

State = TypeVar("State")


def state(caller: str, value: Any, kind: type[State]) -> State:
    """``value``; raise unless it is of the ``kind`` that init returns."""
    if not isinstance(value, kind):
        raise TypeError(
            f"{caller}: state must be a {kind.__name__}, got {type(value).__name__}. It "
            "is what init returned, and then what the update before did."
        )
    return value


def dtypes(caller: str, name: str, arrays: Any, *allowed: Any) -> None:
    """Raise unless every array of this part of the state has one of ``allowed``."""
    if all(leaf.dtype in allowed for leaf in jax.tree.leaves(arrays)):
        return
    raise TypeError(
        f"{caller}: {name} of the state must be "
        f"{' or '.join(np.dtype(dtype).name for dtype in allowed)}, got "
        f"{list_unless(lambda leaf: leaf.dtype in allowed, arrays)}. {_TARGET}"
    )


def scalars(caller: str, state: Any, *names: str) -> None:
    """Raise unless each of these parts of the state is a floating-point scalar."""
    for name in names:
        value = getattr(state, name)
        if not is_inexact(value) or np.shape(value) != ():
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
    found, want = shapes_of(prev_signs), shapes_of(step_sizes)
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
    if all(is_inexact(g) and _coordinates_shape(g) == d.shape for g, d in pairs):
        return  # the usual case, with no path spelled out

    not_inexact = list_unless(is_inexact, grads)
    if not_inexact:
        raise TypeError(
            f"{caller}: every gradient must be a floating-point or complex array, got "
            f"{not_inexact}. Rprop follows the sign of a derivative."
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


_INIT_AGAIN = "Call init again after changing the model."
_TARGET = (
    "A checkpoint restored into another dtype is cast without a word; make the target "
    "with init."
)


def _real_size(value: Any) -> int:
    """The bytes of a real coordinate; 0 for what is no array."""
    dtype = dtype_of(value)
    if dtype is None:
        return 0
    return int(np.dtype(dtype).itemsize) // (2 if jnp.iscomplexobj(value) else 1)


def _coordinates_shape(leaf: Any) -> tuple[int, ...]:
    """Real and imaginary parts are two coordinates, in a last axis of their own."""
    return (*np.shape(leaf), 2) if jnp.iscomplexobj(leaf) else np.shape(leaf)
