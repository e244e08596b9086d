"""When a fit is to stop: from what the user asked for to limits, and their checks."""

import math
from typing import Any

import numpy as np

from optax_rprop._checks import as_number, is_traced
from optax_rprop._fit._checks import LARGEST_COUNT
from optax_rprop._fit._stop import Limits

_PATIENCE = 100
_HINT = "One number holds for the whole fit; jax.vmap runs many fits."


def limits(
    caller: str, *, target_loss: Any, step_tol: Any, patience: Any, rtol: Any
) -> Limits:
    """When to stop, from what the user asked for; traced numbers as they are.

    Without a ``patience``: when there has been no new best loss at all for so long that
    Rprop has gone back to the best several times, with shorter steps.
    """
    if rtol is None:
        rtol = 0.0 if patience is None else 1e-4
    return Limits(
        _target_loss(caller, target_loss),
        _step_tol(caller, step_tol),
        _patience(caller, _PATIENCE if patience is None else patience),
        _rtol(caller, rtol),
    )


def _target_loss(caller: str, value: Any) -> Any:
    """The number; -inf for None, which no loss reaches."""
    if value is None:
        return -math.inf
    target = as_number(caller, "target_loss", value, _HINT)
    if target is not None and math.isnan(target):
        raise ValueError(
            f"{caller}: target_loss must be a number, got {target:g}. No loss is at or "
            "below it; None asks for no target."
        )
    return value if target is None else target


def _step_tol(caller: str, value: Any) -> Any:
    """The number; -1 for None, which no step is below."""
    if value is None:
        return -1.0
    tolerance = as_number(caller, "step_tol", value, _HINT)
    if tolerance is not None and not tolerance > 0:
        raise ValueError(
            f"{caller}: step_tol must be positive, got {tolerance:g}. It is a step size, "
            "in the units of the parameters, not below min_step_size."
        )
    return value if tolerance is None else tolerance


def _patience(caller: str, value: Any) -> Any:
    steps = as_number(caller, "patience", value, _HINT)
    if steps is not None and not steps >= 1:
        raise ValueError(
            f"{caller}: patience must be at least 1, got {steps:g}. It is a number of "
            "steps; 50 to 200 is usual."
        )
    return (
        value if steps is None else int(min(math.ceil(min(steps, 2**31)), LARGEST_COUNT))
    )


def _rtol(caller: str, value: Any) -> Any:
    improvement = as_number(caller, "rtol", value, _HINT)
    if improvement is not None and not 0 <= improvement < 1:
        raise ValueError(
            f"{caller}: rtol must be at least 0 and less than 1, got {improvement:g}. It "
            "is the relative improvement that patience waits for; 1e-4 is the default."
        )
    return value if improvement is None else improvement


def step_tol_can_be_met(
    caller: str, step_tol: Any, smallest: float | None, shown: str | None
) -> None:
    """Raise unless step sizes, of which the least is ``smallest``, can be so small."""
    if smallest is None:
        raise ValueError(
            f"{caller}: step_tol must be None for an optimizer without known step sizes, "
            f"got {shown}. Only Rprop has them, where no wrapper hides which parameters "
            "they belong to; use target_loss or patience."
        )
    if not is_traced(step_tol) and np.float32(step_tol) < np.float32(smallest):
        raise ValueError(
            f"{caller}: step_tol must be at least min_step_size, got {shown} below "
            f"{smallest:g}. No step size can meet it; lower min_step_size as well."
        )


def shown(number: Any) -> str:
    """A number as messages show it."""
    return "a traced number" if is_traced(number) else repr(number)
