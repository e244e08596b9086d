"""Why a fit ended, or each of a batch, as ``vmap`` makes it; and the best of them."""

from typing import Any

import jax
import numpy as np

from optax_rprop._checks import is_traced, type_of
from optax_rprop._fit._printing import facts, has_values


def statuses(fitted: Any, name_of: Any) -> Any:
    """The FitStatus of each; ``name_of`` makes one of a number."""
    if not has_values(fitted.status):
        raise TypeError(
            "FitResult.statuses: the status must have a value, got "
            f"{_kind(fitted.status)}. Inside jit and vmap compare it: result.status "
            "== FitStatus.TARGET_REACHED."
        )
    return np.frompyfunc(name_of, 1, 1)(np.asarray(fitted.status))


def advice(fitted: Any, name_of: Any) -> str:
    """What to do about one fit."""
    shown = facts(fitted, name_of)
    if shown is None:
        raise TypeError(
            "FitResult.advice: the result must be that of one fit, with values, got a "
            f"status of {_kind(fitted.status)}. Of a batch, outside jit and vmap, "
            "result.best().advice is one."
        )
    return " ".join(filter(None, [shown.advice, shown.noise]))


def best(fitted: Any, name_of: Any) -> Any:
    """The result of the lowest loss, as one of a fit outside ``jit`` and ``vmap``."""
    if isinstance(fitted.status, name_of):
        return fitted
    if not has_values(fitted.loss):
        raise TypeError(
            f"FitResult.best: the loss must have a value, got {_kind(fitted.loss)}. "
            "Inside jit and vmap use jnp.argmin(result.loss)."
        )
    losses = np.asarray(fitted.loss, float)
    if not losses.size:
        raise ValueError(
            f"FitResult.best: the batch must hold a fit, got shape {losses.shape}. "
            "An empty batch has no best."
        )
    # argmin takes the first of equals, so the first of all where none is finite.
    lowest = np.argmin(np.where(np.isfinite(losses), losses, np.inf))
    index = np.unravel_index(lowest, losses.shape)
    lane = jax.tree.map(lambda x: x[index], fitted) if losses.ndim else fitted
    steps = int(lane.num_steps)
    return lane._replace(
        num_steps=steps,
        status=name_of(int(lane.status)),
        best_step=int(lane.best_step),
        history=jax.tree.map(lambda series: np.asarray(series)[:steps], lane.history),
    )


def _kind(value: Any) -> str:
    return "a tracer" if is_traced(value) else type_of(value)
