"""The tables and the figure of ``cutest.py``: who solved what, and when."""

import numpy as np
from cutest_runs import MAX_EVALUATIONS
from figures import look, plt, save
from targets_tables import finite, quantiles

ACCURACIES = 1e-3, 1e-5, 1e-8
REFERENCE = "SciPy L-BFGS-B"
STOPPING = "fit", "fit, in_eigenbasis()", "fit, in_units(in_eigenbasis())"
PARTS = {
    "not used for choosing": slice(1, None, 2),
    "used for choosing": slice(0, None, 2),
    "all": slice(None),
}


def evaluations(runs, accuracy):
    """When each method got there, on one problem; infinite where it never did."""
    start = runs[REFERENCE][1][0]
    best = min(losses[-1] for _, losses in runs.values())
    target = best + accuracy * (start - best)

    def first(counts, losses):
        reached = np.asarray(losses) <= target
        return float(counts[np.argmax(reached)]) if reached.any() else np.inf

    return {method: first(*run) for method, run in with_stops(runs).items()}


# A fit ends after so many steps without a new best loss, if nothing else is asked of it.
PATIENCE = 100


def as_it_stops(counts, losses):
    """The same run, as far as a fit goes by itself."""
    waits = np.flatnonzero(np.diff(counts) > PATIENCE)
    end = waits[0] + 1 if len(waits) else len(counts)
    return counts[:end], losses[:end]


def with_stops(runs):
    """The runs, and some of them as they stop by themselves."""
    return runs | {f"{name}, stopping": as_it_stops(*runs[name]) for name in STOPPING}


def by_method(problems, accuracy):
    """The evaluations of every method that ran on all of them, problem by problem."""
    rows = [evaluations(problem["runs"], accuracy) for problem in problems]
    everywhere = [name for name in rows[0] if all(name in row for row in rows)]
    return {method: np.array([row[method] for row in rows]) for method in everywhere}


def part_of(problems, part):
    return [problems[name] for name in sorted(problems)[PARTS[part]]]


def solved(problems):
    """A row for every method: what share it solves, how fast, and against SciPy's."""
    rows = {}
    for accuracy in ACCURACIES:
        taken = by_method(problems, accuracy)
        for method, here in taken.items():
            row = rows.setdefault(method, {"method": method})
            there = taken[REFERENCE]
            both = np.isfinite(here) & np.isfinite(there)
            row[f"{accuracy:g}"] = float(np.isfinite(here).mean())
            row[f"{accuracy:g} median"] = finite(quantiles(here)[1])
            row[f"{accuracy:g} x"] = float(np.exp(np.mean(np.log((here / there)[both]))))
    return list(rows.values())


def tables_of(results):
    for kind, problems in results.items():
        for part in PARTS:
            members = part_of(problems, part)
            yield f"{kind}, {part}: {len(members)} problems", solved(members)
        yield f"{kind}, all, by the number of parameters", list(by_size(problems))


def by_size(problems):
    """The rows of two methods, for small and for larger problems."""
    for low, high in ((1, 2), (3, 5), (6, 20), (21, 100)):
        members = [p for p in problems.values() if low <= p["parameters"] <= high]
        group = {"parameters": f"{low} to {high}", "problems": len(members)}
        for row in solved(members) if members else ():
            if row["method"] in (STOPPING[-1], REFERENCE):
                yield group | row


def rows_of(results):
    """A row for every problem: evaluations to each accuracy, or a dash, by method."""
    for kind, problems in results.items():
        for i, (name, problem) in enumerate(sorted(problems.items())):
            taken = [evaluations(problem["runs"], accuracy) for accuracy in ACCURACIES]
            row = {"problem": name, "kind": kind, "parameters": problem["parameters"]}
            row["used for choosing"] = i % 2 == 0
            row["best loss"] = min(losses[-1] for _, losses in problem["runs"].values())
            for method in problem["runs"]:
                row[method] = " ".join(_count(at[method]) for at in taken)
            yield row


def _count(evaluations):
    return "-" if evaluations == np.inf else f"{evaluations:.0f}"


DRAWN = {
    "fit, in_units(in_eigenbasis())": look("in_eigenbasis"),
    "fit, in_eigenbasis()": look("in_eigenbasis") | {"linestyle": ":"},
    "fit": look("rprop"),
    "optax.rprop": look("optax.rprop"),
    "optax.adam 0.1": look("optax.adam"),
    "optax.lbfgs": look("optax.lbfgs"),
    "optimistix.BFGS": look("optimistix.BFGS"),
    REFERENCE: look(REFERENCE),
}


def draw(results):
    """The share solved after so many evaluations, on what no choice has seen."""
    part = "not used for choosing"
    figure, axes = plt.subplots(
        len(results), len(ACCURACIES), figsize=(11, 3.9 * len(results)), sharey=True
    )
    for row, (kind, problems) in zip(np.atleast_2d(axes), results.items(), strict=True):
        row[0].set_ylabel(f"share of {kind} problems")
        for ax, accuracy in zip(row, ACCURACIES, strict=True):
            taken = by_method(part_of(problems, part), accuracy)
            for method, style in DRAWN.items():
                if method in taken:
                    times = np.sort(np.nan_to_num(taken[method], posinf=1e9))
                    share = np.arange(1, len(times) + 1) / len(times)
                    label = {"label": method}
                    ax.plot(times, share, drawstyle="steps-post", **style | label)
            ax.set(xscale="log", xlim=(1, MAX_EVALUATIONS), ylim=(0, 1.02))
            ax.set_title(f"accuracy {accuracy:.0e}".replace("e-0", "e-"), fontsize=11)
            ax.set_xlabel("gradient evaluations")
            ax.grid(alpha=0.3)
    handles, labels = np.atleast_2d(axes)[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, bbox_to_anchor=(0.5, 1))
    figure.tight_layout()
    save(figure, "cutest")
