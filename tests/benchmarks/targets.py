"""Epochs, gradient evaluations and time to a target loss: the four rules and their peers.

    python tests/benchmarks/targets.py                  # both passes and the figures
    python tests/benchmarks/targets.py --epochs-only    # no timing

The tasks and their targets are those of ``tasks.py``. Every method runs the same loop
from the same seeds: it ends at the first parameters whose loss is at or below the target,
or after ``MAX_EVALUATIONS`` gradients. An epoch is one evaluation at parameters of the
run, the first and the last included. Every step of the line search of L-BFGS is a
gradient evaluation as well; its last one is that of the next epoch, and counted once. A
run that fails counts as infinitely long.

Adam, SGD and Lion run at several rates. ``best`` is the best of them on each task, by the
median of its evaluations, as though somebody had tuned it there. ``fixed`` is the rate of
Adam that solves most runs over all tasks: a choice that has seen the results as well.
Nothing else is tuned.

The first pass runs all seeds at once under ``vmap`` (those of L-BFGS in a loop, compiled
as well), the second one by one for the time, compiled before, all methods in turn. What fails in the first is not run in the second.
Needs scikit-learn, statsmodels and matplotlib.
"""

import functools
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import optax
from figures import look, plt, save
from measure import arguments, in_turn, show, show_machine, write
from tasks import TASKS

import optax_rprop

MAX_EVALUATIONS = 2000
FAMILIES = {
    "rprop": lambda: optax_rprop.rprop(),
    "irprop+": lambda: optax_rprop.rprop(variant="irprop+"),
    "rprop-": lambda: optax_rprop.rprop(variant="rprop-"),
    "rprop+": lambda: optax_rprop.rprop(variant="rprop+"),
    "rprop_8bit": lambda: optax_rprop.rprop_8bit(),
    "optax.rprop": lambda: optax.rprop(0.1),
    "optax.lbfgs": lambda: optax.lbfgs(),
    "optax.adam": optax.adam,
    "optax.lion": optax.lion,
    "optax.sgd": functools.partial(optax.sgd, momentum=0.9),
}
SEARCHES = "optax.lbfgs"
# Lion's are a third of Adam's, as its documentation advises.
RATES = {
    "optax.adam": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    "optax.lion": (3e-4, 1e-3, 3e-3),
    "optax.sgd": (1e-2, 1e-1, 1.0),
}
METHODS = {
    f"{family} {rate:g}" if rate else family: (family, rate)
    for family in FAMILIES
    for rate in RATES.get(family, (None,))
}


def runner(task, family):
    """``run(seed, rate, data)``: epochs, gradient evaluations, the last loss."""

    def run(seed, rate, data):
        def loss(params):
            return task.loss(params, *data)

        make = FAMILIES[family]
        tx = make(rate) if family in RATES else make()
        tx = optax.with_extra_args_support(tx)
        evaluate = jax.value_and_grad(loss)
        after_search = optax.value_and_grad_from_state(loss)  # evaluates nothing again

        def going_on(carry):
            *_, (value, _), _, evaluations = carry
            return ~(value <= task.target) & (evaluations < MAX_EVALUATIONS)

        def step(carry):
            params, state, (value, grad), epochs, evaluations = carry
            updates, state = tx.update(
                grad, state, params, value=value, grad=grad, value_fn=loss
            )
            params = optax.apply_updates(params, updates)
            if family == SEARCHES:
                seen = after_search(params, state=state)
                evaluations += optax.tree.get(state, "num_linesearch_steps")
            else:
                seen = evaluate(params)
                evaluations += 1
            return params, state, seen, epochs + 1, evaluations

        params = task.init(jax.random.key(seed))
        carry = params, tx.init(params), evaluate(params), 1, 1
        *_, (value, _), epochs, evaluations = jax.lax.while_loop(going_on, step, carry)
        return epochs, evaluations, value

    return run


def all_at_once(run):
    return jax.vmap(run, in_axes=(0, None, None))


def one_by_one(run):
    """Under vmap every step would last as long as the longest line search."""
    return lambda seeds, *others: jax.lax.map(lambda seed: run(seed, *others), seeds)


def compiled(task, lanes=None):
    """The program of every family, for one seed or for all at once."""

    def program(family):
        run = runner(task, family)
        seed = jnp.zeros((), "int32") if lanes is None else jnp.arange(lanes)
        if lanes is not None:
            run = one_by_one(run) if family == SEARCHES else all_at_once(run)
        return jax.jit(run).lower(seed, jnp.float32(0), task.data).compile()

    with ThreadPoolExecutor() as pool:  # they compile on all cores, and run one by one
        return dict(zip(FAMILIES, pool.map(program, FAMILIES), strict=True))


def count(task, seeds):
    """Epochs and evaluations of every method, of every seed; infinite where it failed."""
    programs = compiled(task, seeds)
    found = {}
    for method, (family, rate) in METHODS.items():
        *counts, value = programs[family](
            jnp.arange(seeds), jnp.float32(rate or 0), task.data
        )
        epochs, evaluations = (np.where(value <= task.target, c, np.inf) for c in counts)
        found[method] = {"epochs": epochs, "evaluations": evaluations}
    return found


def clock(task, found, rounds):
    """Add the milliseconds of every seed that was solved: the median of the rounds."""
    programs = compiled(task)

    def milliseconds(method):
        family, rate = METHODS[method]
        rate, times = jnp.float32(rate or 0), []
        for seed, evaluations in enumerate(found[method]["evaluations"]):
            seed, spent = jnp.int32(seed), np.inf
            if np.isfinite(evaluations):
                began = time.perf_counter()
                *_, value = programs[family](seed, rate, task.data)
                value = value.item()
                if value <= task.target:
                    spent = 1000 * (time.perf_counter() - began)
            times.append(spent)
        return times

    cases = {method: functools.partial(milliseconds, method) for method in METHODS}
    for method, times in in_turn(cases, rounds, discard=0).items():
        found[method]["ms"] = np.median(times, axis=0)


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
        return sum(np.isfinite(r[method]["evaluations"]).sum() for r in results.values())

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
            row |= {"solved": solved, "target": TASKS[task].target}
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
            "tasks below rprop": sum(y < x for x, y in zip(ours, theirs, strict=True)),
        }


def style(method, **changes):
    """The look of the family; Adam at one rate is thinner."""
    family, _, choice = method.partition(" ")
    style = look(family, marker=True) | {"label": method}
    if choice == "fixed":
        style |= {"linestyle": ":", "fillstyle": "none"}
    return style | changes


def draw_profile(results, quantities):
    """The share of runs that a method solves within a factor of the best one."""
    figure, axes = plt.subplots(
        1, len(quantities), figsize=(5 * len(quantities) + 1, 4.8), sharey=True
    )
    for ax, (quantity, unit) in zip(np.atleast_1d(axes), quantities.items(), strict=True):
        for i, (method, times) in enumerate(factors(results, quantity).items()):
            share = np.arange(1, len(times) + 1) / len(times)
            every = (5 + 3 * i, 30)  # markers that don't lie on each other
            look = style(method, markevery=every, markersize=5, linewidth=1.5)
            ax.plot(np.sort(times), share, drawstyle="steps-post", **look)
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
    "optax.rprop",
    "optax.lbfgs",
    "optax.adam best",
    "optax.adam fixed",
    "optax.sgd best",
)


def draw_tasks(results):
    """Medians and quartiles of the evaluations, a line for every method."""
    figure, ax = plt.subplots(figsize=(8, 0.62 * len(results) + 1.2))
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
    figure.legend(loc="upper center", ncols=3, bbox_to_anchor=(0.5, 0.97))
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
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    options = parser.parse_args()
    show_machine()
    results = {}
    for name in options.tasks:
        results[name] = count(TASKS[name], options.seeds)
        print(f"counted {name} after {time.process_time():.0f} s of CPU", flush=True)
    if not options.epochs_only:
        for name, found in results.items():
            clock(TASKS[name], found, options.rounds)
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
