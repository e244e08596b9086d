"""Validation of a ``torch.optim.Rprop`` state; messages follow _checks.py's template."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optax_rprop._checks import as_number, kind_of, path_name
from optax_rprop._transform._settings_checks import hyperparameters


def state_dict(caller: str, value: Any) -> None:
    """Raise unless ``value`` is what ``torch.optim.Rprop.state_dict()`` returns."""
    found = _without(kind_of(value), value, "state", "param_groups")
    if not found:
        for group in value["param_groups"] or [None]:
            keys = ("params", "lr", "etas", "step_sizes")
            found = found or _without("a group", group, *keys)
            for name in ("etas", "step_sizes"):
                if not found and np.shape(group[name]) != (2,):
                    found = f"{name} of {group[name]!r}"
        for index, entry in (value["state"] or {}).items():
            where = f"an entry for parameter {index}"
            found = found or _without(where, entry, "prev", "step_size")
    if found:
        raise TypeError(
            f"{caller}: state_dict must be that of a torch.optim.Rprop, got {found}. "
            "Pass what optimizer.state_dict() returns. The state of another optimizer, "
            "such as Adam or SGD, has no step sizes to continue with."
        )
    groups = value["param_groups"]
    if any(group.get("maximize") for group in groups):
        raise ValueError(
            f"{caller}: maximize must be False in every group, got True. Minimise the "
            "negative loss instead, both in torch and in JAX."
        )
    for name in ("etas", "step_sizes"):
        settings = dict.fromkeys(tuple(group[name]) for group in groups)
        if len(settings) > 1:
            raise ValueError(
                f"{caller}: {name} must be the same in all groups, got "
                f"{', '.join(map(str, settings))}. One rprop() has the same settings for "
                "all parameters. Convert each group on its own and combine them with "
                "optax.partition."
            )
    for group in groups:
        names = group.get("param_names")
        if names is not None and len(names) != len(group["params"]):
            raise ValueError(
                f"{caller}: param_names must name every parameter of its group, got "
                f"{len(names)} for {len(group['params'])}. Torch writes them when the "
                "optimizer is made from module.named_parameters()."
            )


def first_step_size(
    caller: str, lr: Any, eta_minus: Any, eta_plus: Any, low: Any, high: Any
) -> float:
    """``lr`` clipped to the bounds, as torch does; raise if a setting is wrong."""
    if math.prod(getattr(lr, "shape", (0,))) == 1:  # torch also takes a tensor
        lr = lr.item()
    for name, number in {
        "learning_rate": lr,
        "min_step_size": low,
        "max_step_size": high,
    }.items():
        as_number(caller, name, number, "Torch has one per group.")
    first, low, high = float(lr), float(low), float(high)
    if 0 <= first < math.inf and 0 <= low <= high > 0:
        first = min(max(first, low), high)
    hyperparameters(caller, first, eta_minus, eta_plus, low, high)
    return first


def once(caller: str, indices: list[Any], states: dict[Any, Any]) -> None:
    """Raise unless the groups list each parameter once, and every one with a state."""
    repeated = _repeated(indices)
    if repeated:
        raise ValueError(
            f"{caller}: every parameter must occur once in the groups, got "
            f"{_listed(repeated)} more than once. Give each parameter to torch's "
            "optimizer once."
        )
    unknown = [index for index in states if index not in indices]
    if unknown:
        raise ValueError(
            f"{caller}: state_dict must have states only for the parameters in its "
            f"groups, got {_listed(unknown)} as well. JSON turns integer keys into "
            "strings; turn them back with int."
        )


def as_many(caller: str, count: int, leaves: int) -> None:
    """Raise unless there are as many leaves as torch has parameters."""
    if count != leaves:
        raise ValueError(
            f"{caller}: params must have as many leaves as torch has parameters, "
            f"{count}, got {leaves}. {_ORDER}"
        )


def same_names(caller: str, names: list[str], leaf_names: list[str]) -> None:
    """Raise unless each of torch's names is that of one leaf, and each leaf has one."""
    differences = {
        "no leaf for": [name for name in names if name not in leaf_names],
        "no parameter for": [name for name in leaf_names if name not in names],
        "more than one": _repeated(names) or _repeated(leaf_names),
    }
    found = "; ".join(f"{what} {_listed(n)}" for what, n in differences.items() if n)
    if found:
        raise ValueError(
            f"{caller}: params must have one leaf for each of torch's param_names, got "
            f"{found}. A leaf is named by its path, as in 'layer.weight'. Rename the "
            "leaves, or pass a list of arrays in the order of torch's parameters."
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


def within(caller: str, index: Any, sizes: Any, low: float, high: float) -> None:
    """Raise unless the step sizes of a leaf are all finite and in the bounds."""
    parts = jax.tree.leaves(sizes)
    dtype = parts[0].dtype
    with np.errstate(over="ignore"):  # the bounds as torch rounds them
        lowest, highest = (np.asarray(bound).astype(dtype) for bound in (low, high))
    values = np.stack([np.asarray(part) for part in parts], axis=-1)
    right = np.isfinite(values) & (lowest <= values) & (values <= highest)
    if not right.all():
        raise ValueError(
            f"{caller}: the step sizes of parameter {index} must be finite and between "
            f"{low:g} and {high:g}, got {float(values[~right][0]):g}. Rprop keeps them "
            "between its bounds, which are step_sizes in torch, and min_step_size and "
            "max_step_size here."
        )


def array(caller: str, index: Any, name: str, value: Any) -> np.ndarray:
    """``value`` as an array of NumPy."""
    try:
        return np.asarray(value)
    except (TypeError, RuntimeError) as error:  # bfloat16, or on a GPU
        raise TypeError(
            f"{caller}: {name} of parameter {index} must be something that numpy.asarray "
            f"can read, got {kind_of(value)}. Move a tensor to the CPU with .cpu(), and "
            "cast torch.bfloat16 with .float()."
        ) from error


def along_the_axes(caller: str, found: list[Any]) -> None:
    """Raise if there is a state in a turned basis among those in ``found``."""
    if found:
        raise TypeError(
            f"{caller}: state must hold step sizes along the axes of the parameters, got "
            "an EigenbasisState. Its step sizes belong to directions that torch's Rprop "
            "does not have; pass the state of rprop."
        )


def without_units(caller: str, found: list[Any]) -> None:
    """Raise if there is a state with units among those in ``found``."""
    if found:
        raise TypeError(
            f"{caller}: state must hold step sizes in the units of the parameters, got a "
            "UnitsState. Torch's Rprop knows no other; pass the state of rprop."
        )


def without_bounds(caller: str, found: list[Any]) -> None:
    """Raise if there is a state with bounds among those in ``found``."""
    if found:
        raise TypeError(
            f"{caller}: state must have no bounds, got a BoxState. Torch's Rprop has "
            "none and would leave the box; to go on without bounds, pass its inner_state."
        )


def one_rprop(caller: str, found: list[Any]) -> Any:
    """The only state of Rprop in ``found``; raise if there is none, or more than one."""
    if len(found) != 1:
        raise TypeError(
            f"{caller}: state must hold one RpropState, got {len(found)}. Pass the state "
            "of rprop or scale_by_rprop, alone or in a chain. Torch has no rule that "
            "continues an Rprop8bitState, whose growth factor changes from step to step; "
            "to go on with a constant factor, pass its decode()."
        )
    return found[0]


_ORDER = (
    "Leaves without names are matched in the order of jax.tree.leaves, which sorts the "
    "keys of a dict. Pass a list in the order of torch's parameters, or make torch's "
    "optimizer from module.named_parameters()."
)


def _without(where: str, found: Any, *keys: str) -> str:
    """Which of the keys a dict lacks, in words; empty if none."""
    missing = [key for key in keys if not isinstance(found, dict) or key not in found]
    return f"{where} without {_listed(missing)}" if missing else ""


def _repeated(values: list[Any]) -> list[Any]:
    return [v for v in dict.fromkeys(values) if values.count(v) > 1]


def _listed(values: list[Any]) -> str:
    return ", ".join(map(repr, values))
