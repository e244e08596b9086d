"""What is compiled for a function lives as long as the function does."""

import functools
import types
import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import jax

T = TypeVar("T")

_kept: dict[Hashable, Any] = {}


def kept_with(
    owners: tuple[Any, ...], settings: Hashable, make: Callable[[Callable[[], Any]], T]
) -> T:
    """What ``make`` returned for these owners and settings, as long as all owners live.

    ``make`` is called with a function that returns the owners. Its result must not hold
    them in any other way, or they, their data and their programs would never be freed.
    """
    key = (*map(id, owners), settings)
    if key not in _kept:

        def forget(_: Any, pop: Callable[..., Any] = _kept.pop) -> None:
            pop(key, None)  # bound early: at Python's exit the module may be gone

        try:
            references = [weakref.ref(owner, forget) for owner in owners]
        except TypeError:  # an owner that has no weak references: nothing is kept
            return make(lambda: owners)
        _kept[key] = make(lambda: tuple(reference() for reference in references))
    found: T = _kept[key]
    return found


def is_constant(function: Any) -> bool:
    """Whether ``function`` is a plain one, which only globals and closures can change.

    A bound method or a callable object also depends on attributes, which may change
    between two calls. So may an object that a partial has bound.
    """
    if isinstance(function, _JITTED):
        return is_constant(function.__wrapped__)  # type: ignore[attr-defined]
    if isinstance(function, functools.partial):
        bound = jax.tree.leaves((function.args, function.keywords))
        immutable = (jax.Array, bool, int, float, complex, str)
        return is_constant(function.func) and all(isinstance(x, immutable) for x in bound)
    return isinstance(function, types.FunctionType | types.BuiltinFunctionType)


_JITTED = type(jax.jit(lambda: None))
