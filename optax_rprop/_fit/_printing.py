"""What a result, a history and a state print: a few lines for people."""

import collections
from typing import Any, NamedTuple

import jax
import numpy as np

from optax_rprop._checks import is_real, is_traced
from optax_rprop._fit._noise import ADVICE, shows_noise

MOST_SHAPES = 6  # of so many parameters the shapes are shown


class Facts(NamedTuple):
    """What is shown of one fit, as text and as HTML."""

    title: str
    advice: str
    noise: str  # what to do about it; empty where there is none
    rows: dict[str, str]


def result(fitted: Any, name_of: Any) -> str:
    """The lines of a FitResult; ``name_of`` makes a FitStatus of a number."""
    shown = facts(fitted, name_of)
    if shown is not None:
        texts = [_first_sentence(t) for t in (shown.advice, shown.noise) if t]
        rows = [f"{name:11} {fact}" for name, fact in shown.rows.items()]
        return "\n  ".join([shown.title, *texts, *rows])
    if has_values(fitted.loss) and _has_statuses(fitted.status, name_of):
        return _batch(fitted, name_of)
    return _fields(fitted)


def facts(fitted: Any, name_of: Any) -> Facts | None:
    """What is shown of a FitResult; None where it is not that of one fit, with values."""
    numbers = (fitted.status, fitted.loss, fitted.num_steps, fitted.best_step)
    if not _is_number(*numbers) or not _has_statuses(fitted.status, name_of):
        return None
    status = name_of(int(fitted.status))
    rows = {"loss": _loss(fitted)}
    if _is_number(fitted.gradient_max):
        rows["gradient"] = f"{float(fitted.gradient_max):.4g} at most, there"
    sizes = getattr(fitted.history, "step_size_mean", None)
    if has_values(sizes):
        rows["step sizes"] = _first_and_last(sizes)
    rows["parameters"] = shapes(fitted.params)
    title = f"FitResult: {status.name} after {_count(int(fitted.num_steps), 'step')}"
    seen = None if fitted.history is None else series_of(fitted.history)
    noise = ADVICE if seen is not None and shows_noise(seen) else ""
    return Facts(title, status.advice, noise, rows)


def history(seen: Any) -> str:
    """The lines of a FitHistory."""
    shown = history_facts(seen)
    if shown is None:
        return _fields(seen)
    rows = [f"{name:16} {fact}" for name, fact in shown.rows.items()]
    return "\n  ".join([shown.title, *rows])


def history_facts(seen: Any) -> Facts | None:
    """What is shown of a FitHistory; None where it is not that of one fit."""
    written = series_of(seen)
    if written is None:
        return None
    rows = {name: _first_and_last(series) for name, series in written.items()}
    return Facts(f"FitHistory of {_count(len(written['loss']), 'step')}", "", "", rows)


def series_of(seen: Any) -> dict[str, np.ndarray[Any, Any]] | None:
    """The series of a FitHistory, up to the last step; None if not those of one fit.

    Those from inside ``jit`` are longer, and NaN after the last step in all fields.
    """
    named = {k: x for k, x in seen._asdict().items() if x is not None}
    if "loss" not in named or not has_values(*named.values()):
        return None
    series = {name: np.asarray(x, float) for name, x in named.items()}
    if len({x.shape for x in series.values()}) > 1 or series["loss"].ndim != 1:
        return None
    is_written = ~np.all([np.isnan(x) for x in series.values()], axis=0)
    steps = np.max(np.flatnonzero(is_written), initial=-1) + 1
    return {name: x[:steps] for name, x in series.items()}


def state(held: Any) -> str:
    """The lines of a FitState."""
    if not _is_number(held.num_steps, held.best_loss, held.best_step):
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


def is_positive(*series: np.ndarray[Any, Any]) -> bool:
    """Whether they go on a logarithmic axis: every finite value is positive."""
    finite = [x[np.isfinite(x)] for x in series]
    return any(x.size for x in finite) and all((x > 0).all() for x in finite)


def has_values(*values: Any) -> bool:
    """Whether all are real numbers or arrays of them, here and now.

    A tracer is not, nor is a shape, a deleted array or one spread over other processes.
    """
    return all(
        isinstance(x, int | float)
        or (is_real(x) and isinstance(x, np.ndarray | np.generic))
        or (
            is_real(x)
            and isinstance(x, jax.Array)
            and not is_traced(x)
            and not x.is_deleted()
            and x.is_fully_addressable
        )
        for x in values
    )


def _is_number(*values: Any) -> bool:
    return has_values(*values) and not any(map(np.ndim, values))


def _has_statuses(status: Any, name_of: Any) -> bool:
    """Whether there is a FitStatus for every number; a tree may be mapped to any."""
    return has_values(status) and bool(np.isin(status, [*map(int, name_of)]).all())


def _batch(fitted: Any, name_of: Any) -> str:
    """One line for what ``jax.vmap`` makes of many results."""
    found = collections.Counter(np.asarray(fitted.status, int).ravel().tolist())
    statuses = ", ".join(f"{n} {name_of(value).name}" for value, n in found.most_common())
    losses = np.asarray(fitted.loss, float).ravel()
    parts = [
        f"FitResult of {_count(losses.size, 'fit')}",
        *([f": {statuses}"] if statuses else []),
    ]
    losses = losses[~np.isnan(losses)]
    if losses.size:
        parts.append(f"; best losses from {losses.min():.4g} to {losses.max():.4g}")
    return "".join(parts)


def _loss(fitted: Any) -> str:
    best = float(fitted.loss)
    first: Any = getattr(fitted.last, "first_loss", None)
    if not np.isfinite(best):
        return "none was finite"
    begun = f"{float(first):.4g} -> " if _is_number(first) else ""
    return f"{begun}{best:.4g} at the best, after step {int(fitted.best_step)}"


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".") + "."


def _fields(fields: Any) -> str:
    """The names of the fields and the shapes in them, where there are no values."""
    shown = (f"{name}={_shape(x)}" for name, x in fields._asdict().items())
    return f"{type(fields).__name__}({', '.join(shown)})"


def _first_and_last(series: Any) -> str:
    series = np.asarray(series, float)
    written = series[~np.isnan(series)]
    if not written.size:
        return "none"
    return f"{written[0]:.4g} -> {written[-1]:.4g}"


def _shape(leaf: Any) -> str:
    if hasattr(leaf, "dtype"):
        return f"{leaf.dtype}[{','.join(map(str, np.shape(leaf)))}]"
    return type(leaf).__name__


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
