"""Rprop and the axes: valleys along and across them, and what ``in_eigenbasis`` costs.

    python tests/benchmarks/axes.py
    python tests/benchmarks/axes.py --only valleys --out valleys.json

Three parts, and ``--only`` one of them:

- ``valleys``: steps on quadratics, along the axes and turned, in float64, from 20 starts
  (normal, of size 1) to the target of ``tasks.py``, a loss of 1e-6. Medians; a run that
  has not ended after 20,000 gradients counts as infinitely long. Adam has the best of its
  five rates in each row.
- ``settings``: what the arguments of ``in_eigenbasis`` do on the tasks of ``tasks.py``,
  from other seeds than those of ``targets.py``. A task has the median of its gradient
  evaluations over the seeds, relative to that of ``rprop``; a figure is the geometric
  mean of these over the tasks. A run that does not end counts as 2,000 evaluations, which
  is too short: mind the share of solved runs. The pair of ``refresh_every`` and ``decay``
  is chosen on one half of the seeds and measured on the other. Only what the public
  interface offers is varied. The valleys have rows of their own and are in no mean.
- ``time``: milliseconds a step, the gradient included, for two square layers and 1,000
  rows of data, in a loop of ten steps, after forty that don't count. Ten steps have one
  refresh of the bases. Their largest size is the width of the layers here.

Needs scikit-learn, statsmodels and matplotlib.
"""

import functools
import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from measure import arguments, interleaved, show, show_machine, write
from targets_runs import FAMILIES, RATES, SEARCHES, solve
from targets_tables import finite, quantiles
from tasks import TASKS, VALLEYS, Task, network, outputs, turned, valley

from optax_rprop import VARIANTS, in_eigenbasis, rprop, rprop_8bit

ALL = TASKS | VALLEYS

STARTS, MOST = 20, 20_000


def quadratics():
    """Made where float64 is enabled, so that they are in float64."""
    axes, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 20)))
    curvatures = np.geomspace(1, 1e4, 20)
    return {
        "1:1,000 along the axes": valley(np.array([1, 1e3]), turned(0)),
        "1:1,000 turned by 30 degrees": valley(np.array([1, 1e3]), turned(30)),
        "1:10,000 along the axes": valley(np.array([1, 1e4]), turned(0)),
        "1:10,000 turned by 15 degrees": valley(np.array([1, 1e4]), turned(15)),
        "1:1,000,000 turned by 30 degrees": valley(np.array([1, 1e6]), turned(30)),
        "20 parameters, 1:10,000, along the axes": valley(curvatures, np.eye(20)),
        "20 parameters, 1:10,000, random axes": valley(curvatures, axes),
    }


def steps(task, tx, searches=False):
    """Steps and gradient evaluations of every start; infinite where a run failed."""

    @jax.jit
    def runs(seeds, data):
        run = functools.partial(solve, task, tx, most=MOST, searches=searches)
        return jax.lax.map(lambda seed: run(seed, data), seeds)

    epochs, evaluations, value = map(np.asarray, runs(jnp.arange(STARTS), task.data))
    reached = value <= task.target
    return (np.where(reached, x, np.inf) for x in (epochs - 1, evaluations))


def valleys(_):
    rows = []
    with jax.enable_x64(True):
        for name, task in quadratics().items():
            row, solved = {"valley": name}, {}
            for method in ("rprop", "in_eigenbasis", SEARCHES):
                taken, evaluations = steps(task, FAMILIES[method](), method == SEARCHES)
                row[method] = finite(quantiles(taken)[1])
                solved[f"{method} solved"] = int(np.isfinite(taken).sum())
                if method == SEARCHES:
                    row["its gradients"] = finite(quantiles(evaluations)[1])
            by_rate = {r: next(steps(task, optax.adam(r))) for r in RATES["optax.adam"]}
            best = min(by_rate, key=lambda rate: quantiles(by_rate[rate])[1])
            row |= {"optax.adam": finite(quantiles(by_rate[best])[1]), "its rate": best}
            solved["optax.adam solved"] = int(np.isfinite(by_rate[best]).sum())
            rows.append(row | solved)
    yield f"steps to a loss of 1e-6, medians of {STARTS} starts", rows


FIRST_SEED = 100
REFRESHES, DECAYS, DEFAULT = (3, 5, 10, 20), (0.8, 0.9, 0.95), (10, 0.9)
GRID = [(refresh, decay) for refresh in REFRESHES for decay in DECAYS]
SIZES = 16, 256  # no axis of a task is longer than 64
PLAIN = 'rprop(variant="irprop-")'
INNER = {f'rprop(variant="{v}")': rprop(variant=v) for v in VARIANTS}
INNER |= {"rprop_8bit()": rprop_8bit(), "optax.adam(0.1)": optax.adam(0.1)}


def evaluations(task, make, seeds, settings=((),)):
    """An array of settings x seeds, and whether each run reached the target."""

    def run(setting, seed, data):
        return solve(task, make(*setting), seed, data)

    # One after the other: see ``one_by_one`` in targets_runs.py.
    @jax.jit
    def runs(settings, seeds, data):
        return jax.lax.map(lambda x: run(x[0], x[1], data), (settings, seeds))

    pairs = list(itertools.product(settings, FIRST_SEED + np.arange(seeds)))
    columns = tuple(map(jnp.asarray, zip(*(s for s, _ in pairs), strict=True)))
    seeds_of = jnp.asarray([seed for _, seed in pairs])
    _, taken, value = map(np.asarray, runs(columns, seeds_of, task.data))
    shape = len(settings), seeds
    return taken.reshape(shape), (value <= task.target).reshape(shape)


def measured(task, seeds):
    """Evaluations and successes of all variants on one task, by name."""
    found = {}

    def add(name, make):
        taken, solved = evaluations(task, make, seeds)
        found[name] = taken[0], solved[0]

    def make(refresh, decay):
        return in_eigenbasis(rprop(), refresh_every=refresh, decay=decay)

    pairs = zip(*evaluations(task, make, seeds, GRID), strict=True)
    found |= zip(GRID, pairs, strict=True)
    found[f"in_eigenbasis({PLAIN})"] = found[DEFAULT]
    for name, inner in INNER.items():
        add(name, lambda inner=inner: inner)
        if name != PLAIN:
            add(f"in_eigenbasis({name})", lambda inner=inner: in_eigenbasis(inner))
    found["max_size=256"] = found[DEFAULT]
    add("max_size=16", lambda: in_eigenbasis(rprop(), max_size=16))
    return found


def relative(found, name, over=PLAIN, part=slice(None)):
    """The medians of the evaluations over those of another variant, task by task."""
    return np.array(
        [
            np.median(of[name][0][part]) / np.median(of[over][0][part])
            for task, of in found.items()
            if task in TASKS
        ]
    )


def mean(ratios):
    """The geometric mean over the tasks."""
    return float(np.exp(np.mean(np.log(ratios))))


def solved(found, name):
    return float(np.mean([of[name][1] for task, of in found.items() if task in TASKS]))


def scores(found, name):
    return {"x rprop": mean(relative(found, name)), "solved": solved(found, name)}


def tables_of_settings(found, seeds):
    halves = slice(seeds // 2), slice(seeds // 2, None)
    rows = []
    for setting in GRID:
        first, second = (mean(relative(found, setting, part=part)) for part in halves)
        row = {"refresh_every": setting[0], "decay": setting[1]}
        row |= scores(found, setting)
        rows.append(row | {"first half": first, "second half": second})
    yield "refresh_every and decay: evaluations over those of rprop", rows

    chosen = []
    for name, on, then in (
        ("first half of the seeds", *halves),
        ("second half of the seeds", *reversed(halves)),
    ):
        best = min(GRID, key=lambda s, on=on: mean(relative(found, s, part=on)))
        row = {"chosen on": name, "refresh_every": best[0], "decay": best[1]}
        row["x rprop, on the other half"] = mean(relative(found, best, part=then))
        default = mean(relative(found, DEFAULT, part=then))
        chosen.append(row | {"the defaults there": default})
    yield "chosen on a part and measured on the rest", chosen

    rows = [{"max_size": size} | scores(found, f"max_size={size}") for size in SIZES]
    yield "max_size: evaluations over those of rprop", rows

    rows = []
    for inner in INNER:
        name = f"in_eigenbasis({inner})"
        row = {"inner": inner} | scores(found, name)
        row["x inner alone"] = mean(relative(found, name, over=inner))
        rows.append(row | {"solved by inner alone": solved(found, inner)})
    yield "what is inside: evaluations over those of rprop, and of itself alone", rows

    rows = []
    for task, of in found.items():
        row = {"task": task}
        for name, key in (("rprop", PLAIN), ("in_eigenbasis", DEFAULT)):
            taken, reached = of[key]
            row[name], row[f"{name} solved"] = np.median(taken), reached.mean()
        rows.append(row | {"x rprop": row["in_eigenbasis"] / row["rprop"]})
    yield "every task, with the defaults", rows

    yield (
        "runs",
        [
            {
                "task": task,
                "variant": name if isinstance(name, str) else f"{name[0]}, {name[1]}",
                "evaluations": " ".join(
                    f"{x}" if ok else "-" for x, ok in zip(taken, reached, strict=True)
                ),
            }
            for task, of in found.items()
            for name, (taken, reached) in of.items()
        ],
    )


def settings(options):
    found = {}
    for name in options.tasks:
        found[name] = measured(ALL[name], options.seeds)
        print(f"measured {name} after {time.process_time():.0f} s of CPU", flush=True)
    yield from tables_of_settings(found, options.seeds)


WIDTHS, ROWS, STEPS, WARM_UP = (64, 128, 256, 512), 1000, 10, 40


def layers(width):
    x, y = jax.random.normal(jax.random.key(0), (2, ROWS, width))

    def loss(params, x, y):
        return jnp.mean((outputs(params, x) - y) ** 2)

    return Task("network", 0.0, network(width, width, width), loss, (x, y))


def case_of(task, tx, searches):
    """``STEPS`` steps, their evaluations, and the bytes of state a parameter."""
    start = task.init(jax.random.key(0))
    tx = optax.with_extra_args_support(tx)

    def loop(params, state, data, steps):
        def loss(params):
            return task.loss(params, *data)

        after_search = optax.value_and_grad_from_state(loss)

        def step(_, carry):
            params, state, count = carry
            if searches:
                value, grad = after_search(params, state=state)
            else:
                value, grad = jax.value_and_grad(loss)(params)
            updates, state = tx.update(
                grad, state, params, value=value, grad=grad, value_fn=loss
            )
            searched = optax.tree.get(state, "num_linesearch_steps") if searches else 1
            return optax.apply_updates(params, updates), state, count + searched

        return jax.lax.fori_loop(0, steps, step, (params, state, jnp.int32(0)))

    loop = jax.jit(loop, static_argnums=3)
    params, state, _ = loop(start, tx.init(start), task.data, WARM_UP)
    count = loop(params, state, task.data, STEPS)[2].item() / STEPS
    sizes = [sum(x.nbytes for x in jax.tree.leaves(tree)) for tree in (state, start)]
    size = sizes[0] / (sizes[1] / 4)
    return functools.partial(loop, params, state, task.data, STEPS), count, size


def times(options):
    for width in WIDTHS:
        task = layers(width)
        methods = {
            "gradient alone": (optax.sgd(1e-3), False),
            "rprop": (rprop(), False),
            "in_eigenbasis": (in_eigenbasis(rprop(), max_size=width), False),
            SEARCHES: (optax.lbfgs(), True),
        }
        described = {name: case_of(task, *method) for name, method in methods.items()}
        timings = interleaved({n: c for n, (c, *_) in described.items()}, options.rounds)
        yield (
            f"two layers of {width} x {width}, {ROWS:,} rows: one step",
            [
                {
                    "method": name,
                    **timings[name].row(per=STEPS),
                    "x rprop": timings[name].median / timings["rprop"].median,
                    "gradients": count,
                    "state B": size,
                }
                for name, (_, count, size) in described.items()
            ],
        )


PARTS = {"valleys": valleys, "settings": settings, "time": times}

if __name__ == "__main__":
    parser = arguments("axes", __doc__, rounds=15)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--tasks", nargs="+", choices=ALL, default=list(ALL))
    parser.add_argument("--only", choices=PARTS, help="one of the parts")
    options = parser.parse_args()
    show_machine()
    tables = {}
    for part in [options.only] if options.only else PARTS:
        for title, rows in PARTS[part](options):
            tables[title] = rows
            if title != "runs":
                show(title, rows)
    write(options, tables)
