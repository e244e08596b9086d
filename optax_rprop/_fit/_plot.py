"""The pictures of a history, drawn with matplotlib."""

from typing import Any

import numpy as np

from optax_rprop._checks import is_traced, type_of
from optax_rprop._fit._printing import is_positive, series_of


def history(seen: Any, ax: Any) -> np.ndarray[Any, Any]:
    """Draw a FitHistory on these axes, or on those of a new figure."""
    series = series_of(seen)
    if series is None:
        raise TypeError(
            "FitHistory.plot: the history must be that of one fit, with values, got "
            f"{'a tracer' if is_traced(seen.loss) else type_of(seen.loss)}. Of a batch, "
            "outside jit and vmap, result.best().history is one."
        )
    try:
        import matplotlib.pyplot as plt
        from matplotlib.axes import Axes
    except ImportError as error:
        raise ImportError(
            f"FitHistory.plot: matplotlib must be installed, got {error!r}. "
            "pip install 'optax-rprop[plot]' brings it."
        ) from error
    number = 2 if {"step_size_mean", "step_size_max"} <= series.keys() else 1
    if ax is None:
        _, ax = plt.subplots(
            ncols=number, figsize=(4.5 * number, 3.2), layout="constrained"
        )
    axes = np.ravel(np.asarray(ax, object))
    are_axes = all(isinstance(one, Axes) for one in axes)
    if not are_axes or len(axes) != number:
        raise (ValueError if are_axes else TypeError)(
            f"FitHistory.plot: ax must be {number} of matplotlib's axes, got {ax!r}. The "
            "loss takes one and the step sizes another: plt.subplots(ncols=2)[1]."
        )
    _curves(axes[0], {"loss": series["loss"]})
    axes[0].set_ylabel("loss")
    if number == 2:
        sizes = {
            "maximum": series["step_size_max"],
            "mean": series["step_size_mean"],
        }
        _curves(axes[1], sizes)
        if "step_size_spread" in series:
            _band(axes[1], series)
        axes[1].set_ylabel("step size")
        axes[1].legend()
    return axes


def _band(ax: Any, series: dict[str, np.ndarray[Any, Any]]) -> None:
    """From the 5 % to the 95 % quantile of a log-normal distribution."""
    mean, factor = series["step_size_mean"], series["step_size_spread"] ** 1.645
    ax.fill_between(
        np.arange(len(mean)),
        mean / factor,
        np.minimum(mean * factor, series["step_size_max"]),
        alpha=0.2,
        linewidth=0,
        color=ax.lines[-1].get_color(),
        label="5-95 %",
    )


def _curves(ax: Any, curves: dict[str, np.ndarray[Any, Any]]) -> None:
    """Draw each over the steps, on a logarithmic axis where all are positive."""
    marker = "." if len(next(iter(curves.values()))) == 1 else ""  # else nothing shows
    for label, series in curves.items():
        shown = np.where(np.isfinite(series), series, np.nan)
        ax.plot(np.arange(len(shown)), shown, marker=marker, label=label)
    ax.set_yscale("log" if is_positive(*curves.values()) else "linear")
    ax.set_xlabel("step")
