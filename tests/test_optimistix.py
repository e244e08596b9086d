"""A minimiser of Optimistix: the steps of ``fit``, and derivatives of its solution."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import PLAIN, TURNED, assert_same, bowl, each_of, raises, regression

from optax_rprop import FitStatus, fit, in_box, in_eigenbasis, rprop

optimistix = pytest.importorskip("optimistix", reason="Optimistix is not installed")
from optax_rprop.optimistix import RpropMinimiser  # noqa: E402

RULES = {
    name: make
    for name, make in (PLAIN | TURNED).items()
    if "8bit" not in name and name != "turned-irprop+"
}
rng = np.random.default_rng(0)
X = jnp.asarray(rng.normal(size=(30, 4)), "float32")
DATA = X, jnp.tanh(X @ jnp.asarray([1.0, -0.5, 0.3, 0.2], "float32"))
START = {
    "w": jnp.asarray(rng.normal(size=(4, 2)), "float32"),
    "v": jnp.asarray(rng.normal(size=2), "float32"),
}


def loss_fn(params, data):
    loss = regression(params, *data)
    return loss, {"loss": loss, "size": jnp.sum(params["v"] ** 2)}


def square(y, args):
    return jnp.sum(y**2)


def losses_by_hand(solver, fn, y, args):
    """The losses that a loop of one's own sees, and its solution."""
    loss, aux = jax.eval_shape(fn, y, args)
    state = solver.init(fn, y, args, {}, loss, aux, frozenset())
    step = jax.jit(lambda y, state: solver.step(fn, y, args, {}, state, frozenset()))
    losses, done = [], False
    while not done:
        y, state, aux = step(y, state)
        losses.append(float(aux["loss"]))
        done, result = solver.terminate(fn, y, args, {}, state, frozenset())
    best, _, stats = solver.postprocess(fn, y, aux, args, {}, state, frozenset(), result)
    return losses, best, stats["status"]


@each_of(RULES)
def test_it_takes_the_steps_of_fit(make):
    optimizer = make()
    rules = {"step_tol": 1e-3, "patience": 100}
    solver = RpropMinimiser(optimizer, **rules)
    found = fit(loss_fn, START, DATA, optimizer=optimizer, has_aux=True, **rules)
    sol = optimistix.minimise(loss_fn, solver, START, DATA, has_aux=True, max_steps=1000)
    losses, best, status = losses_by_hand(solver, loss_fn, START, DATA)

    assert sol.stats["status"] == status == found.status
    assert sol.result == optimistix.RESULTS.successful
    # The last evaluation takes no step.
    assert sol.stats["num_steps"] == len(losses) == found.num_steps + 1
    seen = found.history.loss[: found.num_steps]
    np.testing.assert_allclose(losses, [*seen, found.last_loss], rtol=1e-4, atol=1e-7)
    for solution in (sol.value, best):
        for ours, fits in zip(
            *map(jax.tree.leaves, (solution, found.params)), strict=True
        ):
            np.testing.assert_allclose(ours, fits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sol.aux["loss"], found.loss, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(sol.aux["size"], found.aux["size"], rtol=1e-4)


def test_a_standstill_is_not_the_end():
    """From 0.05 a step of 0.1 leads to -0.05: the same loss, and then no update."""
    start = jnp.asarray(0.05, "float32")
    wrapped = optimistix.OptaxMinimiser(rprop(), rtol=1e-6, atol=1e-6)
    early = optimistix.minimise(square, wrapped, start)
    assert early.result == optimistix.RESULTS.successful
    np.testing.assert_allclose(early.value, -0.05)
    sol = optimistix.minimise(square, RpropMinimiser(step_tol=1e-5), start)
    np.testing.assert_allclose(sol.value, 0, atol=1e-5)


def cliff(y, args):
    """A steep slope towards 1, and beyond it a worse place with a shallow minimum."""
    return jnp.sum(jnp.where(y < 1.2, 10 * jnp.abs(y - 1), 100 + 0.1 * (y - 5) ** 2))


def root(y, args):
    """Finite everywhere, with a gradient that is NaN below 0."""
    return jnp.sum(jnp.where(y > 0, jnp.sqrt(y), 0.0) + 1.0)


def nowhere(y, args):
    return jnp.log(-1 - y**2)


@pytest.mark.parametrize(
    ("fn", "start", "settings", "status", "result"),
    [
        (square, 1.0, {"target_loss": 1e-4}, "TARGET_REACHED", "successful"),
        (square, 0.3, {"step_tol": 1e-3}, "STEP_CONVERGED", "successful"),
        (square, 0.05, {}, "STATIONARY", "successful"),
        (square, 0.3, {"patience": 1, "rtol": 0.999}, "STALLED", "successful"),
        (nowhere, 1.0, {}, "NONFINITE", "nonfinite"),
        (root, -1.0, {}, "NAN_GRADIENT", "nonfinite"),
        (
            cliff,
            0.0,
            {"optimizer": optax.adam(3.0), "patience": 30},
            "WORSE_THAN_BEST",
            "nonlinear_divergence",
        ),
    ],
)
def test_every_status_has_a_result(fn, start, settings, status, result, relaxed):
    start = jnp.asarray(start, "float32")
    found = fit(lambda y: fn(y, None), start, **settings)
    sol = optimistix.minimise(fn, RpropMinimiser(**settings), start, throw=False)
    assert sol.stats["status"] == found.status == FitStatus[status]
    assert sol.result == getattr(optimistix.RESULTS, result)
    assert_same(sol.value, found.params)


def test_too_few_steps_are_no_success():
    start = jnp.asarray([5.0, 5.0], "float32")
    run = functools.partial(
        optimistix.minimise, square, RpropMinimiser(step_tol=1e-5), start, max_steps=10
    )
    sol = run(throw=False)
    assert sol.result == optimistix.RESULTS.nonlinear_max_steps_reached
    assert sol.stats["status"] == FitStatus.MAX_STEPS
    found = fit(lambda y: square(y, None), start, max_steps=9)
    assert_same(sol.value, found.params)
    with pytest.raises(RuntimeError, match="maximum number of steps"):
        run(throw=True)


def test_a_start_that_is_not_finite():
    start = jnp.asarray([1.0, np.nan], "float32")
    sol = optimistix.minimise(square, RpropMinimiser(), start, throw=False)
    assert sol.result == optimistix.RESULTS.nonfinite
    assert sol.stats["status"] == FitStatus.NONFINITE
    assert sol.stats["num_steps"] == 0


def test_inside_another_minimiser(no_x64):
    """With x64, Optimistix 0.1.0 keeps the best loss in float64, whatever the loss is."""
    solver = RpropMinimiser(step_tol=1e-3)
    run = functools.partial(optimistix.minimise, loss_fn, max_steps=1000, has_aux=True)
    sol = run(solver, START, DATA)
    wrapped = run(optimistix.BestSoFarMinimiser(solver), START, DATA)
    assert wrapped.stats["num_steps"] == sol.stats["num_steps"]
    for ours, theirs in zip(
        *map(jax.tree.leaves, ((sol.value, sol.aux), (wrapped.value, wrapped.aux))),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_every_lane_ends_by_its_own_rule():
    solver = RpropMinimiser(step_tol=1e-4)

    def run(start):
        return optimistix.minimise(lambda y, _: bowl(y), solver, start)

    starts = jnp.asarray(rng.normal(size=(5, 2)) * 5, "float32")
    lanes = jax.jit(jax.vmap(run))(starts)
    alone = [run(start) for start in starts]
    np.testing.assert_array_equal(
        lanes.stats["num_steps"], [sol.stats["num_steps"] for sol in alone]
    )
    assert len(set(lanes.stats["num_steps"].tolist())) > 1
    np.testing.assert_allclose(lanes.value, [sol.value for sol in alone], atol=1e-6)


def ridge(params, weights):
    """A smooth loss, strictly convex, whose minimum depends on the weights."""
    residual = jnp.asarray(DATA[0], weights.dtype) @ params["w"] - params["b"] - 1
    penalty = weights[0] * jnp.sum(params["w"] ** 2) + weights[1] * params["b"] ** 2
    return jnp.mean(residual**2 + 0.1 * residual**4) + penalty


@pytest.mark.parametrize(
    ("basis", "closes_over"), [(lambda rule: rule, False), (in_eigenbasis, True)]
)
def test_implicit_derivatives_are_those_of_the_solution(basis, closes_over, x64):
    optimizer = basis(rprop(min_step_size=1e-13))
    solver = RpropMinimiser(optimizer, step_tol=1e-11)
    start = {"w": jnp.zeros(4), "b": jnp.zeros(())}

    def solution(weights):
        fn, args = ridge, weights
        if closes_over:
            fn, args = (lambda params, _: ridge(params, weights)), None
        run = functools.partial(optimistix.minimise, adjoint=optimistix.ImplicitAdjoint())
        sol = run(fn, solver, start, args, max_steps=5000)
        return jnp.append(sol.value["w"], sol.value["b"])

    # The best loss tells parameters apart that differ by about 1e-8, not less.
    weights, small = jnp.asarray([0.1, 0.3]), 1e-3
    solve = jax.jit(solution)
    differences = [
        (solve(weights + move) - solve(weights - move)) / (2 * small)
        for move in small * jnp.eye(2)
    ]
    assert np.abs(differences).min() > 1e-3
    for jacobian in (jax.jacrev, jax.jacfwd):
        derivative = jax.jit(jacobian(solution))(weights)
        np.testing.assert_allclose(derivative.T, differences, rtol=1e-3)
    many = jax.jit(jax.vmap(jax.jacrev(solution)))(jnp.stack([weights, 2 * weights]))
    np.testing.assert_allclose(many[0].T, differences, rtol=1e-3)


def test_the_start_and_the_limits_have_no_derivative():
    def of_start(start):
        return optimistix.minimise(square, RpropMinimiser(step_tol=1e-3), start).value

    def of_limit(step_tol):
        solver = RpropMinimiser(step_tol=step_tol)
        return optimistix.minimise(square, solver, jnp.asarray(0.3, "float32")).value

    assert jax.grad(of_start)(0.3) == 0
    assert jax.grad(of_limit)(1e-3) == 0


def test_a_derivative_through_the_steps():
    def solution(target):
        return optimistix.minimise(
            lambda y, target: (y - target) ** 2,
            RpropMinimiser(step_tol=1e-3),
            jnp.asarray(0.0, "float32"),
            target,
            adjoint=optimistix.RecursiveCheckpointAdjoint(),
        ).value

    np.testing.assert_allclose(solution(0.7), 0.7, atol=1e-2)
    with raises(
        TypeError,
        "RpropMinimiser: adjoint must be optimistix.ImplicitAdjoint(), got a derivative "
        "through the steps. Rprop follows signs, so it would be zero without being "
        "right.",
    ):
        jax.grad(solution)(0.7)


def test_bounds_hold():
    solver = RpropMinimiser(in_box(rprop(), 0.5, None), step_tol=1e-4)
    sol = optimistix.minimise(square, solver, jnp.asarray([2.0, 3.0], "float32"))
    np.testing.assert_array_equal(sol.value, 0.5)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        (
            {"optimizer": rprop},
            TypeError,
            "RpropMinimiser: optimizer must be an Optax transformation, got function. "
            "rprop() is the default; for a MultiSteps ms pass",
        ),
        (
            {"target_loss": np.nan},
            ValueError,
            "RpropMinimiser: target_loss must be a number, got nan. No loss is at or "
            "below it; None asks for no target.",
        ),
        (
            {"step_tol": 0},
            ValueError,
            "RpropMinimiser: step_tol must be positive, got 0. It is a step size, in the "
            "units of the parameters, not below min_step_size.",
        ),
        (
            {"patience": "long"},
            TypeError,
            "RpropMinimiser: patience must be a real number, got str. A Python float or "
            "a scalar array will do.",
        ),
        (
            {"rtol": 1},
            ValueError,
            "RpropMinimiser: rtol must be at least 0 and less than 1, got 1. It is the "
            "relative improvement that patience waits for; 1e-4 is the default.",
        ),
    ],
)
def test_settings_are_checked(settings, kind, message):
    with raises(kind, message):
        RpropMinimiser(**settings)


def test_a_step_tol_without_step_sizes():
    solver = RpropMinimiser(optax.sgd(0.1), step_tol=1e-3)
    with raises(
        ValueError,
        "RpropMinimiser: step_tol must be None for an optimizer without known step "
        "sizes, got 0.001. Only Rprop has them",
    ):
        optimistix.minimise(square, solver, jnp.asarray(1.0, "float32"))


def test_without_optimistix_the_import_says_what_brings_it():
    code = "import sys; sys.modules['optimistix'] = None; import optax_rprop.optimistix"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stderr.strip().endswith(
        "ImportError: optax_rprop.optimistix: optimistix must be installed, got import "
        "of optimistix halted; None in sys.modules. pip install "
        "'optax-rprop[optimistix]' brings it."
    )
