"""What is compiled for a function lives as long as the function does."""

import functools
import types
import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

_kept: dict[Hashable, Any] = {}


def kept_with(
    owners: tuple[Any, ...], settings: Hashable, make: Callable[[Callable[[], Any]], T]
) -> T:
    """What ``make`` returned for these owners and settings, as long as all owners live.

    ``make`` is called with a function that returns the owners. Its result must not hold
    them in another way: it would keep them, their data and their programs alive.
    """
    key = (*map(id, owners), settings)
    if key not in _kept:

        def forget(_: Any) -> None:
            _kept.pop(key, None)

        try:
            references = [weakref.ref(owner, forget) for owner in owners]
        except TypeError:  # an owner that has no weak references: nothing is kept
            return make(lambda: owners)
        _kept[key] = make(lambda: tuple(reference() for reference in references))
    found: T = _kept[key]
    return found


def is_constant(function: Any) -> bool:
    """Whether nothing but globals and closures can change what ``function`` returns.

    An attribute of an object can change too: of a bound method's, or of a callable one.
    """
    if isinstance(function, functools.partial):
        return is_constant(function.func)
    function = getattr(function, "__wrapped__", function)  # under jax.jit and the like
    return isinstance(function, types.FunctionType | types.BuiltinFunctionType)
