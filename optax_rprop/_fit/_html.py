"""What a result and a history show in a notebook: their facts and two small curves.

It is one piece of HTML without scripts. All colours are that of the notebook's text, so
that it can be read on a light ground and on a dark one.
"""

import html
from typing import Any

import numpy as np

from optax_rprop._fit import _printing

_WIDTH, _HEIGHT, _MARGIN = 240, 60, 3
_MOST_POINTS = _WIDTH  # of a curve: one for every pixel


def result(fitted: Any, name_of: Any) -> str:
    """A FitResult; ``name_of`` makes a FitStatus of a number."""
    shown = _printing.facts(fitted, name_of)
    if shown is None:  # a batch, or there are no values
        return _text(_printing.result(fitted, name_of))
    return _page(shown, fitted.history)


def history(seen: Any) -> str:
    """A FitHistory."""
    shown = _printing.history_facts(seen)
    return _text(_printing.history(seen)) if shown is None else _page(shown, seen)


def _text(text: str) -> str:
    return f'<pre style="white-space:pre-wrap">{html.escape(text)}</pre>'


def _page(shown: _printing.Facts, seen: Any) -> str:
    rows = "".join(
        f"<tr>{_cell('th', name)}{_cell('td', fact)}</tr>"
        for name, fact in shown.rows.items()
    )
    texts = filter(None, [shown.advice, shown.noise])
    advice = "".join(f"<div>{html.escape(text)}</div>" for text in texts)
    return (
        f"<div><strong>{html.escape(shown.title)}</strong>{advice}"
        f'<table style="margin:0.5em 0">{rows}</table>{_curves(seen)}</div>'
    )


def _cell(tag: str, text: str) -> str:
    return f'<{tag} style="text-align:left">{html.escape(text)}</{tag}>'


def _curves(seen: Any) -> str:
    """The loss, and the mean and the largest step size, where there are such."""
    series = None if not hasattr(seen, "_asdict") else _printing.series_of(seen)
    if series is None:
        return ""
    drawn = _curve("loss", series["loss"])
    if {"step_size_mean", "step_size_max"} <= series.keys():
        drawn += _curve(
            "step sizes, mean and maximum",
            series["step_size_mean"],
            series["step_size_max"],
        )
    return f'<div style="display:flex;flex-wrap:wrap;gap:2em">{drawn}</div>'


def _curve(caption: str, *series: np.ndarray[Any, Any]) -> str:
    """An SVG of the series over the steps, the second one pale; empty without values."""
    steps = len(series[0])
    if steps == 0:
        return ""
    is_log = _printing.is_positive(*series)
    chosen = np.unique(np.linspace(0, steps - 1, _MOST_POINTS).astype(int))
    heights = [x[chosen] for x in series]
    if is_log:
        heights = [np.log10(y, where=y > 0, out=np.full(len(y), np.nan)) for y in heights]
    finite = np.concatenate([y[np.isfinite(y)] for y in heights])
    if not finite.size:
        return ""
    low, high = finite.min(), finite.max()
    x = _MARGIN + (_WIDTH - 2 * _MARGIN) * chosen / max(steps - 1, 1)
    # What differs by less than this is rounding, and no reason to fill the height.
    least = 1e-4 * max(abs(high), abs(low)) or 1
    scale = (_HEIGHT - 2 * _MARGIN) / max(high - low, least)
    paths = "".join(
        f'<path d="{_path(x, _MARGIN + scale * (high - y))}" opacity="{opacity}"/>'
        for y, opacity in zip(heights, (1, 0.4), strict=False)
    )
    label = html.escape(f"{caption}{', log axis' if is_log else ''}")
    return (
        f'<figure style="margin:0"><svg width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{label}" fill="none" stroke="currentColor" stroke-width="1.5" '
        f'stroke-linecap="round" stroke-linejoin="round">{paths}</svg>'
        f"<figcaption><small>{label}</small></figcaption></figure>"
    )


def _path(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> str:
    """A line through the points, with a gap where one is not finite."""
    commands = []
    lifted = True
    for right, down in zip(x, y, strict=True):
        if np.isfinite(down):
            # A line to where the pen is makes a dot of a point that stands alone.
            at = f"{right:.1f} {down:.1f}"
            commands.append(f"M{at}L{at}" if lifted else f"L{at}")
        lifted = not np.isfinite(down)
    return "".join(commands)
