"""What ``in_box`` is given: its bounds, a start inside them, the parameters."""

from typing import Any

import jax
import numpy as np

from optax_rprop._checks import is_real, is_traced, kind_of, path_name


def bounds(caller: str, lower: Any, upper: Any) -> None:
    """Raise unless every bound is a real number, an array of them or None."""
    for name, bound in (("lower", lower), ("upper", upper)):
        for path, leaf in jax.tree.leaves_with_path(bound):
            if not is_real(leaf) or isinstance(leaf, bool):
                raise TypeError(
                    f"{caller}: {name} must be a real number, an array of them or a "
                    f"tree of both, got {kind_of(leaf)} at {path_name(path)}. None "
                    "stands for no bound."
                )
            if not is_traced(leaf) and np.any(np.isnan(np.asarray(leaf, float))):
                raise ValueError(
                    f"{caller}: {name} must not be NaN, got it at {path_name(path)}. "
                    "None stands for no bound."
                )


def bound_by_leaf(
    caller: str, name: str, bound: Any, none: float, params: Any
) -> list[Any]:
    """The bound of every leaf of the parameters, ``none`` where there is none.

    One in the place of a subtree holds for all of it.
    """
    if not jax.tree.leaves(params):
        return []  # optax.tree_map_params puts a placeholder there

    def is_none(x: Any) -> bool:
        return x is None

    bound = jax.tree.map(lambda x: none if x is None else x, bound, is_leaf=is_none)
    try:
        full = jax.tree.broadcast(bound, params)
    except ValueError as error:
        raise ValueError(
            f"{caller}: {name} must be a number or a tree like the parameters, got "
            f"{jax.tree.structure(bound)} for {jax.tree.structure(params)}. One number "
            "in the place of a subtree holds for all of it."
        ) from error
    leaves: list[Any] = jax.tree.leaves(full)
    return leaves


def bounds_of_leaf(caller: str, path: Any, param: Any, lower: Any, upper: Any) -> None:
    """Raise unless a parameter can have these bounds; infinite ones are none."""
    given = {"lower": lower, "upper": upper}
    free = not is_traced((lower, upper)) and all(
        np.all(np.isinf(np.asarray(bound, float))) for bound in (lower, upper)
    )
    if jax.numpy.iscomplexobj(param) and not free:
        raise TypeError(
            f"{caller}: a parameter with bounds must be real, got {kind_of(param)} at "
            f"{path_name(path)}. Complex numbers have no order: set None for it, or make "
            "its parts two parameters."
        )
    for name, bound in given.items():
        shape, fits = np.shape(bound), np.shape(param)
        if shape not in ((), fits):
            raise ValueError(
                f"{caller}: {name} must have the shape of its parameter, got {shape} "
                f"instead of {fits} at {path_name(path)}. One number holds for all "
                "entries."
            )
    if is_traced((lower, upper)):
        return
    wrong = np.asarray(lower) > np.asarray(upper)
    if np.any(wrong):
        pair = (np.broadcast_to(b, wrong.shape)[wrong][0] for b in (lower, upper))
        low, high = (float(number) for number in pair)
        raise ValueError(
            f"{caller}: lower must not exceed upper, got {low:g} and {high:g} at "
            f"{path_name(path)}. Where they are equal, they hold a parameter fast."
        )


def inside(caller: str, params: Any, outside: Any) -> None:
    """Raise unless every parameter starts inside its bounds.

    ``outside`` is a tree like the parameters: -1 where they are below, 1 where above.
    """
    param_at = dict(jax.tree.leaves_with_path(params))
    for path, side in jax.tree.leaves_with_path(outside):
        param = param_at.get(path)
        if is_traced((param, side)) or not np.any(side):
            continue
        index = np.unravel_index(np.argmax(np.asarray(side) != 0), np.shape(side))
        bound = "above its upper" if side[index] > 0 else "below its lower"
        raise ValueError(
            f"{caller}: every parameter must start inside its bounds, got "
            f"{np.asarray(param)[index]:g} {bound} bound at {path_name(path)}. Choose "
            "another start, or clip it with jnp.clip."
        )


def parameters_given(caller: str, params: Any) -> None:
    """Raise if there are no parameters."""
    if params is None:
        raise TypeError(
            f"{caller}: params must be the parameters, got None. Where a move meets a "
            "bound depends on where it starts: call update(grads, state, params)."
        )
