"""What a result, a history and a state print: a few lines for people."""

import collections
from typing import Any

import jax
import numpy as np

from optax_rprop._checks import is_traced

MOST_SHAPES = 6  # of so many parameters the shapes are shown


def result(fitted: Any, name_of: Any) -> str:
    """The lines of a FitResult; ``name_of`` makes a FitStatus of a number."""
    if not _has_values(fitted.status, fitted.loss, fitted.num_steps, fitted.best_step):
        return _fields(fitted)
    if np.ndim(fitted.status):
        return _batch(fitted, name_of)
    status = name_of(int(fitted.status))
    steps = int(fitted.num_steps)
    lines = [
        f"FitResult: {status.name} after {_count(steps, 'step')}",
        status.advice.split(". ")[0].rstrip(".") + ".",
        f"loss        {_loss(fitted)}",
    ]
    if _has_values(fitted.gradient_max):
        lines.append(f"gradient    {float(fitted.gradient_max):.4g} at most, there")
    sizes = None if fitted.history is None else fitted.history.step_size_mean
    if _has_values(sizes):
        lines.append(f"step sizes  {_first_and_last(sizes)}")
    lines.append(f"parameters  {shapes(fitted.params)}")
    return "\n  ".join(lines)


def history(seen: Any) -> str:
    """The lines of a FitHistory."""
    written = [series for series in seen if series is not None]
    if not _has_values(*written) or np.ndim(seen.loss) != 1:
        return _fields(seen)
    steps = int(np.sum(~_unwritten(seen)))
    lines = [f"FitHistory of {_count(steps, 'step')}"]
    lines += [
        f"{name:15} {_first_and_last(series[:steps])}"
        for name, series in seen._asdict().items()
        if series is not None
    ]
    return "\n  ".join(lines)


def state(held: Any) -> str:
    """The lines of a FitState."""
    if not _has_values(held.num_steps, held.best_loss, held.best_step) or np.ndim(
        held.num_steps
    ):
        return _fields(held)
    return "\n  ".join(
        [
            f"FitState after {_count(int(held.num_steps), 'step')}",
            f"best loss   {float(held.best_loss):.4g}, after step {int(held.best_step)}",
            f"parameters  {shapes(held.params)}",
        ]
    )


def shapes(tree: Any) -> str:
    """The dtypes and shapes of the leaves, and how many numbers they hold."""
    leaves = jax.tree.leaves_with_path(tree)
    shown = [
        f"{jax.tree_util.keystr(path)} {_shape(leaf)}".strip()
        for path, leaf in leaves[:MOST_SHAPES]
    ]
    if len(leaves) > MOST_SHAPES:
        shown.append(f"and {len(leaves) - MOST_SHAPES} more")
    total = sum(np.size(leaf) for _, leaf in leaves)
    return f"{_count(total, 'number')}: {', '.join(shown)}"


def _batch(fitted: Any, name_of: Any) -> str:
    """One line for what ``jax.vmap`` makes of many results."""
    found = collections.Counter(np.asarray(fitted.status).ravel().tolist())
    statuses = ", ".join(f"{n} {name_of(value).name}" for value, n in found.most_common())
    losses = np.asarray(fitted.loss, float)
    return (
        f"FitResult of {_count(losses.size, 'fit')}: {statuses}; best losses from "
        f"{np.nanmin(losses):.4g} to {np.nanmax(losses):.4g}"
    )


def _loss(fitted: Any) -> str:
    best, first = float(fitted.loss), fitted.last.first_loss
    if not np.isfinite(best):
        return "none was finite"
    begun = f"{float(first):.4g} -> " if _has_values(first) else ""
    return f"{begun}{best:.4g} at the best, after step {int(fitted.best_step)}"


def _has_values(*values: Any) -> bool:
    """Whether all are numbers or arrays, here and now: no tracer, no shape, no path."""
    return all(
        isinstance(x, int | float | np.ndarray | np.generic)
        or (
            isinstance(x, jax.Array)
            and not is_traced(x)
            and not x.is_deleted()
            and x.is_fully_addressable
        )
        for x in values
    )


def _fields(fields: Any) -> str:
    """The names of the fields and the shapes in them, where there are no values."""
    shown = (f"{name}={_shape(x)}" for name, x in fields._asdict().items())
    return f"{type(fields).__name__}({', '.join(shown)})"


def _first_and_last(series: Any) -> str:
    series = np.asarray(series)
    written = series[~np.isnan(series)]
    if not written.size:
        return "none"
    return f"{written[0]:.4g} -> {written[-1]:.4g}"


def _unwritten(seen: Any) -> Any:
    """Where no step has written; a loss may be NaN, but not beside a step size of NaN."""
    fields = [np.isnan(np.asarray(x)) for x in seen if x is not None]
    return np.all(fields, axis=0)


def _shape(leaf: Any) -> str:
    if hasattr(leaf, "dtype"):
        return f"{leaf.dtype}[{','.join(map(str, np.shape(leaf)))}]"
    return type(leaf).__name__


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
