"""The runs of ``cutest.py``: every method on one problem, and what each evaluation saw.

A method sees the loss and its gradient at one point at a time: that is an evaluation. All
of them count, those of line searches too, and no method stops by itself before
``MAX_EVALUATIONS``. Needs float64.
"""

import contextlib
import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optimistix
import scipy.optimize

from optax_rprop import (
    VARIANTS,
    fit,
    in_box,
    in_eigenbasis,
    in_units,
    rprop,
    rprop_8bit,
)

MAX_EVALUATIONS = 2000


class Problem(NamedTuple):
    name: str
    loss: Callable[[jax.Array], jax.Array]
    start: np.ndarray  # a vector, inside its bounds
    bounds: tuple[np.ndarray, np.ndarray] | None = None


def problem_of(found: Any) -> Problem:
    """A problem of ``sif2jax``."""
    start, bounds = np.asarray(found.y0, "float64"), getattr(found, "bounds", None)
    if bounds is not None:
        bounds = tuple(np.broadcast_to(np.asarray(b), start.shape) for b in bounds)
        start = np.clip(start, *bounds)
    return Problem(found.name, lambda y: found.objective(y, found.args), start, bounds)


# Each of these compiles once for a problem, and runs with every first step and smallest
# step that it is given. It returns the losses in the order of their evaluations.


def _bounded(problem, optimizer):
    return optimizer if problem.bounds is None else in_box(optimizer, *problem.bounds)


def loop(make, problem):
    """A bare loop, without what ``fit`` does when steps lead astray."""

    @jax.jit
    def run(*settings):
        tx = optax.with_extra_args_support(_bounded(problem, make(*settings)))

        def step(carry, _):
            params, state = carry
            value, grad = jax.value_and_grad(problem.loss)(params)
            updates, state = tx.update(grad, state, params, value=value)
            return (optax.apply_updates(params, updates), state), value

        start = jnp.asarray(problem.start)
        return jax.lax.scan(step, (start, tx.init(start)), length=MAX_EVALUATIONS)[1]

    return run


def fitted(make, problem):
    @jax.jit
    def run(*settings):
        return fit(
            problem.loss,
            jnp.asarray(problem.start),
            optimizer=_bounded(problem, make(*settings)),
            max_steps=MAX_EVALUATIONS,
            patience=np.inf,
        ).history.loss

    return run


def lbfgs(problem):
    """Optax's. A step counts the evaluations of its line search, and shows the last."""

    @jax.jit
    def run(*_):
        tx, loss = optax.lbfgs(), problem.loss
        after_search = optax.value_and_grad_from_state(loss)

        def step(carry):
            params, state, seen, count = carry
            value, grad = after_search(params, state=state)
            seen = seen.at[count].set(value, mode="drop")
            updates, state = tx.update(
                grad, state, params, value=value, grad=grad, value_fn=loss
            )
            searched = jnp.maximum(optax.tree.get(state, "num_linesearch_steps"), 1)
            return optax.apply_updates(params, updates), state, seen, count + searched

        start = jnp.asarray(problem.start)
        seen = jnp.full(MAX_EVALUATIONS, jnp.inf)
        carry = start, tx.init(start), seen, 0
        return jax.lax.while_loop(lambda c: c[3] < MAX_EVALUATIONS, step, carry)[2]

    return run


def bfgs(problem):
    """Optimistix's; a step is an evaluation, of a point that it may refuse."""
    solver = optimistix.BFGS(rtol=1e-12, atol=1e-12)  # it is not asked whether to stop

    def fn(y, args):
        return problem.loss(y), None

    @jax.jit
    def run(*_):
        start = jnp.asarray(problem.start)
        loss, aux = jax.eval_shape(fn, start, None)
        given = {"fn": fn, "args": None, "options": {}, "tags": frozenset()}
        state = solver.init(y=start, f_struct=loss, aux_struct=aux, **given)
        arrays, rest = equinox.partition(state, equinox.is_array)

        def step(carry, _):
            y, arrays = carry
            state = equinox.combine(arrays, rest)
            value = problem.loss(state.y_eval)
            y, state, _ = solver.step(y=y, state=state, **given)
            return (y, equinox.filter(state, equinox.is_array)), value

        return jax.lax.scan(step, (start, arrays), length=MAX_EVALUATIONS)[1]

    return run


class _Enough(Exception):
    pass


def seen_by_scipy(problem):
    """Each loss that SciPy's L-BFGS-B saw, and where; its tolerances are never met."""
    evaluate = jax.jit(jax.value_and_grad(problem.loss))
    bounds = problem.bounds and scipy.optimize.Bounds(*problem.bounds)
    never = {"maxiter": 10**9, "maxfun": 10**9, "ftol": 0, "gtol": 0}
    seen = []

    def loss(y):
        if len(seen) == MAX_EVALUATIONS:
            raise _Enough
        value, grad = evaluate(y)
        seen.append((value.item(), y.copy()))
        # What SciPy can't handle is a large number to it, from which it turns back.
        return float(np.nan_to_num(value, nan=1e300, posinf=1e300)), np.nan_to_num(grad)

    with warnings.catch_warnings(), contextlib.suppress(_Enough):
        warnings.simplefilter("ignore")
        scipy.optimize.minimize(
            loss,
            problem.start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options=never,
        )
    return seen


def scipys(problem):
    return lambda *_: np.asarray([loss for loss, _ in seen_by_scipy(problem)])


def plain(first, smallest, variant="irprop-"):
    return rprop(first, min_step_size=smallest, variant=variant)


def turned(first, smallest):
    return in_eigenbasis(plain(first, smallest))


def measured(first, smallest):
    return in_units(turned(first, smallest))


def adam(rate, _):
    return optax.adam(rate[0])


def usual(start):
    return np.full_like(start, 0.1)


def relative(start):
    """A tenth of each parameter, and 0.1 where it is 0: the steps of ``"relative"``."""
    return 0.1 * np.where(start == 0, 1.0, np.abs(start))


def rate(size):
    return lambda start: np.full_like(start, size)


SMALLEST, TINY = 1e-6, 1e-12
# What compiles, and each of its runs: a name, the first steps, the smallest step.
METHODS = (
    (functools.partial(loop, plain), [("rprop()", usual, SMALLEST)]),
    *(
        (
            functools.partial(loop, functools.partial(plain, variant=variant)),
            [(variant, usual, SMALLEST)],
        )
        for variant in VARIANTS
        if variant != "irprop-"
    ),
    (
        functools.partial(loop, lambda *_: rprop_8bit()),
        [("rprop_8bit", usual, SMALLEST)],
    ),
    (
        functools.partial(fitted, plain),
        [
            ("fit, rprop()", usual, SMALLEST),
            ("fit", usual, TINY),
            ("fit, rprop('relative')", relative, SMALLEST),
            ("fit, rprop('relative', min_step_size=1e-12)", relative, TINY),
        ],
    ),
    (functools.partial(loop, turned), [("in_eigenbasis(rprop())", usual, SMALLEST)]),
    (
        functools.partial(fitted, turned),
        [
            ("fit, in_eigenbasis(rprop())", usual, SMALLEST),
            ("fit, in_eigenbasis()", usual, TINY),
            ("fit, in_eigenbasis(rprop('relative'))", relative, SMALLEST),
        ],
    ),
    (
        functools.partial(loop, measured),
        [("in_units(in_eigenbasis(rprop()))", usual, SMALLEST)],
    ),
    (
        functools.partial(fitted, measured),
        [
            ("fit, in_units(in_eigenbasis(rprop()))", usual, SMALLEST),
            ("fit, in_units(in_eigenbasis())", usual, TINY),
        ],
    ),
    (
        functools.partial(loop, lambda *_: optax.rprop(0.1)),
        [("optax.rprop", usual, SMALLEST)],
    ),
    (
        functools.partial(loop, adam),
        [(f"optax.adam {r:g}", rate(r), SMALLEST) for r in (0.01, 0.1, 1.0)],
    ),
    (lbfgs, [("optax.lbfgs", usual, SMALLEST)]),
    (bfgs, [("optimistix.BFGS", usual, SMALLEST)]),
    (scipys, [("SciPy L-BFGS-B", usual, SMALLEST)]),
)
WITHOUT_BOUNDS = "optax.lbfgs", "optimistix.BFGS"  # they know none


def improvements(losses):
    """Each new best loss, and at which evaluation, counted from 1."""
    losses = np.where(np.isfinite(losses), losses, np.inf)
    best = np.minimum.accumulate(losses)
    first = np.flatnonzero(np.diff(best, prepend=np.inf))
    return [[int(i) + 1 for i in first], best[first].tolist()]


def runs(problem, known=()):
    """The improvements of every method, but for those that are known."""
    found = {}
    for program, cases in METHODS:
        cases = [case for case in cases if case[0] not in known]
        if problem.bounds is not None:
            cases = [case for case in cases if case[0] not in WITHOUT_BOUNDS]
        run = program(problem) if cases else None
        for name, first, smallest in cases:
            found[name] = improvements(run(first(problem.start), smallest))
    return found
