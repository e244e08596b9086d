"""What an update is given: gradients, parameters, the loss, a state."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optax_rprop import _checks as shared_checks
from optax_rprop._checks import (
    conforms,
    dtype_of,
    is_inexact,
    is_traced,
    kind_of,
    leaves_that_are_not,
    path_name,
    type_of,
)
from optax_rprop._leaf import for_each_part, is_parts, step_size_dtype


def loss(caller: str, name: str, needed: bool, value: Any) -> None:
    """Raise unless ``value`` is a real scalar, or None where the rule needs none."""
    if value is None:
        if needed:
            raise TypeError(
                f"{caller}: value must be the loss when variant is {name!r}, got None. "
                "Call update(grads, state, params, value=loss); a training loop that "
                "does not hand value on needs one of the other rules."
            )
        return
    dtype = dtype_of(value)
    if dtype is None or not jnp.issubdtype(dtype, jnp.number) or jnp.iscomplexobj(value):
        raise TypeError(
            f"{caller}: value must be a real number, got {kind_of(value)}. It is the "
            "loss at the parameters where the gradient was taken."
        )
    if np.shape(value) != ():
        raise ValueError(
            f"{caller}: value must be a scalar, got shape {np.shape(value)}. It is one "
            "loss for all of the data; take its mean or its sum."
        )


def state(caller: str, value: Any, kind: type) -> None:
    """Raise unless ``value`` is of the ``kind`` that init returns."""
    if not isinstance(value, kind):
        raise TypeError(
            f"{caller}: state must be of type {kind.__name__}, got "
            f"{type(value).__name__}. {_UPDATED}"
        )


def scalars(caller: str, state: Any, *names: str) -> None:
    """Raise unless each of these parts of the state is a floating-point scalar."""
    for name in names:
        value = getattr(state, name)
        if not is_inexact(value) or np.shape(value) != ():
            raise TypeError(
                f"{caller}: {name} of the state must be a floating-point scalar, got "
                f"{type_of(value)}. {_TARGET}"
            )


def gradients(caller: str, grads: Any, params: Any, memory: Any) -> None:
    """Raise unless ``grads`` fits the parameters and ``memory``, which init made."""
    arrays = jax.tree.leaves(memory, is_leaf=is_parts)
    memory = jax.tree.map(lambda _: 0, memory, is_leaf=is_parts)
    structure: Any = jax.tree.structure(grads)
    if structure != jax.tree.structure(memory):
        have = [path for path, _ in jax.tree.leaves_with_path(grads)]
        want = [path for path, _ in jax.tree.leaves_with_path(memory)]
        wrong = [f"none for {path_name(path)}" for path in want if path not in have]
        wrong += [f"one for {path_name(path)}" for path in have if path not in want]
        found = ", ".join(wrong) or f"the same leaves in {structure}"
        raise ValueError(
            f"{caller}: the gradients must have the tree structure of the parameters "
            f"that init was given, got {found}. {_INIT_AGAIN}"
        )
    leaves = jax.tree.leaves(grads)
    if not all(map(is_inexact, leaves)):
        raise TypeError(
            f"{caller}: every gradient must be a floating-point or complex array, got "
            f"{leaves_that_are_not(is_inexact, grads)}. Rprop follows the sign of a "
            "derivative."
        )
    have_params = structure == jax.tree.structure(params)
    like = jax.tree.leaves(params) if have_params else leaves
    fitting = [
        np.shape(grad) == np.shape(param) == np.shape(jax.tree.leaves(array)[0])
        and jnp.iscomplexobj(grad) == jnp.iscomplexobj(param) == is_parts(array)
        for grad, param, array in zip(leaves, like, arrays, strict=True)
    ]
    if not all(fitting):
        paths = [path for path, _ in jax.tree.leaves_with_path(grads)]
        rows = zip(fitting, paths, leaves, like, arrays, strict=True)
        wrong = [
            f"{path_name(path)} of {type_of(grad)}"
            + (f" for a parameter of {type_of(param)}" if have_params else "")
            + f" where the state has {_arrays(array)}"
            for fits, path, grad, param, array in rows
            if not fits
        ]
        raise ValueError(
            f"{caller}: every gradient must have the shape of its parameter, got "
            f"{', '.join(wrong)}. {_INIT_AGAIN}"
        )


def coordinates(
    caller: str, grads: Any, params: Any, sizes: dict[str, Any], signs: dict[str, Any]
) -> None:
    """Raise unless fields are what init makes for such gradients and parameters.

    ``sizes`` have the dtype of step sizes, and ``signs`` are int8.
    """
    structure: Any = jax.tree.structure(grads)
    have_params = structure == jax.tree.structure(params)

    def size_like(grad: Any, size: Any, param: Any) -> Any:
        found = dtype_of(jax.tree.leaves(size)[0])
        allowed = found == np.float64 and not have_params
        dtype = np.float64 if allowed else step_size_dtype(jnp.result_type(param))
        return shapes(grad, dtype)

    for name, tree in sizes.items():
        like = jax.tree.map(size_like, grads, tree, params if have_params else grads)
        conforms(caller, f"{name} of the state", tree, like, *_INIT_MAKES)
    for name, tree in signs.items():
        like = jax.tree.map(lambda grad: shapes(grad, np.int8), grads)
        conforms(caller, f"{name} of the state", tree, like, *_INIT_MAKES)
    ruled = {name: tree for name, tree in (sizes | signs).items() if name in _VALUES}
    values(caller, _UPDATED, **ruled)


def parameters_like(caller: str, grads: Any, params: Any, hint: str) -> None:
    """Raise unless the parameters have the structure of the gradients, and are inexact.

    Their shapes are checked with those of the gradients.
    """
    shared_checks.parameters(caller, params)
    structure: Any = jax.tree.structure(params)
    if structure != jax.tree.structure(grads):
        raise ValueError(
            f"{caller}: the parameters must have the tree structure of the gradients, "
            f"got {structure}. {hint}"
        )


def turned(
    caller: str, state: Any, bases: Any, expected_bases: Any, expected_grads: Any
) -> None:
    """Raise unless a state of ``in_eigenbasis`` is what init makes, and orthogonal."""
    count = state.num_updates
    if dtype_of(count) != np.int32 or np.shape(count) != ():
        raise TypeError(
            f"{caller}: num_updates of the state must be an int32 scalar, got "
            f"{type_of(count)}. {_TARGET}"
        )
    conforms(caller, "bases of the state", bases, expected_bases, *_INIT_MAKES)
    conforms(
        caller,
        "prev_grads of the state",
        state.prev_grads,
        expected_grads,
        *_INIT_MAKES,
    )
    orthogonal(caller, _UPDATED, ".bases", bases)


def orthogonal(caller: str, hint: str, where: str, bases: Any) -> None:
    """Raise unless the directions of all bases are orthogonal.

    ``where`` is the path of the bases inside a state. Traced values are not checked.
    """
    for path, matrix in jax.tree.leaves_with_path(bases):
        name = jax.tree_util.keystr(path)
        if not name.endswith(".directions") or is_traced(matrix):
            continue
        off = _off_orthogonal(matrix)
        if not is_traced(off) and not off < 0.01:
            raise ValueError(
                f"{caller}: directions of the state must be orthogonal, got columns with "
                f"products off by {off:g} at leaf {where}{name}. {hint}"
            )


@jax.jit
def _off_orthogonal(matrix: Any) -> jax.Array:
    product = jnp.matmul(matrix.T, matrix, precision=jax.lax.Precision.HIGHEST)
    return jnp.max(jnp.abs(product - jnp.eye(len(matrix), dtype=matrix.dtype)))


def without_box(wrapper: str, found: list[Any]) -> None:
    """Raise if there are states of ``in_box`` in ``found``, inside of ``wrapper``."""
    if found:
        raise TypeError(
            f"{wrapper}.init: inner must have no bounds, got in_box. Bounds belong to "
            f"the parameters as they are: put in_box around {wrapper}."
        )


def without_units(found: list[Any]) -> None:
    """Raise if there are states of ``in_units`` in ``found``, inside turned bases."""
    if found:
        raise TypeError(
            "in_eigenbasis.init: inner must have no units, got in_units. Units belong to "
            "parameters, not to directions: put in_units around in_eigenbasis."
        )


def codes(caller: str, grads: Any, codes: Any, min_step_size: Any) -> None:
    """Raise unless the tree is what init makes for such gradients."""
    like = jax.tree.map(lambda grad: shapes(grad, np.uint8), grads)
    conforms(caller, "codes of the state", codes, like, *_INIT_MAKES)
    values(caller, _UPDATED, codes=codes, min_step_size=min_step_size)


def values(caller: str, hint: str, where: str = "", **fields: Any) -> None:
    """Raise unless all entries of these fields of a state can come from a step.

    ``where`` is the path of the state inside another. Traced values are not checked.
    """
    for name, tree in fields.items():
        rule, holds = _VALUES[name]
        for path, array in jax.tree.leaves_with_path(tree):
            if is_traced(array):
                continue  # or its test would be part of the program
            allowed = _all_hold(name, array)
            if not is_traced(allowed) and not allowed:
                wrong = np.asarray(array)[~np.asarray(holds(array))]
                raise ValueError(
                    f"{caller}: {name} of the state must be {rule}, got {wrong[0]:g} at "
                    f"leaf {where}.{name}{jax.tree_util.keystr(path)}. {hint}"
                )


_VALUES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "step_sizes": ("at least 0", lambda size: size >= 0),
    "prev_signs": ("-1, 0 or 1", lambda sign: (sign >= -1) & (sign <= 1)),
    "held": ("-1, 0 or 1", lambda side: (side >= -1) & (side <= 1)),
    "units": ("positive and finite", lambda unit: (unit > 0) & (unit < np.inf)),
    "codes": ("below 255", lambda code: code < 255),
    "min_step_size": ("positive and finite", lambda size: (size > 0) & (size < np.inf)),
}


@functools.partial(jax.jit, static_argnums=0)
def _all_hold(name: str, array: Any) -> jax.Array:
    _, holds = _VALUES[name]
    return jnp.all(holds(array))


def shapes(leaf: Any, dtype: Any) -> Any:
    """Those of the arrays of this dtype that a state holds for a leaf."""
    shape: Any = jax.ShapeDtypeStruct
    return for_each_part(leaf, lambda: shape(np.shape(leaf), dtype))


def _arrays(node: Any) -> str:
    """The arrays of a state for one leaf, for a message."""
    shape = np.shape(jax.tree.leaves(node)[0])
    return (
        f"two arrays of shape {shape}" if is_parts(node) else f"an array of shape {shape}"
    )


_UPDATED = "The state is what init returned, and then what the last update returned."
_INIT_AGAIN = "Call init again after changing the model."
_TARGET = (
    "A checkpoint restored into another dtype is cast silently; make the target with "
    "init."
)
_INIT_MAKES = ("of what init makes", _TARGET)  # like what, and the hint
