"""``fit``: the loop against a plain one, its reasons to stop, its way back from NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_same, bowl, every_variant, mesh_of, rprop_state
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from optax_rprop import VARIANTS, FitStatus, fit, rprop

rng = np.random.default_rng(0)
X = jnp.asarray(rng.uniform(-2, 2, (20, 3)), "float32")
Y = jnp.sin(X @ jnp.asarray([1.0, -2.0, 0.5], "float32"))
START = {"w": jnp.zeros(3, "float32"), "b": jnp.zeros((), "float32")}
# One for each, so that tests share what was compiled.
OPTIMIZERS = {variant: rprop(variant=variant) for variant in VARIANTS}
ADAM = optax.adam(0.1)


def loss_fn(params, x, y):
    return jnp.mean((jnp.tanh(x @ params["w"] + params["b"]) - y) ** 2)


def barrier(params):
    """Least at 1, and not finite at or below 0."""
    return jnp.sum(params - jnp.log(params))


def plain_loop(optimizer, num_steps):
    """What fit does, as one writes it by hand: losses and parameters of every step."""
    optimizer = optax.with_extra_args_support(optimizer)

    @jax.jit
    def step(params, state):
        loss, grads = jax.value_and_grad(loss_fn)(params, X, Y)
        updates, state = optimizer.update(grads, state, params, value=loss)
        return optax.apply_updates(params, updates), state, loss

    params, state = START, optimizer.init(START)
    path, losses = [params], []
    for _ in range(num_steps):
        params, state, loss = step(params, state)
        path.append(params)
        losses.append(loss)
    losses.append(loss_fn(params, X, Y))
    return path, np.array(losses)


@every_variant
def test_it_takes_the_steps_of_a_plain_loop_and_returns_the_best(variant):
    optimizer = OPTIMIZERS[variant]
    path, losses = plain_loop(optimizer, 60)
    result = fit(loss_fn, START, X, Y, optimizer=optimizer, max_steps=60)
    np.testing.assert_allclose(result.history.loss, losses[:-1], rtol=1e-4, atol=1e-6)
    assert result.num_steps == 60
    assert result.status is FitStatus.MAX_STEPS
    best = losses.argmin()
    np.testing.assert_allclose(result.loss, losses[best], rtol=1e-4)
    np.testing.assert_allclose(result.params["w"], path[best]["w"], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(result.loss, loss_fn(result.params, X, Y), rtol=1e-6)


def test_the_last_iterate_counts():
    """Three steps straight down: the best is the one that no step has evaluated."""
    result = fit(lambda p: p**2, jnp.asarray(10.0, "float32"), max_steps=3)
    expected = 10 - 0.1 * (1 + 1.2 + 1.44)
    np.testing.assert_allclose(result.params, expected, rtol=1e-6)
    np.testing.assert_allclose(result.loss, expected**2, rtol=1e-6)
    np.testing.assert_array_equal(result.params, result.last.params)
    np.testing.assert_array_equal(result.params, result.last.best_params)
    assert result.best_step == 3
    # A target that only the last iterate reaches counts as reached.
    reached = fit(
        lambda p: p**2, jnp.asarray(10.0, "float32"), max_steps=3, target_loss=93.0
    )
    assert reached.status is FitStatus.TARGET_REACHED


def test_the_best_is_not_the_last():
    """One step too far: the start was better."""
    result = fit(
        bowl,
        jnp.asarray([1.0, -2.0], "float32") + 0.01,
        max_steps=1,
        optimizer=rprop(1.0),
    )
    np.testing.assert_allclose(result.params, [1.01, -1.99])
    assert bowl(result.last.params) > 1


def test_the_program_is_one_while_loop_without_callbacks():
    for history in (True, False):
        traced = jax.make_jaxpr(
            lambda p, x, y, history=history: fit(
                loss_fn, p, x, y, max_steps=500, history=history
            )
        )(START, X, Y)
        assert str(traced).count("while[") == 2  # blocks of steps
        assert str(traced).count("= tanh") == 1  # the loss, once
        assert "callback" not in str(traced)


def test_it_lowers_for_other_platforms():
    traced = jax.jit(lambda p, x, y: fit(loss_fn, p, x, y)).trace(START, X, Y)
    for platform in ("cuda", "tpu"):
        assert "while" in traced.lower(lowering_platforms=(platform,)).as_text()


def test_new_data_of_the_same_shape_compiles_nothing():
    traces = []

    def counting(params, x, y):
        traces.append(None)
        return loss_fn(params, x, y)

    first = fit(counting, START, X, Y, target_loss=1e-9, max_steps=10)
    num_traces = len(traces)
    other = fit(counting, START, 2 * X, -Y, target_loss=1e-8, max_steps=10)
    assert len(traces) == num_traces
    assert other.loss != first.loss


STOPS = [
    (FitStatus.TARGET_REACHED, {"target_loss": 0.01}, "float32"),
    (FitStatus.STEP_CONVERGED, {"step_tol": 1e-3}, "float32"),
    (FitStatus.STALLED, {"patience": 30, "max_steps": 100_000}, "float32"),
    (FitStatus.MAX_STEPS, {"max_steps": 7}, "float32"),
]


@pytest.mark.parametrize(("status", "rules", "dtype"), STOPS)
@every_variant
def test_it_stops_for_a_reason(variant, status, rules, dtype):
    result = fit(bowl, jnp.zeros(2, dtype), optimizer=OPTIMIZERS[variant], **rules)
    assert result.status is status
    assert result.num_steps < rules.get("max_steps", 200) or result.num_steps == 7
    if status is FitStatus.TARGET_REACHED:
        assert result.loss <= 0.01
    if status is FitStatus.STEP_CONVERGED:
        sizes = rprop_state(result.last.opt_state).step_sizes
        assert np.max(sizes) <= 1e-3
        np.testing.assert_allclose(result.params, [1, -2], atol=5e-3)
    if status is FitStatus.STALLED:
        assert result.last.stalled_steps == 30
        np.testing.assert_allclose(result.params, [1, -2], atol=1e-2)


def test_stationary_and_not_before():
    flat = fit(lambda p: jnp.sum(jnp.maximum(p, 1.0)), jnp.asarray([3.0, 0.5], "float32"))
    assert flat.status is FitStatus.STATIONARY
    np.testing.assert_array_equal(flat.history.loss[0], 4.0)
    assert flat.loss == 2.0


def test_a_coordinate_without_gradient_has_arrived():
    """Its step size is as large as ever, and must not keep the fit from its end."""
    result = fit(
        lambda p: (p["x"] - 1) ** 2 + 0 * p["unused"],
        {"x": jnp.zeros((), "float32"), "unused": jnp.zeros((), "float32")},
        step_tol=1e-4,
    )
    assert result.status is FitStatus.STEP_CONVERGED
    assert rprop_state(result.last.opt_state).step_sizes["unused"] > 1e-4


def test_it_never_stops_at_a_step_that_stands_still():
    """After a sign change iRprop- rests for a step, here at -0.05: not the minimum."""
    result = fit(
        lambda p: (p - 0.013) ** 2,
        jnp.asarray(0.05, "float32"),
        step_tol=1e-5,
        patience=40,
    )
    np.testing.assert_allclose(result.history.loss[1:3], (-0.05 - 0.013) ** 2, rtol=1e-5)
    assert result.num_steps > 10
    np.testing.assert_allclose(result.params, 0.013, atol=1e-4)


ADVICE = {
    FitStatus.TARGET_REACHED: "The loss is at or below target_loss: done.",
    FitStatus.STEP_CONVERGED: "Every parameter with a gradient has a step size of at "
    "most step_tol: a minimum to that precision in the parameters; or, if "
    "result.gradient_max is large, a narrow valley across the axes.",
    FitStatus.STATIONARY: "Every gradient is exactly zero: a minimum, a saddle or a "
    "plateau. If the loss is not what you hoped for, start elsewhere.",
    FitStatus.STALLED: "The best loss has not improved for patience steps (100 by "
    "default): as good as it gets, or a plateau.",
    FitStatus.NONFINITE: "No finite loss could be found again. Check the loss at the "
    "initial parameters, or start with a smaller learning_rate; jax_debug_nans finds the "
    "operation.",
    FitStatus.INTERRUPTED: "Interrupted by Ctrl-C: the result is what was found until "
    "then. Go on with resume=result.last.",
    FitStatus.MAX_STEPS: "All max_steps were taken. If the loss still falls, go on with "
    "resume=result.last.",
    FitStatus.NAN_GRADIENT: "The loss is finite, and gradients are NaN: those parameters "
    "have not moved. The derivative of jnp.where(x > 0, jnp.sqrt(x), 0) is NaN below 0, "
    "for example: choose a safe x with a jnp.where inside; jax_debug_nans finds the "
    "operation.",
    FitStatus.WORSE_THAN_BEST: "The fit came to rest at a place with a smaller gradient "
    "but a worse loss than the best: a step led away, and none led back. result.params "
    "are those after step result.best_step, of which the stop rules say nothing. If "
    "result.gradient_max is not small there, start with a smaller learning_rate.",
    FitStatus.STOPPED: "stop_when said so.",
}


def test_every_status_has_advice():
    for status in FitStatus:
        assert status.advice == ADVICE[status]
        assert str(status) == f"FitStatus.{status.name}"
    assert jax.jit(lambda s: s == FitStatus.STALLED)(3)


@every_variant
def test_a_barrier_is_survived(variant):
    """Steps of 5 from 0.3, 0.5 and 7 leave the domain at once, and find back."""
    start = jnp.asarray([0.3, 0.5, 7.0], "float32")
    result = fit(barrier, start, optimizer=rprop(5.0, variant=variant))
    np.testing.assert_allclose(result.params, 1.0, atol=2e-3)
    assert not np.isfinite(result.history.loss).all()
    assert result.loss == pytest.approx(3.0, abs=1e-5)


def test_a_rejected_step_is_taken_back_and_the_next_is_half():
    result = fit(
        barrier,
        jnp.asarray([0.5], "float32"),
        optimizer=rprop(0.2, eta_plus=4.0),
        max_steps=4,
    )
    # 0.5 -> 0.7 -> 1.5 (rose past 1: sign change) and so on stays inside; from the other
    # side it leaves the domain.
    assert np.isfinite(result.history.loss).all()
    result = fit(
        barrier, jnp.asarray([3.0], "float32"), optimizer=rprop(4.0), max_steps=3
    )
    losses = np.asarray(result.history.loss)
    np.testing.assert_array_equal(np.isfinite(losses), [True, False, True])
    assert losses[2] == losses[0]  # back where it was
    np.testing.assert_allclose(result.last.params, 3.0 - 2.0)  # and half as far
    np.testing.assert_allclose(result.history.step_size_max, [4.0, 2.0, 2.0])


@every_variant
def test_without_any_finite_loss_it_says_so(variant):
    result = fit(barrier, jnp.asarray([-1.0], "float32"), optimizer=OPTIMIZERS[variant])
    assert result.status is FitStatus.NONFINITE
    assert result.num_steps == 3
    assert result.loss == np.inf
    np.testing.assert_array_equal(result.params, [-1.0])


def test_another_optimizer_ends_at_the_best_parameters():
    result = fit(barrier, jnp.asarray([1.5], "float32"), optimizer=optax.sgd(10.0))
    assert result.status is FitStatus.NONFINITE
    np.testing.assert_array_equal(result.params, [1.5])
    np.testing.assert_array_equal(result.last.params, [1.5])
    assert np.isfinite(result.loss)


@pytest.mark.parametrize("split", [1, 13, 59])
@every_variant
def test_resuming_continues_bit_for_bit(variant, split):
    optimizer = OPTIMIZERS[variant]
    run = {"optimizer": optimizer, "patience": 100_000}
    whole = fit(loss_fn, START, X, Y, max_steps=60, **run)
    first = fit(loss_fn, START, X, Y, max_steps=split, **run)
    rest = fit(loss_fn, START, X, Y, max_steps=60 - split, resume=first.last, **run)
    assert_same(
        (rest.params, rest.loss, rest.last), (whole.params, whole.loss, whole.last)
    )
    joined = jax.tree.map(
        lambda a, b: np.concatenate([a, b]), first.history, rest.history
    )
    assert_same(joined, whole.history)


@every_variant
def test_resuming_in_the_middle_of_trouble(variant):
    """Every split of a run whose losses are not finite now and then."""
    start = jnp.asarray([0.3, 7.0], "float32")
    optimizer = rprop(5.0, variant=variant)
    whole = fit(barrier, start, optimizer=optimizer, max_steps=12)
    last = None
    for _ in range(12):
        step = fit(barrier, start, optimizer=optimizer, max_steps=1, resume=last)
        last = step.last
    assert_same((step.params, step.loss, last), (whole.params, whole.loss, whole.last))
    assert not np.isfinite(whole.history.loss).all()


def test_patience_is_remembered():
    start = jnp.zeros(2, "float32")
    settings = {"optimizer": rprop(), "patience": 30}
    whole = fit(bowl, start, max_steps=100_000, **settings)
    first = fit(bowl, start, max_steps=whole.num_steps - 5, **settings)
    rest = fit(bowl, start, max_steps=100_000, resume=first.last, **settings)
    assert rest.status is FitStatus.STALLED
    assert rest.num_steps == 5


def test_of_two_equal_losses_the_one_without_a_gradient_is_the_best():
    """Rounding may hide what the last steps gain."""

    def loss(p):
        curvatures = jnp.array([1.0, 1e2, 1e4, 1e6], "float32")
        return jnp.sum(curvatures * (p - 1.234) ** 2) + 1.0

    result = fit(loss, jnp.zeros(4, "float32"))
    assert result.status is FitStatus.STATIONARY
    assert result.gradient_max == 0


def test_a_fit_stops_by_itself():
    """When 100 steps have brought no new best: any at all, unless there is an rtol."""
    result = fit(loss_fn, START, X, Y, max_steps=5000)
    assert result.status is FitStatus.STALLED
    assert result.best_step + 100 <= result.num_steps <= result.best_step + 101
    for_ever = fit(loss_fn, START, X, Y, max_steps=2000, patience=np.inf)
    assert for_ever.num_steps == 2000
    assert result.loss == for_ever.loss
    loose = fit(loss_fn, START, X, Y, rtol=1e-2)
    assert loose.status is FitStatus.STALLED
    assert loose.num_steps < result.num_steps


def test_a_rule_of_ones_own_sees_every_step():
    """And leaves the steps as they are; the record is that of the step it ends with."""
    told = []

    def keep(seen):
        told.append(jax.tree.map(np.asarray, seen))

    def small(seen):
        jax.debug.callback(keep, seen, ordered=True)
        return seen.step_size_max < 1e-4

    plain = fit(loss_fn, START, X, Y, max_steps=100)
    result = fit(loss_fn, START, X, Y, max_steps=100, stop_when=small)
    jax.effects_barrier()
    assert result.status is FitStatus.STOPPED
    taken = result.num_steps
    assert 10 < taken < 100
    assert_same(
        jax.tree.map(lambda x: x[:taken], plain.history),
        jax.tree.map(lambda x: x[:taken], result.history),
    )
    told = told[:taken]  # the last pass takes no step
    assert [seen.num_steps for seen in told] == [*range(1, taken + 1)]
    for name, series in result.history._asdict().items():
        np.testing.assert_array_equal([getattr(s, name) for s in told], series[:taken])
    best = np.minimum.accumulate(result.history.loss[:taken])
    np.testing.assert_array_equal([seen.best_loss for seen in told], best)
    for seen in told[::7]:
        loss, grads = jax.value_and_grad(loss_fn)(seen.best_params, X, Y)
        assert loss == pytest.approx(seen.best_loss, rel=1e-5)
        if seen.best_step == seen.num_steps - 1:
            largest = max(float(jnp.max(jnp.abs(g))) for g in jax.tree.leaves(grads))
            assert seen.gradient_max == pytest.approx(largest, rel=1e-3)


def test_a_rule_of_ones_own_may_look_at_other_data():
    """A loss on data that the fit does not see, with an aux, in jit and in vmap."""
    held_out = X[::2] + 0.1, Y[::2]

    def with_aux(params, x, y):
        return loss_fn(params, x, y), {"norm": jnp.sum(params["w"] ** 2)}

    def good_enough(seen):
        return (loss_fn(seen.best_params, *held_out) < 0.575) & (
            seen.best_aux["norm"] > 0
        )

    settings = {"has_aux": True, "stop_when": good_enough, "max_steps": 200}
    result = fit(with_aux, START, X, Y, **settings)
    assert result.status is FitStatus.STOPPED
    assert loss_fn(result.params, *held_out) < 0.575
    starts = jax.tree.map(lambda p: jnp.stack([p, p + 1]), START)
    lanes = jax.vmap(lambda start: fit(with_aux, start, X, Y, **settings))(starts)
    assert lanes.status[0] == FitStatus.STOPPED
    assert lanes.num_steps[0] == result.num_steps
    assert not jnp.array_equal(*lanes.num_steps)


def test_a_rule_of_ones_own_is_kept_with_the_fit():
    """A second call compiles nothing; another rule is another program."""
    traces = []

    def rule_below(limit):
        def rule(seen):
            traces.append(limit)
            return seen.loss < limit

        return rule

    rule = rule_below(0.58)
    for _ in range(2):
        assert fit(loss_fn, START, X, Y, stop_when=rule).status is FitStatus.STOPPED
    other = fit(loss_fn, START, X, Y, stop_when=rule_below(0.572))
    assert other.loss < 0.572
    assert len(traces) == len(set(traces)) == 2


def test_another_status_comes_before_a_rule_of_ones_own():
    result = fit(loss_fn, START, X, Y, target_loss=10.0, stop_when=lambda seen: True)
    assert result.status is FitStatus.TARGET_REACHED
    unfound = fit(
        lambda p: p * jnp.nan, jnp.array(0.0), stop_when=lambda seen: seen.loss < 0
    )
    assert unfound.status is FitStatus.NONFINITE


def test_the_history_says_what_happened():
    """Down x**2 from 0.25: three steps, a flip, and on from half the step size."""
    result = fit(lambda p: p**2, jnp.asarray([0.25], "float32")[0], max_steps=5)
    history = result.history
    np.testing.assert_allclose(history.step_size_max, [0.1, 0.12, 0.144, 0.072, 0.072])
    np.testing.assert_allclose(history.step_size_mean, history.step_size_max, rtol=1e-6)
    np.testing.assert_array_equal(history.flip_fraction, [0, 0, 0, 1, 0])
    path = np.array([0.25, 0.15, 0.03, -0.114, -0.114])
    np.testing.assert_allclose(history.loss, path**2, rtol=1e-4)


def test_the_history_has_an_entry_for_every_step():
    result = fit(bowl, jnp.zeros(2, "float32"), target_loss=0.01, max_steps=500)
    assert result.num_steps < 300
    for series in result.history:
        assert type(series) is np.ndarray
        assert series.shape == (result.num_steps,)
        assert np.isfinite(series).all()
    none = fit(bowl, jnp.zeros(2, "float32"), target_loss=0.01, resume=result.last)
    assert none.num_steps == 0
    for series, of in zip(none.history, result.history, strict=True):
        assert series.shape == (0,)
        assert series.dtype == of.dtype


def test_inside_jit_the_history_is_nan_after_the_end():
    @jax.jit
    def fitted(start):
        return fit(bowl, start, target_loss=0.01, max_steps=500)

    result = fitted(jnp.zeros(2, "float32"))
    assert result.num_steps < 300
    for series in result.history:
        assert series.shape == (500,)
        assert np.isfinite(series[: result.num_steps]).all()
        assert np.isnan(series[result.num_steps :]).all()


def test_the_history_can_be_left_out_and_changes_nothing():
    with_it = fit(loss_fn, START, X, Y, max_steps=200)
    without = fit(loss_fn, START, X, Y, max_steps=200, history=False)
    assert without.history is None
    assert_same(without, with_it._replace(history=None))


@jax.custom_vjp
def noisy(params):
    return 1 + 0 * jnp.sum(params)


def noise(params, _):
    seed = jax.lax.bitcast_convert_type(jnp.sum(params), "int32")
    return (jax.random.normal(jax.random.key(seed), params.shape, params.dtype),)


noisy.defvjp(lambda params: (noisy(params), params), noise)


@pytest.mark.parametrize(("variant", "expected"), [("rprop-", 1 / 2), ("irprop-", 1 / 3)])
def test_noise_shows_in_the_flip_fraction(variant, expected):
    """A rule that forgets the sign at a change can't see two changes in a row."""
    start = jnp.zeros(2000, "float32")
    result = fit(noisy, start, optimizer=OPTIMIZERS[variant], max_steps=60)
    flips = np.asarray(result.history.flip_fraction[10:])
    # From time to time the fit goes back to the best, where all signs are forgotten.
    np.testing.assert_allclose(flips.mean(), expected, atol=0.06)


def test_another_optimizer_has_a_history_of_losses_alone(relaxed):
    result = fit(loss_fn, START, X, Y, optimizer=ADAM, max_steps=50)
    assert set(result.history[1:]) == {None}
    assert result.loss < result.history.loss[0]


def test_lbfgs_is_given_what_it_needs(relaxed):
    """``value``, ``grad`` and ``value_fn``, for its line search."""
    lbfgs = fit(loss_fn, START, X, Y, optimizer=optax.lbfgs(), max_steps=30)
    ours = fit(loss_fn, START, X, Y, max_steps=200)
    np.testing.assert_allclose(lbfgs.loss, ours.loss, rtol=1e-3)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.chain(optax.clip_by_global_norm(1.0), rprop()),
        optax.inject_hyperparams(rprop)(),
        optax.masked(rprop(), {"w": True, "b": False}),
        optax.multi_transform({"w": rprop(), "b": rprop(0.3)}, {"w": "w", "b": "b"}),
    ],
    ids=["chain", "inject_hyperparams", "masked", "multi_transform"],
)
def test_step_sizes_are_found_in_wrappers(optimizer, relaxed):
    result = fit(loss_fn, START, X, Y, optimizer=optimizer, max_steps=20, step_tol=1e-6)
    assert np.isfinite(result.history.step_size_mean).all()
    assert (np.asarray(result.history.flip_fraction) <= 1).all()
    assert np.max(result.history.flip_fraction) > 0


@every_variant
def test_every_lane_under_vmap_ends_by_its_own_rule(variant):
    starts = jnp.asarray([[0.9, -1.9], [30.0, 5.0], [1.0, -2.0]], "float32")

    def run(start):
        return fit(bowl, start, optimizer=OPTIMIZERS[variant], target_loss=1e-2)

    together = jax.jit(jax.vmap(run))(starts)
    for lane, start in enumerate(starts):
        alone = run(start)
        assert together.num_steps[lane] == alone.num_steps
        assert FitStatus(int(together.status[lane])) is alone.status
        np.testing.assert_allclose(together.params[lane], alone.params, rtol=1e-5)
    assert len(set(together.num_steps.tolist())) == 3


def test_inside_jit_the_numbers_are_arrays():
    result = jax.jit(lambda p: fit(bowl, p, max_steps=5))(jnp.zeros(2, "float32"))
    assert result.status == FitStatus.MAX_STEPS
    assert result.num_steps.dtype == result.status.dtype == "int32"
    eager = fit(bowl, jnp.zeros(2, "float32"), max_steps=5)
    assert_same((result.params, result.last), (eager.params, eager.last))


def test_aux_belongs_to_the_best_parameters():
    def with_aux(params):
        return bowl(params), {"where": params, "sum": params.sum()}

    result = fit(with_aux, jnp.zeros(2, "float32"), has_aux=True, max_steps=33)
    np.testing.assert_array_equal(result.aux["where"], result.params)
    without = fit(bowl, jnp.zeros(2, "float32"), max_steps=33)
    np.testing.assert_array_equal(result.params, without.params)
    assert without.aux is None


@every_variant
def test_complex_parameters_go_down(variant):
    target = jnp.asarray([1 - 2j, 0.5j], "complex64")
    result = fit(
        lambda p: jnp.sum(jnp.abs(p - target) ** 2),
        jnp.zeros(2, "complex64"),
        optimizer=OPTIMIZERS[variant],
        step_tol=1e-4,
    )
    assert result.status is FitStatus.STEP_CONVERGED
    np.testing.assert_allclose(result.params, target, atol=1e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_other_precisions(dtype, x64):
    result = fit(bowl, jnp.zeros(2, dtype), step_tol=1e-2)
    assert result.params.dtype == result.loss.dtype == result.history.loss.dtype == dtype
    np.testing.assert_allclose(result.params.astype("float64"), [1, -2], atol=0.05)


def test_plain_numbers_and_numpy_arrays_will_do():
    result = fit(
        lambda p, x: (p["a"] - x.mean()) ** 2, {"a": 0.0}, np.ones(3), max_steps=50
    )
    assert result.params["a"].weak_type is False
    np.testing.assert_allclose(result.params["a"], 1.0, atol=0.05)


def test_sharded_data_gives_the_result_of_one_device():
    sharding = NamedSharding(mesh_of(AxisType.Auto, 4), P("x"))
    x, y = jax.device_put((X, Y), sharding)
    sharded = fit(loss_fn, START, x, y, max_steps=20)
    single = fit(loss_fn, START, X, Y, max_steps=20)
    np.testing.assert_allclose(sharded.history.loss, single.history.loss, rtol=1e-4)
    np.testing.assert_allclose(sharded.params["w"], single.params["w"], atol=1e-4)


def test_it_saves_and_restores_with_orbax(tmp_path):
    pytest.importorskip("orbax.checkpoint", reason="orbax-checkpoint is not installed")
    from orbax.checkpoint import v1 as ocp

    whole = fit(loss_fn, START, X, Y, max_steps=60)
    first = fit(loss_fn, START, X, Y, max_steps=25)
    ocp.save(tmp_path / "state", first.last)
    shapes = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), first.last
    )
    restored = ocp.load(tmp_path / "state", shapes)
    rest = fit(loss_fn, START, X, Y, max_steps=35, resume=restored)
    assert_same(
        (rest.params, rest.loss, rest.last), (whole.params, whole.loss, whole.last)
    )
