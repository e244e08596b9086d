"""What all messages share: the template, names of leaves and kinds, common rules.

Every message reads ``<function>: <argument or leaf path> must <rule>, got <value>. <why
it matters, the usual value, or the call that fixes it>``. A wrong value is a ValueError,
a wrong kind a TypeError. Traced values are not checked: they have no value yet.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def parameters(caller: str, params: Any) -> None:
    """Raise unless every leaf is a floating-point or complex array."""
    wrong = leaves_that_are_not(is_inexact, params)
    if wrong:
        raise TypeError(
            f"{caller}: every parameter must be a floating-point or complex array, got "
            f"{wrong}. Make such a leaf a float, or keep it out of the parameters: as "
            "None, as data, or with nnx.split or equinox.partition."
        )


def as_number(caller: str, name: str, value: Any, hint: str) -> float | None:
    """``value`` as a float, or None where it is traced."""
    if type(value) is float:
        return value  # the usual case, first: a small fit takes microseconds
    if callable(value):
        raise TypeError(
            f"{caller}: {name} must be a number, got the function {value!r}. {hint}"
        )
    if not is_real(value):
        raise TypeError(
            f"{caller}: {name} must be a real number, got {kind_of(value)}. A Python "
            "float or a scalar array will do."
        )
    if np.shape(value) != ():
        raise ValueError(
            f"{caller}: {name} must be a scalar, got shape {np.shape(value)}. {hint}"
        )
    if isinstance(value, jax.core.Tracer):
        return None
    try:
        return float(value)
    except OverflowError:  # an int beyond the range of floats
        return math.inf if value > 0 else -math.inf


def conforms(
    caller: str, what: str, tree: Any, expected: Any, of: str, hint: str
) -> None:
    """Raise unless ``tree`` has the structure, shapes and dtypes of ``expected``.

    ``of`` says in the message what that is.
    """
    structure: Any = jax.tree.structure(tree)
    same = structure == jax.tree.structure(expected)
    leaves = zip(jax.tree.leaves(tree), jax.tree.leaves(expected), strict=same)
    if same and all(
        np.shape(leaf) == want.shape and dtype_of(leaf) == want.dtype
        for leaf, want in leaves
    ):
        return
    found, wanted = _types_by_path(tree), _types_by_path(expected)
    differ = [
        f"{found.get(path, 'nothing')} instead of {wanted.get(path, 'nothing')} at {path}"
        for path in wanted | found
        if found.get(path) != wanted.get(path)
    ] or [f"the same leaves in {structure}"]
    more = f" and {len(differ) - 1} more" if len(differ) > 1 else ""
    raise ValueError(
        f"{caller}: {what} must have the structure, shapes and dtypes {of}, got "
        f"{differ[0]}{more}. {hint}"
    )


def is_inexact(leaf: Any) -> bool:
    dtype = dtype_of(leaf)
    return dtype is not None and jnp.issubdtype(dtype, jnp.inexact)


def is_real(value: Any) -> bool:
    """Whether ``value`` is a real number or an array of them."""
    dtype = dtype_of(value)
    return dtype is not None and (
        jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)
    )


def dtype_of(value: Any) -> Any:
    """The dtype of an array, a traced or abstract one, or a number; else None."""
    if hasattr(value, "dtype"):
        try:
            return np.dtype(value.dtype)
        except TypeError:  # that of a random key, or of another library
            return value.dtype if isinstance(value, jax.Array) else None
    if isinstance(value, bool | int | float | complex):
        return np.dtype(type(value))
    return None


def kind_of(value: Any) -> str:
    """The dtype of an array, or the name of another type, for a message."""
    dtype = getattr(value, "dtype", None)
    return type(value).__name__ if dtype is None else f"dtype {dtype}"


def type_of(value: Any) -> str:
    """The dtype and the shape as in ``float32[2,3]``, for a message."""
    if not hasattr(value, "dtype"):
        return type(value).__name__
    return f"{value.dtype}[{','.join(map(str, np.shape(value)))}]"


def path_name(path: tuple[Any, ...]) -> str:
    return f"leaf {jax.tree_util.keystr(path)}" if path else "the only leaf"


def leaves_that_are_not(right: Callable[[Any], bool], tree: Any) -> str:
    """The paths and kinds of all leaves that are not ``right``, for a message."""
    return ", ".join(
        f"{path_name(path)} of {kind_of(leaf)}"
        for path, leaf in jax.tree.leaves_with_path(tree)
        if not right(leaf)
    )


def is_traced(tree: Any) -> bool:
    """Whether a leaf has no value yet, as inside ``jit``, ``vmap`` and ``grad``."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def _types_by_path(tree: Any) -> dict[str, str]:
    leaves = jax.tree.leaves_with_path(tree)
    return {path_name(path): type_of(leaf) for path, leaf in leaves}
