"""How much the first step size matters: epochs to the target from 1e-4 to 10.

    python tests/benchmarks/first_steps.py

The tasks and targets of ``tasks.py`` with ``fit``, all seeds of a task at once under
``vmap``: ``rprop(step)`` and ``in_eigenbasis(rprop(step))``. A task has the median of its
epochs over the seeds, relative to those of ``rprop(0.1)``; the tables have the geometric
mean of these over the tasks, and the share of all runs that got to their target. A run
that does not end within ``MAX_STEPS`` counts as so long, which is too short: mind the
share of solved runs. Needs scikit-learn, statsmodels and matplotlib.
"""

import jax
import jax.numpy as jnp
import numpy as np
from figures import look, plt, save
from measure import arguments, show, show_machine, write
from tasks import TASKS

from optax_rprop import FitStatus, fit, in_eigenbasis, rprop

MAX_STEPS = 1000
STEPS = 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0
METHODS = {
    "rprop": rprop,
    "in_eigenbasis": lambda step: in_eigenbasis(rprop(step)),
}


def epochs(task, make, seeds):
    """An array of steps x seeds, and whether each run reached the target."""

    def run(step, seed, data):
        result = fit(
            task.loss,
            task.init(jax.random.key(seed)),
            *data,
            optimizer=make(step),
            target_loss=task.target,
            max_steps=MAX_STEPS,
            patience=np.inf,
            history=False,
        )
        return result.num_steps, result.status

    over_seeds = jax.jit(jax.vmap(run, in_axes=(None, 0, None)))
    found = [
        over_seeds(jnp.float32(step), jnp.arange(seeds), task.data) for step in STEPS
    ]
    steps, status = map(np.asarray, zip(*jax.device_get(found), strict=True))
    return steps, status == FitStatus.TARGET_REACHED


def mean(ratios):
    """The geometric mean over the tasks."""
    return np.exp(np.mean(np.log(ratios), axis=0))


def relative(found, method):
    """The median epochs of each task, over those of ``rprop(0.1)``: tasks x steps."""
    here = np.array([np.median(task[method][0], axis=1) for task in found.values()])
    plain = [np.median(task["rprop"][0], axis=1) for task in found.values()]
    return here / np.array(plain)[:, [STEPS.index(0.1)]]


def table(found):
    for method in METHODS:
        ratios = mean(relative(found, method))
        solved = np.mean([task[method][1] for task in found.values()], axis=(0, 2))
        for step, ratio, share in zip(STEPS, ratios, solved, strict=True):
            yield {
                "method": method,
                "first step": f"{step:g}",
                "x rprop(0.1)": float(ratio),
                "x its best": float(ratio / ratios.min()),
                "solved": float(share),
            }


def medians(found):
    for name, task in found.items():
        for method in METHODS:
            steps = np.median(task[method][0], axis=1)
            text = " ".join(f"{x:g}" for x in steps)
            yield {"task": name, "method": method, "medians": text}


def draw(found):
    figure, (top, bottom) = plt.subplots(
        2, figsize=(6.5, 6), sharex=True, height_ratios=(2, 1)
    )
    for method in METHODS:
        solved = np.mean([task[method][1] for task in found.values()], axis=(0, 2))
        style = look(method, marker=True)
        top.plot(STEPS, mean(relative(found, method)), **style)
        bottom.plot(STEPS, 100 * solved, **style)
    top.set(xscale="log", yscale="log", ylabel="epochs over those of rprop(0.1)")
    ticks = [0.5, 1, 2, 4, 8]
    top.set_yticks(ticks, ticks)
    top.minorticks_off()
    top.legend()
    bottom.set(xlabel="first step size (units of a parameter)", ylabel="runs solved (%)")
    bottom.set_ylim(0, 103)
    for ax in (top, bottom):
        ax.axvline(0.1, color="0.5", lw=1, ls="--")
        ax.grid(alpha=0.3)
    save(figure, "first_steps")


if __name__ == "__main__":
    parser = arguments("first_steps", __doc__, rounds=1)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    options = parser.parse_args()
    show_machine()
    found = {}
    for name in options.tasks:
        found[name] = {
            method: epochs(TASKS[name], make, options.seeds)
            for method, make in METHODS.items()
        }
        print(f"measured {name}", flush=True)
    tables = {"first steps": list(table(found))}
    show("first steps", tables["first steps"])
    write(options, tables | {"medians of all first steps": list(medians(found))})
    draw(found)
