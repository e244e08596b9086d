"""The runs of ``targets.py``: every method from the same seeds, counted and timed."""

import functools
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import optax
from measure import in_turn

import optax_rprop

MAX_EVALUATIONS = 2000
FAMILIES = {
    "rprop": lambda: optax_rprop.rprop(),
    "irprop+": lambda: optax_rprop.rprop(variant="irprop+"),
    "rprop-": lambda: optax_rprop.rprop(variant="rprop-"),
    "rprop+": lambda: optax_rprop.rprop(variant="rprop+"),
    "rprop_8bit": lambda: optax_rprop.rprop_8bit(),
    "in_eigenbasis": lambda: optax_rprop.in_eigenbasis(optax_rprop.rprop()),
    "optax.rprop": lambda: optax.rprop(0.1),
    "optax.lbfgs": lambda: optax.lbfgs(),
    "optax.adam": optax.adam,
    "optax.lion": optax.lion,
    "optax.sgd": functools.partial(optax.sgd, momentum=0.9),
}
SEARCHES = "optax.lbfgs"
ONE_BY_ONE = SEARCHES, "in_eigenbasis"
# Five each, around those that are best on most tasks.
RATES = {
    "optax.adam": (3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    "optax.lion": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    "optax.sgd": (1e-2, 3e-2, 1e-1, 3e-1, 1.0),
}
METHODS = {
    f"{family} {rate:g}" if rate else family: (family, rate)
    for family in FAMILIES
    for rate in RATES.get(family, (None,))
}


def solve(task, tx, seed, data, most=MAX_EVALUATIONS, searches=False):
    """Epochs, gradient evaluations and the last loss of one run.

    ``searches`` tells that ``tx`` is a line search, which evaluates gradients itself.
    """

    def loss(params):
        return task.loss(params, *data)

    tx = optax.with_extra_args_support(tx)
    evaluate = jax.value_and_grad(loss)
    after_search = optax.value_and_grad_from_state(loss)  # evaluates nothing again

    def going_on(carry):
        *_, (value, _), _, evaluations = carry
        return ~(value <= task.target) & (evaluations < most)

    def step(carry):
        params, state, (value, grad), epochs, evaluations = carry
        updates, state = tx.update(
            grad, state, params, value=value, grad=grad, value_fn=loss
        )
        params = optax.apply_updates(params, updates)
        if searches:
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


def runner(task, family):
    """``run(seed, rate, data)``: epochs, gradient evaluations, the last loss."""

    def run(seed, rate, data):
        make = FAMILIES[family]
        tx = make(rate) if family in RATES else make()
        return solve(task, tx, seed, data, searches=family == SEARCHES)

    return run


def all_at_once(run):
    return jax.vmap(run, in_axes=(0, None, None))


def one_by_one(run):
    """Under vmap every step would last as long as the longest line search.

    Rounding has a say in the counts of single runs in a turned basis. So these are
    counted in the program that is timed, seed by seed.
    """
    return lambda seeds, *others: jax.lax.map(lambda seed: run(seed, *others), seeds)


def compiled(task, lanes=None):
    """The program of every family, for one seed or for all at once."""

    def program(family):
        run = runner(task, family)
        seed = jnp.zeros((), "int32") if lanes is None else jnp.arange(lanes)
        if lanes is not None:
            run = one_by_one(run) if family in ONE_BY_ONE else all_at_once(run)
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
