"""Epochs, gradient evaluations and time to a target loss: all of Rprop and its peers.

    python tests/benchmarks/targets.py                  # both passes and the figures
    python tests/benchmarks/targets.py --epochs-only    # no timing

The tasks and their targets are those of ``tasks.py``. The turned valleys have rows of
their own; the summary, the profile and the choice of a fixed rate leave them out. Every
method runs the same loop from the same seeds: it ends at the first parameters whose loss
is at or below the target, or after 2,000 gradients. An epoch is one evaluation at
parameters of the run, the first and the last included. Every step of the line search of
L-BFGS is a gradient evaluation as well; its last one is that of the next epoch, and
counted once. A run that fails counts as infinitely long.

Adam, SGD and Lion run at several rates. ``best`` is the best of them on each task, by the
median of its evaluations, as though somebody had tuned it there. ``fixed`` is the rate of
Adam that solves most runs over all tasks: a choice that has seen the results as well.
Nothing else is tuned here. But the settings of ``in_eigenbasis`` were chosen on these
tasks once, and are its defaults since: see ``axes.py``.

The first pass runs all seeds at once under ``vmap`` (those of L-BFGS and
``in_eigenbasis`` in a loop, compiled as well), the second one by one for the time,
compiled before, all methods in turn. What fails in the first is not run in the second.
Needs scikit-learn, statsmodels and matplotlib.
"""

import time

import numpy as np
from figures import look, plt, save
from measure import arguments, show, show_machine, write
from targets_runs import MAX_EVALUATIONS, clock, count
from targets_tables import (
    COMPARED,
    factors,
    medians_of,
    quantiles,
    rows_of,
    runs_of,
    summary_of,
    telling,
    with_choices,
)
from tasks import TASKS, VALLEYS

ALL = TASKS | VALLEYS


def style(method, **changes):
    """The look of the family; Adam at one rate is thinner."""
    family, _, choice = method.partition(" ")
    style = look(family, marker=True) | {"label": method}
    if choice == "fixed":
        style |= {"linestyle": ":", "fillstyle": "none"}
    return style | changes


# rprop- and rprop+ are in the tables; their lines lie among those of the other two.
DRAWN = [method for method in COMPARED if method not in ("rprop-", "rprop+")]


def draw_profile(results, quantities):
    """The share of runs that a method solves within a factor of the best one."""
    figure, axes = plt.subplots(
        1, len(quantities), figsize=(5 * len(quantities) + 1, 4.8), sharey=True
    )
    for ax, (quantity, unit) in zip(np.atleast_1d(axes), quantities.items(), strict=True):
        times_of = factors(telling(results), quantity)
        for i, method in enumerate(DRAWN):
            # Failures lie far outside of the picture, so that a curve reaches its edge.
            times = np.sort(np.nan_to_num(times_of[method], posinf=1e9))
            share = np.arange(1, len(times) + 1) / len(times)
            every = (5 + 3 * i, 30)  # markers that don't lie on each other
            look = style(method, markevery=every, markersize=5, linewidth=1.5)
            ax.plot(times, share, drawstyle="steps-post", **look)
        ax.set(xscale="log", xlim=(1, 64), ylim=(0, 1.02))
        ax.set_xticks([1, 2, 4, 8, 16, 32, 64], [1, 2, 4, 8, 16, 32, 64])
        ax.minorticks_off()
        ax.set_xlabel(f"{unit}, over those of the best method")
        ax.grid(alpha=0.3)
    np.atleast_1d(axes)[0].set_ylabel("share of runs at the target")
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="center left", bbox_to_anchor=(0.92, 0.5))
    save(figure, "targets_profile")


SHOWN = (
    "rprop",
    "in_eigenbasis",
    "optax.rprop",
    "optax.lbfgs",
    "optax.adam best",
    "optax.adam fixed",
    "optax.sgd best",
)


def draw_tasks(results):
    """Medians and quartiles of the evaluations, a line for every method."""
    figure, ax = plt.subplots(figsize=(8, 0.68 * len(results) + 1.2))
    edge = MAX_EVALUATIONS * 1.5  # where failures are drawn
    for i, found in enumerate(results.values()):
        if i % 2:
            ax.axhspan(i - 0.5, i + 0.5, color="0.95", zorder=0)
        for k, method in enumerate(SHOWN):
            low, middle, high = quantiles(found[method]["evaluations"])
            y = i + 0.8 * ((k + 0.5) / len(SHOWN) - 0.5)
            look = style(method, linestyle="none", markersize=6)
            if i:
                look["label"] = None
            ax.plot(min(middle, edge), y, **look)
            ax.plot(np.minimum([low, high], edge), [y, y], color=look["color"], lw=1.2)
    ax.axvline(MAX_EVALUATIONS, color="0.5", lw=1, ls="--")
    ax.set_yticks(range(len(results)), results)
    ax.tick_params(axis="y", length=0)
    ax.set(xscale="log", ylim=(len(results) - 0.5, -0.5))
    ax.set_xlabel(
        "gradient evaluations to the target: median and quartiles of the seeds\n"
        f"(right of the dashed line: not within {MAX_EVALUATIONS})"
    )
    ax.legend(loc="lower center", ncols=3, bbox_to_anchor=(0.5, 1.0))
    save(figure, "targets_tasks")


def draw(results):
    timed = "ms" in next(iter(results.values()))["rprop"]
    draw_profile(
        results,
        {"evaluations": "gradient evaluations"} | ({"ms": "wall time"} if timed else {}),
    )
    draw_tasks(results)


if __name__ == "__main__":
    parser = arguments("targets", __doc__, rounds=3)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs-only", action="store_true", help="no timing")
    parser.add_argument("--tasks", nargs="+", choices=ALL, default=list(ALL))
    options = parser.parse_args()
    show_machine()
    results = {}
    for name in options.tasks:
        results[name] = count(ALL[name], options.seeds)
        print(f"counted {name} after {time.process_time():.0f} s of CPU", flush=True)
    if not options.epochs_only:
        for name, found in results.items():
            clock(ALL[name], found, options.rounds)
            print(f"timed {name} after {time.process_time():.0f} s of CPU", flush=True)
    tables = {"runs": list(runs_of(results))}
    results = with_choices(results)
    tables["methods"] = list(rows_of(results))
    show(f"Every task and method, {options.seeds} seeds", tables["methods"])
    for quantity in ("evaluations",) if options.epochs_only else ("evaluations", "ms"):
        for title, table in (("medians", medians_of), ("summary", summary_of)):
            tables[f"{title}, {quantity}"] = rows = list(table(results, quantity))
            show(f"{quantity}: {title}", rows)
    write(options, tables)
    draw(results)
