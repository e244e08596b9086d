"""Which settings: epochs to the target over eta_minus x eta_plus.

    python tests/benchmarks/settings.py

The tasks and targets of ``tasks.py`` with ``fit``, all seeds of a setting at once under
``vmap``. For a task, a setting has the median of its epochs over the seeds, relative to
that of the published setting (0.5, 1.2, initial step size 0.1); a table has the geometric
mean of these over the tasks. A run that does not end within ``MAX_STEPS`` counts as so
long, which is too short: mind the share of solved runs. A task on which every setting
counts as so long tells them not apart, and is left out of the means. The last table tells
how far the best setting of all is from chance: it is chosen on one half of the seeds, or
on all tasks but one, and measured on the others. Needs scikit-learn, statsmodels and
matplotlib.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from figures import LOOKS, plt, save
from measure import arguments, show, show_machine, write
from tasks import TASKS

from optax_rprop import FitStatus, fit, rprop

MAX_STEPS = 1000
ETA_MINUS = 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9
ETA_PLUS = 1.05, 1.1, 1.2, 1.3, 1.5, 2.0
PUBLISHED = 0.1, 0.5, 1.2  # first step, eta_minus, eta_plus
FACTORS = [(0.1, minus, plus) for minus in ETA_MINUS for plus in ETA_PLUS]


def epochs(task, seeds):
    """An array of settings x seeds, and whether each run reached the target."""

    def run(setting, seed, data):
        result = fit(
            task.loss,
            task.init(jax.random.key(seed)),
            *data,
            optimizer=rprop(*setting),
            target_loss=task.target,
            max_steps=MAX_STEPS,
            patience=np.inf,
            history=False,
        )
        return result.num_steps, result.status

    # Settings one after the other: under vmap, all would run as long as the longest.
    @jax.jit
    def over_settings(settings, seeds, data):
        over_seeds = jax.vmap(run, in_axes=(None, 0, None))
        return jax.lax.map(lambda setting: over_seeds(setting, seeds, data), settings)

    settings = tuple(map(jnp.asarray, zip(*FACTORS, strict=True)))
    steps, status = over_settings(settings, jnp.arange(seeds), task.data)
    return np.asarray(steps), np.asarray(status) == FitStatus.TARGET_REACHED


def relative(steps):
    """The median over the seeds, over that of the published setting: one a setting."""
    middle = np.median(steps, axis=1)
    return middle / middle[FACTORS.index(PUBLISHED)]


def mean(ratios):
    """The geometric mean over the tasks."""
    return np.exp(np.mean(np.log(ratios), axis=0))


def found_by_chance(found):
    """The best factors, chosen on a part and measured on the rest."""
    table = np.array([relative(steps) for steps in found.values()])
    half = next(iter(found.values())).shape[1] // 2
    first, second = (
        mean([relative(steps[:, part]) for steps in found.values()])
        for part in (slice(half), slice(half, None))
    )
    yield "all seeds, all tasks", mean(table).argmin(), mean(table).min()
    for name, chosen, measured in (
        ("first half of the seeds", first, second),
        ("second half of the seeds", second, first),
    ):
        yield name, chosen.argmin(), measured[chosen.argmin()]
    left_out = [mean(np.delete(table, i, axis=0)).argmin() for i in range(len(table))]
    ratio = mean([table[i, best] for i, best in enumerate(left_out)])
    yield "all tasks but one", np.bincount(left_out).argmax(), ratio


def telling(found):
    """The tasks on which not every setting takes as long as a run may."""
    return {
        name: steps
        for name, steps in found.items()
        if np.median(steps, axis=1).min() < MAX_STEPS
    }


def tables_of(found, solved):
    found = telling(found)
    solved = {name: solved[name] for name in found}
    ratios = np.array([relative(steps) for steps in found.values()])
    overall, share = mean(ratios), np.mean(list(solved.values()), axis=(0, 2))
    columns = dict(zip(FACTORS, zip(overall, share, strict=True), strict=True))

    def grid(which):
        for minus in ETA_MINUS:
            cells = {f"{p:g}": columns[0.1, minus, p][which] for p in ETA_PLUS}
            yield {"eta_minus \\ eta_plus": f"{minus:g}"} | cells

    yield "epochs over those of the published factors", list(grid(0))
    yield "share of runs solved", list(grid(1))
    rows = []
    for name, ratio in zip(found, ratios, strict=True):
        at = {key: float(x) for key, x in zip(FACTORS, ratio, strict=True)}
        best = FACTORS[int(ratio.argmin())]
        published = FACTORS.index(PUBLISHED)
        row = {"task": name, "epochs": float(np.median(found[name][published]))}
        row |= {"solved": float(solved[name][published].mean())}
        row |= {f"eta_minus {m:g}": at[0.1, m, 1.2] for m in (0.6, 0.7, 0.8)}
        row |= {"best factors": f"{best[1]:g}, {best[2]:g}", "x best": at[best]}
        rows.append(row)
    yield "every task, relative to the published setting", rows
    yield (
        "best factors, chosen on a part and measured on the rest",
        [
            {
                "chosen on": name,
                "eta_minus": FACTORS[best][1],
                "eta_plus": FACTORS[best][2],
                "x published": float(ratio),
            }
            for name, best, ratio in found_by_chance(found)
        ],
    )


def draw_factors(found):
    overall = mean([relative(steps) for steps in found.values()])
    grid = overall.reshape(len(ETA_MINUS), len(ETA_PLUS))
    figure, ax = plt.subplots(figsize=(6.5, 5))
    image = ax.imshow(np.log2(grid), cmap="cividis_r", vmin=-0.5, vmax=1.5, aspect="auto")
    for i, k in itertools.product(*map(range, grid.shape)):
        color = "white" if grid[i, k] > 1.5 else "black"
        ax.text(k, i, f"{grid[i, k]:.2f}", ha="center", va="center", color=color)
    at = ETA_PLUS.index(1.2) - 0.5, ETA_MINUS.index(0.5) - 0.5
    frame = plt.Rectangle(at, 1, 1, fill=False, ec=LOOKS["optax.adam"].color, lw=3)
    ax.add_patch(frame)
    ax.set_xticks(range(len(ETA_PLUS)), ETA_PLUS)
    ax.set_yticks(range(len(ETA_MINUS)), ETA_MINUS)
    ax.set(xlabel="eta_plus (factor)", ylabel="eta_minus (factor)")
    ax.set_title("framed: the published factors", fontsize=11)
    bar = figure.colorbar(image, label="epochs over those of the published factors")
    bar.set_ticks([-0.5, 0, 0.5, 1, 1.5], labels=["0.71", "1", "1.41", "2", "2.83"])
    save(figure, "settings_factors")


if __name__ == "__main__":
    parser = arguments("settings", __doc__, rounds=1)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    options = parser.parse_args()
    show_machine()
    found, solved = {}, {}
    for name in options.tasks:
        found[name], solved[name] = epochs(TASKS[name], options.seeds)
        print(f"measured {name}", flush=True)
    tables = dict(tables_of(found, solved))
    for title, rows in tables.items():
        show(title, rows)
    medians = [
        {"task": name, "medians": " ".join(f"{x:g}" for x in np.median(steps, axis=1))}
        for name, steps in found.items()
    ]
    write(options, tables | {"medians of all settings": medians})
    draw_factors(telling(found))
