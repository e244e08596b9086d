"""The tables of ``targets.py``: medians, chosen rates, and factors over the best."""

import numpy as np
from targets_runs import METHODS, RATES
from tasks import TASKS, VALLEYS


def median(found, quantity="evaluations"):
    return quantiles(found[quantity])[1]


def quantiles(figures):
    """The quartiles; infinite where they would lie between runs that failed."""
    known = np.where(np.isfinite(figures), figures, 1e300)
    found = np.quantile(known, (0.25, 0.5, 0.75))
    return np.where(found < 1e100, found, np.inf)


def with_choices(results):
    """The results of every task, with the chosen rates as methods of their own."""

    def solved(method):
        found = telling(results).values()
        return sum(np.isfinite(r[method]["evaluations"]).sum() for r in found)

    def rates(family):
        return [f"{family} {rate:g}" for rate in RATES[family]]

    fixed = max(rates("optax.adam"), key=solved)
    chosen = {}
    for task, found in results.items():
        best = {
            f"{family} best": min(rates(family), key=lambda m: median(found[m]))
            for family in RATES
        }
        best["optax.adam fixed"] = fixed
        chosen[task] = {name: found[m] | {"rate of": m} for name, m in best.items()}
    return {task: found | chosen[task] for task, found in results.items()}


COMPARED = (
    *(method for method, (_, rate) in METHODS.items() if rate is None),
    "optax.adam best",
    "optax.adam fixed",
    "optax.lion best",
    "optax.sgd best",
)


def finite(x):
    """None, a dash in the tables, for what failed."""
    return float(x) if np.isfinite(x) else None


def rows_of(results):
    """A row for every task and method."""
    for task, found in results.items():
        for method, figures in found.items():
            solved = int(np.isfinite(figures["evaluations"]).sum())
            row = {"task": task, "method": method, "rate of": figures.get("rate of")}
            row |= {"solved": solved, "target": (TASKS | VALLEYS)[task].target}
            for quantity in ("epochs", "evaluations", "ms"):
                if quantity in figures:
                    lower, middle, upper = map(finite, quantiles(figures[quantity]))
                    row |= {quantity: middle}
                    row |= {f"{quantity} q1": lower, f"{quantity} q3": upper}
            yield row


def runs_of(results):
    """Every run, in the order of the seeds."""
    for task, found in results.items():
        for method in METHODS:
            text = {
                key: " ".join(f"{x:.4g}" for x in figures)
                for key, figures in found[method].items()
            }
            yield {"task": task, "method": method, **text}


def medians_of(results, quantity):
    """A row for every task, a column for every method compared."""
    for task, found in results.items():
        row = {method: finite(median(found[method], quantity)) for method in COMPARED}
        yield {"task": task} | row


def telling(results):
    """Without the valleys, unless there is nothing else."""
    return {task: r for task, r in results.items() if task in TASKS} or results


def factors(results, quantity):
    """What every run of a method took, over the best of those compared on that seed."""
    taken = {
        method: np.concatenate([found[method][quantity] for found in results.values()])
        for method in COMPARED
    }
    best = np.min(list(taken.values()), axis=0)
    return {
        # Where nobody gets there, all have failed.
        method: np.divide(x, best, where=np.isfinite(x), out=np.full(len(x), np.inf))
        for method, x in taken.items()
    }


def summary_of(results, quantity):
    """How often a method is within a factor of the best, and against rprop."""
    results = telling(results)
    for method, times in factors(results, quantity).items():
        ours = [median(found["rprop"], quantity) for found in results.values()]
        theirs = [median(found[method], quantity) for found in results.values()]
        both = [(x, y) for x, y in zip(ours, theirs, strict=True) if np.isfinite(x)]
        yield {
            "method": method,
            "solved": float(np.isfinite(times).mean()),
            "within 1.1": float((times <= 1.1).mean()),
            "within 2": float((times <= 2).mean()),
            "within 4": float((times <= 4).mean()),
            "x rprop, median task": finite(np.median([y / x for x, y in both])),
            "tasks below rprop": int(np.less(theirs, ours).sum()),
        }
