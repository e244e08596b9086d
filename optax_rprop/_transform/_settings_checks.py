"""What a transformation is made with: its numbers, its rule, what it wraps."""

import math
from collections.abc import Collection, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from optax_rprop._checks import as_number, is_real, is_traced, kind_of, path_name
from optax_rprop._leaf import step_size_dtype


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
    """Raise unless each hyperparameter, as float32 has it, is a number in its range."""
    minus = _as_float32(caller, "eta_minus", eta_minus)
    plus = _as_float32(caller, "eta_plus", eta_plus)
    smallest = _as_float32(caller, "min_step_size", min_step_size)
    largest = _as_float32(caller, "max_step_size", max_step_size)

    if minus is not None and not 0 < minus < 1:
        raise ValueError(
            f"{caller}: eta_minus must lie strictly between 0 and 1, got "
            f"{_shown(eta_minus, minus)}. It shrinks a step after a sign change; 0.5 is "
            "usual."
        )
    if plus is not None and not 1 < plus < math.inf:
        raise ValueError(
            f"{caller}: eta_plus must be finite and greater than 1, got "
            f"{_shown(eta_plus, plus)}. It grows a step while the sign stays; 1.2 is "
            "usual."
        )
    if smallest is not None and not 0 <= smallest < math.inf:
        raise ValueError(
            f"{caller}: min_step_size must be finite and at least 0, got "
            f"{_shown(min_step_size, smallest)}. No step shrinks below it; 1e-6 is usual."
        )
    if largest is not None and not largest > 0:
        raise ValueError(
            f"{caller}: max_step_size must be positive, got "
            f"{_shown(max_step_size, largest)}. No step grows above it; 50 is usual, and "
            "inf sets no limit."
        )
    _in_order(caller, smallest, largest)
    for first, where in _first_steps(caller, learning_rate):
        initial = _as_float32(caller, "learning_rate", first)
        if initial is not None and not 0 < initial < math.inf:
            raise ValueError(
                f"{caller}: learning_rate must be positive and finite, got "
                f"{_shown(first, initial)}{where}. It is the initial step size, in the "
                "units of the parameters; 0.1 is usual."
            )
        _between(caller, initial, where, smallest, largest)


def grid(
    caller: str, learning_rate: Any, min_step_size: Any, max_step_size: Any, levels: int
) -> None:
    """Raise unless the step sizes lie on the 8-bit grid, in order, in its range."""
    smallest = _on_grid(caller, "min_step_size", min_step_size)
    largest = _on_grid(caller, "max_step_size", max_step_size)
    _in_order(caller, smallest, largest)
    for first, where in _first_steps(caller, learning_rate):
        # An array is rounded to the grid.
        initial = _on_grid(caller, "learning_rate", first, rounded=bool(where))
        _between(caller, initial, where, smallest, largest)
    octaves = (levels - 1) // 4
    if smallest is not None and largest is not None and largest > smallest * 2**octaves:
        raise ValueError(
            f"{caller}: max_step_size must be at most 2**{octaves} times min_step_size, "
            f"got {largest:g} and {smallest:g}. One byte holds {levels} step sizes; "
            "2**-20 and 2 are usual."
        )


def first_steps(caller: str, params: Any, learning_rate: Any) -> dict[Any, Any]:
    """The first step sizes by path; raise unless there are some for every parameter."""
    return _by_path(f"{caller}.init", "learning_rate", params, learning_rate)


def units_by_path(caller: str, params: Any, units: Any) -> dict[Any, Any]:
    """The units by path; raise unless the step sizes of every parameter can have one."""
    leaves = jax.tree.leaves_with_path(params)
    if jax.tree_util.all_leaves([units]) and np.ndim(units) == 0:
        unit_at = {path: units for path, _ in leaves}
    else:
        unit_at = _by_path(caller, "units", params, units)
    for path, param in leaves:
        dtype = step_size_dtype(jnp.result_type(param))
        if is_traced(unit_at[path]):
            continue
        with np.errstate(over="ignore", under="ignore"):
            held = np.asarray(unit_at[path]).astype(dtype)
        if not np.all((held > 0) & (held < np.inf)):
            raise ValueError(
                f"{caller}: units must be positive and finite as {dtype} has them, got "
                f"{held.min():g} at {path_name(path)}. {_UNITS}"
            )
    return unit_at


def _by_path(caller: str, name: str, params: Any, tree: Any) -> dict[Any, Any]:
    leaf_at = dict(jax.tree.leaves_with_path(tree))
    for path, param in jax.tree.leaves_with_path(params):
        if path not in leaf_at:
            raise ValueError(
                f"{caller}: {name} must be a number or a tree like the parameters, got "
                f"none for {path_name(path)}. A leaf of it is a number or an array of "
                "the shape of its parameter."
            )
        shape, fits = np.shape(leaf_at[path]), np.shape(param)
        if shape not in ((), fits):
            raise ValueError(
                f"{caller}: {name} must have the shape of its parameter, got {shape} "
                f"instead of {fits} at {path_name(path)}. One number holds for all "
                "entries."
            )
    return leaf_at


def units(caller: str, units: Any) -> None:
    """Raise unless each unit is a positive number."""
    for size, where in _extremes(units) if units is not None else ():
        number = as_number(caller, "units", size, _UNITS)
        if number is not None and not 0 < number < math.inf:
            raise ValueError(
                f"{caller}: units must be positive and finite, got {number:g}{where}. "
                f"{_UNITS}"
            )


def inner(caller: str, value: Any) -> None:
    """Raise unless ``value`` is a transformation that can be wrapped."""
    if not isinstance(value, optax.GradientTransformation):
        raise TypeError(
            f"{caller}: inner must be an Optax transformation, got {kind_of(value)}. "
            f"{caller}(rprop()) is usual."
        )


def turning(caller: str, refresh_every: Any, decay: Any, max_size: Any) -> None:
    """Raise unless each number of ``in_eigenbasis`` is in its range."""
    every = as_number(caller, "refresh_every", refresh_every, _HINT)
    if every is not None and not (1 <= every < 2**31 and every == int(every)):
        raise ValueError(
            f"{caller}: refresh_every must be an int and at least 1, got {every:g}. It "
            "is a number of updates; 10 is usual."
        )
    forget = _as_float32(caller, "decay", decay)
    if forget is not None and not 0 <= forget < 1:
        raise ValueError(
            f"{caller}: decay must be at least 0 and less than 1, got "
            f"{_shown(decay, forget)}. It is the weight of the past in a running mean; "
            "0.9 is usual."
        )
    if isinstance(max_size, bool) or not isinstance(max_size, int | np.integer):
        raise TypeError(
            f"{caller}: max_size must be an int, got {kind_of(max_size)}. It decides the "
            "shapes of the state, so it can't be traced; 256 is usual. For "
            "optax.inject_hyperparams, name it in static_args."
        )
    if max_size < 0:
        raise ValueError(
            f"{caller}: max_size must be at least 0, got {max_size}. Longer axes are not "
            "turned; 256 is usual."
        )


_UNITS = "A unit is a typical size of its parameter."
_HINT = (
    "One number holds for all parameters and steps; optax.partition makes groups with "
    "numbers of their own."
)


def _on_grid(caller: str, name: str, value: Any, rounded: bool = False) -> float | None:
    """``value`` as a float, or None where it is traced; one of m * 2**k."""
    size = as_number(caller, name, value, _HINT)
    if size is None:
        return None
    tiny, huge = (float(limit) for limit in (np.finfo("float32").tiny, 2.0**127))
    if not tiny <= size <= huge:
        raise ValueError(
            f"{caller}: {name} must be positive and in the normal range of float32, got "
            f"{size:g}. It is a step size, in the units of the parameters."
        )
    fraction, exponent = math.frexp(size)  # with fraction in [1/2, 1)
    below = math.floor(8 * fraction)
    if 8 * fraction != below and not rounded:
        low, high = (math.ldexp(eighths / 8, exponent) for eighths in (below, below + 1))
        raise ValueError(
            f"{caller}: {name} must lie on the grid of 1, 1.25, 1.5 or 1.75 times a "
            f"power of 2, got {size:g}. The nearest values are {low!r} and {high!r}."
        )
    return size


def _in_order(caller: str, smallest: float | None, largest: float | None) -> None:
    if _exceeds(smallest, largest):
        raise ValueError(
            f"{caller}: min_step_size must not exceed max_step_size, got {smallest:g} "
            f"and {largest:g}. They bound every step size; 1e-6 and 50 are usual."
        )


def _between(
    caller: str,
    initial: float | None,
    where: str,
    smallest: float | None,
    largest: float | None,
) -> None:
    if _exceeds(smallest, initial) or _exceeds(initial, largest):
        bounds = ["?" if b is None else f"{b:g}" for b in (smallest, largest)]
        got = f"{initial:g}"
        raise ValueError(
            f"{caller}: learning_rate must lie between min_step_size and max_step_size, "
            f"got {got if got not in bounds else repr(initial)} outside "
            f"{' to '.join(bounds)}{where}. It is the initial step size; widen the "
            "bounds if you mean it."
        )


def _first_steps(caller: str, learning_rate: Any) -> Iterator[tuple[Any, str]]:
    """The extremes of ``learning_rate``; none of "relative"."""
    if isinstance(learning_rate, str):
        if learning_rate != "relative":
            raise ValueError(
                f"{caller}: learning_rate must be a number, a tree like the parameters "
                f"or 'relative', got {learning_rate!r}. It is the initial step size; 0.1 "
                "is usual."
            )
        return
    yield from _extremes(learning_rate)


def _extremes(tree: Any) -> Iterator[tuple[Any, str]]:
    """The number; of a tree or an array, the least and the largest of each leaf.

    With a text for each that says where it is. Traced arrays are left out.
    """
    if tree is None or _is_number(tree):
        yield tree, ""
        return
    for path, leaf in jax.tree.leaves_with_path(tree):
        where = f" at {path_name(path)}"
        if _is_number(leaf):
            yield leaf, where
        elif not is_traced(leaf) and np.size(leaf):
            values = np.asarray(leaf)
            yield values.min(), where
            yield values.max(), where


def _is_number(leaf: Any) -> bool:
    """Whether a leaf is checked as a number: one is, and whatever is no array."""
    is_leaf = jax.tree_util.all_leaves([leaf])
    return is_leaf and not (is_real(leaf) and np.ndim(leaf) > 0)


def _exceeds(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low > high


def _as_float32(caller: str, name: str, value: Any) -> float | None:
    """``value`` as float32 has it, or None where it is traced."""
    number = as_number(caller, name, value, _HINT)
    if number is None:
        return None
    with np.errstate(over="ignore", under="ignore"):
        return float(np.float32(number))


def _shown(value: Any, in_float32: float) -> str:
    """The number, and what it is in float32 where that looks different."""
    number = as_number("", "", value, _HINT)
    if number == in_float32 or in_float32 not in (0, 1, math.inf):
        return f"{number:g}"
    return f"{number!r}, which is {in_float32 + 0.0:g} in float32"
