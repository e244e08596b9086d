"""What a fit loses when it stops by itself, after 100 steps without a new best loss.

    python tests/benchmarks/stopping.py

The tasks of ``tasks.py``, four optimizers and several seeds: the default of ``fit``, and
other numbers of steps, beside a fit that goes on to ``MAX_STEPS``. All are read from one
history: a fit that stops takes the same steps. Lost is what the longer fit lowered the
loss by afterwards, as a share of all that it lowered it by. A target is missed if only
the longer fit met it. Needs scikit-learn and statsmodels.
"""

import jax
import numpy as np
from measure import arguments, show, show_machine, write
from tasks import TASKS

from optax_rprop import fit, in_eigenbasis, rprop

MAX_STEPS = 3000
PATIENCE = 30, 50, 100, 200
METHODS = {
    "rprop": rprop(),
    "irprop+": rprop(variant="irprop+"),
    "rprop-": rprop(variant="rprop-"),
    "in_eigenbasis": in_eigenbasis(rprop()),
    "rprop(3)": rprop(3.0),
    "in_eigenbasis, 3": in_eigenbasis(rprop(3.0)),
}


def best_losses(task, optimizer, seed):
    """The best loss after each step of a fit that does not stop by itself."""
    start = task.init(jax.random.key(seed))
    settings = {"max_steps": MAX_STEPS, "patience": np.inf}
    result = fit(task.loss, start, *task.data, optimizer=optimizer, **settings)
    losses = np.asarray(result.history.loss, float)[: result.num_steps]
    return np.fmin.accumulate(np.where(np.isfinite(losses), losses, np.inf))


def stopping_step(best, patience):
    """How many steps a fit takes with this patience; None if it takes all."""
    still = best[patience:] >= best[:-patience]
    return int(np.argmax(still)) + patience if still.any() else None


def table(runs):
    for method in METHODS:
        for patience in PATIENCE:
            steps, lost, missed, stopped = [], [], 0, 0
            for (_, name, target), best in runs.items():
                if name != method:
                    continue
                end = stopping_step(best, patience)
                stopped += end is not None
                steps.append(len(best) if end is None else end)
                there = best[-1] if end is None else best[end - 1]
                lost.append((there - best[-1]) / (best[0] - best[-1]))
                missed += there > target >= best[-1]
            yield {
                "method": method,
                "patience": patience,
                "runs": len(steps),
                "stopped": stopped,
                "median steps": float(np.median(steps)),
                "most lost": f"{max(lost):.1e}",
                "targets missed": int(missed),
            }


if __name__ == "__main__":
    parser = arguments("stopping", __doc__, rounds=1)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    show_machine()
    runs = {}
    for task_name, task in TASKS.items():
        for method, optimizer in METHODS.items():
            for seed in range(100, 100 + options.seeds):
                key = f"{task_name} {seed}", method, task.target
                runs[key] = best_losses(task, optimizer, seed)
    rows = list(table(runs))
    show("a fit that stops by itself", rows)
    write(options, {"stopping": rows})
