"""Validation of a ``torch.optim.Rprop`` state; the template is that of _checks.py."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from optax_rprop._checks import kind_of, path_name, shapes_of


def state_dict(caller: str, value: Any) -> None:
    """Raise unless ``value`` is what ``torch.optim.Rprop.state_dict()`` returns."""
    try:
        is_rprop = all(
            {"prev", "step_size"} <= entry.keys() for entry in value["state"].values()
        ) and all({"params", "lr"} <= group.keys() for group in value["param_groups"])
    except (AttributeError, KeyError, TypeError):
        is_rprop = False
    if not is_rprop:
        raise TypeError(
            f"{caller}: state_dict must be that of a torch.optim.Rprop, got "
            f"{kind_of(value)} without its entries. It has 'state' and 'param_groups', "
            "and for every parameter a 'prev' and a 'step_size'."
        )
    maximize = [group for group in value["param_groups"] if group.get("maximize")]
    if maximize:
        raise ValueError(
            f"{caller}: maximize must be False in every group, got True. Minimise the "
            "negative loss instead, here and in torch."
        )
    for name in ("etas", "step_sizes"):
        found = [tuple(group[name]) for group in value["param_groups"] if name in group]
        if len(set(found)) > 1:
            raise ValueError(
                f"{caller}: {name} must be the same in all groups, got "
                f"{', '.join(map(str, found))}. An rprop() has one setting for all; move "
                "one group at a time, for optax.multi_transform."
            )


def no_others(caller: str, states: dict[Any, Any], indices: list[Any]) -> None:
    """Raise if there is a state for what is no parameter."""
    unknown = [index for index in states if index not in indices]
    if unknown:
        raise ValueError(
            f"{caller}: state_dict must have states for the parameters of its groups "
            f"alone, got {', '.join(map(repr, unknown))} as well. JSON makes strings of "
            "numbers; make them int again."
        )


def as_many(caller: str, indices: list[Any], leaves: list[Any]) -> None:
    """Raise unless there are as many leaves as parameters of torch."""
    if len(indices) != len(leaves):
        raise ValueError(
            f"{caller}: params must have a leaf for each of torch's parameters, got "
            f"{len(leaves)} leaves for {len(indices)}. {_ORDER}"
        )


def fits(caller: str, path: Any, param: Any, index: Any, *arrays: np.ndarray) -> None:
    """Raise unless torch's arrays have the shape and the dtype of the leaf."""
    dtype = jnp.result_type(param)
    # NumPy has no bfloat16, so such arrays come as float32.
    dtypes = (dtype, np.dtype("float32")) if dtype == jnp.bfloat16 else (dtype,)
    for array in arrays:
        if array.shape != np.shape(param) or array.dtype not in dtypes:
            raise ValueError(
                f"{caller}: {path_name(path)} must have the shape and dtype of torch's "
                f"parameter {index}, {array.shape} and {array.dtype}, got "
                f"{np.shape(param)} and {dtype}. {_ORDER} Float64 needs jax_enable_x64."
            )


def array(caller: str, index: Any, name: str, value: Any) -> np.ndarray:
    """``value`` as an array of NumPy."""
    try:
        return np.asarray(value)
    except (TypeError, RuntimeError) as error:  # bfloat16, or on a GPU
        raise TypeError(
            f"{caller}: {name} of parameter {index} must be an array or become one with "
            f"numpy.asarray, got {kind_of(value)}. Move it with .cpu(), and cast "
            "torch.bfloat16 with .float()."
        ) from error


def one_rprop(caller: str, found: list[Any]) -> Any:
    """The only state of Rprop in ``found``; raise where there is none or another."""
    if len(found) != 1:
        raise TypeError(
            f"{caller}: state must hold one RpropState, got {len(found)}. It is that of "
            "rprop or scale_by_rprop, in a chain or not; torch has no 8-bit form."
        )
    return found[0]


def state_of(caller: str, step_sizes: Any, expected: Any) -> None:
    """Raise unless ``step_sizes`` has the structure and the shapes of ``expected``."""
    found, want = shapes_of(step_sizes), shapes_of(expected)
    if found != want:
        raise ValueError(
            f"{caller}: state must be that of params, {want}, got {found}. It is what "
            "init made of them."
        )


_ORDER = (
    "Leaves are taken in the order of jax.tree.leaves, which sorts the keys of a dict; a "
    "list in the order that torch's optimizer was given is safe."
)
