"""``fit`` where things go wrong: it must never be silently wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_same, bowl, every_rule, every_variant, mesh_of
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from optax_rprop import FitStatus, fit, in_box, in_eigenbasis, in_units, rprop, rprop_8bit


def cliff(p):
    """A steep slope towards 1, and beyond it a worse place with a shallow minimum."""
    return jnp.sum(jnp.where(p < 1.2, 10 * jnp.abs(p - 1), 100 + 0.1 * (p - 5) ** 2))


RESTS = [{"step_tol": 1e-3}, {"patience": 30}]


@pytest.mark.parametrize("rest", RESTS)
@every_variant
def test_a_step_over_the_cliff_is_taken_back(variant, rest):
    start = jnp.asarray([0.0], "float32")
    result = fit(cliff, start, optimizer=rprop(3.0, variant=variant), **rest)
    assert result.status in (FitStatus.STEP_CONVERGED, FitStatus.STALLED)
    np.testing.assert_allclose(result.params, 1.0, atol=1e-2)


def test_at_rest_in_a_worse_place_it_says_so(relaxed):
    """The first step of 3 leads over the cliff, and no way leads back."""
    start = jnp.asarray([0.0], "float32")
    result = fit(cliff, start, optimizer=optax.adam(3.0), patience=30)
    assert result.status is FitStatus.WORSE_THAN_BEST
    assert result.best_step == 0
    np.testing.assert_array_equal(result.params, start)
    assert result.loss == 10 * len(start)
    assert result.gradient_max == 10
    assert result.last_loss == cliff(result.last.params) >= 100


def shelf(p):
    """A bowl around 0.4, and from 1 on a plateau."""
    return jnp.where(p < 1, (p - 0.4) ** 2, 7.0)


def test_on_a_plateau_that_is_worse_than_the_best_it_says_so(relaxed):
    """The first step leads to where every gradient is zero."""
    result = fit(shelf, jnp.asarray(0.0, "float32"), optimizer=optax.adam(3.0))
    assert result.status is FitStatus.WORSE_THAN_BEST
    assert result.last_loss == 7
    assert result.params == 0


@every_rule
def test_from_a_plateau_that_is_worse_rprop_goes_back(make):
    start = jnp.asarray(0.0, "float32")
    result = fit(shelf, start, optimizer=make(2.0), step_tol=1e-3)
    assert result.status is not FitStatus.WORSE_THAN_BEST
    np.testing.assert_allclose(result.params, 0.4, atol=1e-2)
    assert result.best_step > 0


def test_where_the_loss_is_hidden_from_rprop_it_does_not_go_back_for_ever():
    """Its steps are not halved, so it comes to the same plateau again and again."""
    inner = rprop(2.0)

    def update(grads, state, params=None):
        return inner.update(grads, state, params)

    hidden = optax.GradientTransformation(inner.init, update)
    result = fit(shelf, jnp.asarray(0.0, "float32"), optimizer=hidden)
    assert result.status is FitStatus.WORSE_THAN_BEST
    assert result.num_steps < 100


def test_on_a_plateau_from_the_first_it_is_stationary():
    result = fit(shelf, jnp.asarray(2.0, "float32"))
    assert result.status is FitStatus.STATIONARY
    assert result.num_steps == 1


@pytest.mark.parametrize("rest", RESTS)
@every_rule
def test_a_fit_that_converges_is_not_said_to_be_elsewhere(make, rest):
    """Its last losses differ from the best by much, relative to a best of about 0."""
    result = fit(bowl, jnp.zeros(2, "float32"), optimizer=make(), **rest)
    assert result.status is not FitStatus.WORSE_THAN_BEST
    assert result.gradient_max < 0.1


def test_a_constant_in_the_loss_hides_no_bad_end(relaxed):
    start = jnp.asarray(2.7, "float32")
    result = fit(lambda p: 100 + jnp.tanh(p - 3) ** 2, start, optimizer=optax.adam(20.0))
    assert result.status is FitStatus.WORSE_THAN_BEST
    assert result.best_step == 0
    assert result.gradient_max > 0.5


def test_where_the_best_was():
    """Down from 10: the loss falls at every step, so the last evaluation is the best."""
    result = fit(lambda p: p**2, jnp.asarray(10.0, "float32"), max_steps=3)
    assert (result.best_step, result.num_steps) == (3, 3)
    assert result.last_loss == result.loss
    np.testing.assert_allclose(result.gradient_max, 2 * result.params)
    again = fit(lambda p: p**2, result.params, max_steps=2, resume=result.last)
    assert again.best_step == 5
    assert again.last.num_steps == 5


def root(params):
    """Finite everywhere, with a gradient that is NaN below 0."""
    return jnp.sum(jnp.where(params > 0, jnp.sqrt(params), 0.0) + 1.0)


def test_nan_gradients_have_a_status():
    for rules in ({}, *RESTS):
        result = fit(root, -jnp.ones(2, "float32"), **rules)
        assert result.status is FitStatus.NAN_GRADIENT
        assert result.num_steps == 1
        assert np.isnan(result.gradient_max)


def test_a_nan_coordinate_does_not_keep_the_others_from_converging():
    def loss(params):
        return bowl(params["good"]) + root(params["bad"])

    start = {"good": jnp.zeros(2, "float32"), "bad": -jnp.ones(1, "float32")}
    result = fit(loss, start, step_tol=1e-3)
    assert result.status is FitStatus.NAN_GRADIENT
    assert result.num_steps < 200
    np.testing.assert_allclose(result.params["good"], [1, -2], atol=5e-3)
    assert fit(loss, start, max_steps=5).status is FitStatus.NAN_GRADIENT


def never_finite(params):
    return jnp.sum(params) * jnp.nan


def test_a_target_of_infinity_is_not_reached_without_a_finite_loss():
    start = jnp.zeros(2, "float32")
    result = fit(never_finite, start, target_loss=float("inf"))
    assert result.status is FitStatus.NONFINITE
    assert result.loss == np.inf
    assert np.isnan(result.gradient_max)
    assert fit(bowl, start, target_loss=np.inf).status is FitStatus.TARGET_REACHED


def test_nan_from_the_start_is_not_stalled():
    result = fit(never_finite, jnp.zeros(2, "float32"), patience=1)
    assert result.status is FitStatus.NONFINITE


def test_a_fit_whose_best_is_at_the_target_does_not_go_on():
    start = jnp.zeros(2, "float32")
    first = fit(bowl, start, max_steps=40)
    again = fit(bowl, start, resume=first.last, target_loss=first.loss)
    assert again.status is FitStatus.TARGET_REACHED
    assert again.num_steps == 0
    assert np.isnan(again.history.loss).all()
    np.testing.assert_array_equal(again.params, first.params)


def test_more_steps_than_a_count_has_room_for():
    start, optimizer = jnp.zeros(2, "float32"), rprop()
    first = fit(bowl, start, optimizer=optimizer, max_steps=5)
    rest = fit(
        bowl,
        start,
        optimizer=optimizer,
        max_steps=2**31 - 1,
        resume=first.last,
        history=False,
        patience=50,
    )
    assert rest.status is FitStatus.STALLED
    assert 50 < rest.num_steps < 300


def test_step_tol_is_compared_with_the_bound_of_this_very_fit():
    """A state to resume from may bring another bound of the 8-bit form with it."""
    start, fine, coarse = jnp.zeros(2, "float32"), rprop_8bit(), rprop_8bit(2**-3, 2**-6)
    last = fit(bowl, start, optimizer=coarse, max_steps=3).last
    for _ in range(2):
        with pytest.raises(ValueError, match="step_tol must be at least min_step_size"):
            fit(bowl, start, optimizer=fine, step_tol=2**-10, resume=last)
        fit(bowl, start, optimizer=fine, step_tol=2**-10)


def barrier(params):
    """NaN below 0; least at 1/4."""
    return jnp.sum(params - jnp.sqrt(params))


def without_extra_args(tx):
    return optax.GradientTransformation(tx.init, lambda g, s, p=None: tx.update(g, s, p))


WRAPPERS = {
    "apply_if_finite": lambda tx: optax.apply_if_finite(tx, 3),
    "split_real_and_imaginary": optax.contrib.split_real_and_imaginary,
    "two arguments": without_extra_args,
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("variant", ["rprop-", "irprop-", "rprop+"])
def test_a_wrapper_that_hides_the_loss_does_not_make_it_cycle(wrap, variant, relaxed):
    start = jnp.asarray([3.0, 2.0], "float32")
    optimizer = wrap(rprop(1.0, variant=variant))
    result = fit(barrier, start, optimizer=optimizer, max_steps=300)
    losses = result.history.loss
    assert np.count_nonzero(~np.isfinite(losses)) <= 60
    assert np.isfinite(result.loss)
    assert result.status is FitStatus.NONFINITE or losses[-1] < -0.49


def waves(params):
    return jnp.sum(jnp.cos(4 * params) + 0.1 * params**2)


@pytest.mark.parametrize("shape", [(6, 1), (2, 3), (4,), ()])
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_flattened_rprop_has_the_diagnostics_of_rprop(shape, dtype, relaxed):
    start = {
        "a": jnp.linspace(-1, 1, 6).reshape(6, 1).astype(dtype),
        "b": jnp.full(shape, 0.3, dtype),
    }

    def loss(params):
        leaves = [
            leaf.view("float32") if leaf.ndim else leaf.real
            for leaf in jax.tree.leaves(params)
        ]
        return sum(map(waves, leaves))

    plain = fit(loss, start, max_steps=40)
    flat = fit(loss, start, optimizer=optax.flatten(rprop()), max_steps=40)
    np.testing.assert_array_equal(flat.history.loss, plain.history.loss)
    np.testing.assert_allclose(flat.history.flip_fraction, plain.history.flip_fraction)
    assert (np.asarray(flat.history.flip_fraction) <= 1).all()


def test_flattened_rprop_stops_where_rprop_does(relaxed):
    def loss(params):  # the first has no gradient
        return jnp.sum((params[1:] - 0.3) ** 2)

    start = jnp.zeros((3, 1), "float32")
    plain = fit(loss, start, step_tol=1e-3)
    flat = fit(loss, start, optimizer=optax.flatten(rprop()), step_tol=1e-3)
    assert flat.status is plain.status is FitStatus.STEP_CONVERGED
    assert flat.num_steps == plain.num_steps


every_wrapper = pytest.mark.parametrize(
    "inner",
    [rprop(), in_box(rprop(), -2.0, 2.0), in_eigenbasis(), in_units()],
    ids=["rprop", "in_box", "in_eigenbasis", "in_units"],
)


@every_wrapper
def test_a_wrapper_that_reshapes_the_tree_has_no_flips(inner, relaxed):
    def in_a_list(tree):
        return tree if tree is None else [tree[:1], tree[1:]]

    def update(grads, state, params, **extra):
        parts, params = in_a_list(grads), in_a_list(params)
        updates, state = inner.update(parts, state, params, value=extra["value"])
        return jnp.concatenate(updates), state

    optimizer = optax.GradientTransformationExtraArgs(
        lambda params: inner.init(in_a_list(params)), update
    )
    result = fit(bowl, jnp.zeros(2, "float32"), optimizer=optimizer)
    assert result.history.flip_fraction is None
    assert np.isfinite(result.history.step_size_mean[0])
    assert result.loss < 1e-6


def test_split_parts_are_known(relaxed):
    """The two arrays of Optax's wrapper are those of a complex leaf in a state."""

    def loss(p):
        return jnp.sum(jnp.abs(p - (1 - 2j)) ** 2)

    start = jnp.ones(2, "complex64")
    plain = fit(loss, start, step_tol=1e-3, optimizer=rprop())
    wrapped = optax.contrib.split_real_and_imaginary(rprop())
    split = fit(loss, start, step_tol=1e-3, optimizer=wrapped)
    assert_same(split.history, plain.history)
    assert split.status is plain.status is FitStatus.STEP_CONVERGED


def test_half_precisions_mix():
    def loss(p):
        return sum(jnp.sum((x.astype("float32") - 1) ** 2) for x in p)

    start = [jnp.zeros(2, "float16"), jnp.zeros(2, "bfloat16")]
    assert fit(loss, start).loss < 1e-4


UNTRAINED = {
    "a label mistyped": optax.partition(
        {"train": rprop(), "freeze": optax.set_to_zero()}, {"w": "freeze"}
    ),
    "all masked": optax.chain(optax.masked(rprop(), False), optax.set_to_zero()),
    "by Adam": optax.partition(
        {"rprop": rprop(), "adam": optax.adam(0.1)}, {"w": "adam"}
    ),
}


@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize("optimizer", UNTRAINED.values(), ids=UNTRAINED)
def test_where_no_leaf_has_a_step_size(optimizer, history, relaxed):
    """A fit without diagnostics."""
    start = {"w": jnp.zeros(2, "float32")}
    result = fit(
        lambda p: bowl(p["w"]), start, optimizer=optimizer, max_steps=5, history=history
    )
    assert result.num_steps == 5
    if history:
        assert set(result.history[1:]) == {None}


@pytest.mark.parametrize(("dtype", "value"), [("float16", 10.0), ("bfloat16", 1.0)])
def test_microbatches_sum_in_float32(dtype, value):
    def loss(p, x):
        return jnp.mean((p - x) ** 2)

    data = jnp.full(1000, value, dtype)
    whole = fit(loss, jnp.zeros((), dtype), data, max_steps=100)
    slices = fit(loss, jnp.zeros((), dtype), data, max_steps=100, microbatch_size=1)
    assert slices.status is whole.status
    assert slices.loss.dtype == dtype
    np.testing.assert_array_equal(slices.history.loss[:10], whole.history.loss[:10])


def test_a_float16_parameter_survives_steps_beyond_its_range():
    tx = rprop(learning_rate=7e4, max_step_size=1e6)
    x = jnp.zeros((), "float16")
    state = tx.init(x)
    moves = []
    for gradient in (1.0, 1.0, -1.0, -1.0):
        update, state = tx.update(jnp.asarray(gradient, "float16"), state)
        moves.append(float(update))
    assert moves[:3] == [-65504, -65504, 0]
    assert np.isfinite(moves).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_size_never_becomes_zero(dtype, x64, relaxed):
    """With a lower bound of 0 it would stay 0 for good."""
    tx = rprop(min_step_size=0, variant="rprop-")
    gradient = jnp.ones(1, dtype)

    def flip(i, carry):
        state, _ = carry
        update, state = tx.update(gradient * (-1) ** i, state)
        return state, update

    state, update = jax.lax.fori_loop(0, 2000, flip, (tx.init(gradient), gradient))
    assert 0 < state[0].step_sizes[0] < 1e-37
    assert update[0] != 0
    _, state = tx.update(jnp.sign(-update), state)
    assert state[0].step_sizes[0] > 0


@pytest.mark.parametrize(
    "tx",
    [rprop(), rprop_8bit(), in_eigenbasis(rprop())],
    ids=["rprop", "8bit", "turned"],
)
def test_with_the_debug_flags_of_jax(tx):
    start = jnp.zeros(2, "float32")
    with jax.debug_nans(True), jax.debug_infs(True):
        state = tx.init(start)
        state = jax.jit(tx.init)(start)
        tx.update(start + 1, state, value=1.0)
        plain = fit(bowl, start, optimizer=tx, max_steps=20)
        told = fit(bowl, start, optimizer=tx, max_steps=20, progress=lambda *_: None)
        jax.jit(lambda p: fit(bowl, p, optimizer=tx, history=False).loss)(start)
    assert plain.loss == told.loss


@pytest.mark.parametrize(
    "optimizer",
    [rprop(), optax.adam(0.1), in_eigenbasis(rprop())],
    ids=["rprop", "adam", "turned"],
)
def test_an_ensemble_under_shard_map(optimizer, relaxed):
    """Each device fits a member of its own."""
    mesh = jax.make_mesh((4,), ("x",), axis_types=(AxisType.Auto,))
    starts = jnp.arange(4, dtype="float32")

    def loss(p):
        return jnp.sum((p - 3) ** 2)

    def member(start):
        result = fit(loss, start, optimizer=optimizer, max_steps=20)
        return result.loss[None], result.params

    sharded = jax.shard_map(
        member, mesh=mesh, in_specs=P("x"), out_specs=(P("x"), P("x"))
    )
    losses, params = jax.jit(sharded)(starts)
    for i, start in enumerate(starts):
        alone = fit(loss, start[None], optimizer=optimizer, max_steps=20)
        np.testing.assert_allclose(losses[i], alone.loss, rtol=1e-5)
        np.testing.assert_allclose(params[i], alone.params[0], rtol=1e-5)


TWICE = {
    "lbfgs": optax.lbfgs(),
    "a hyperparameter": optax.inject_hyperparams(rprop)(learning_rate=jnp.float32(0.1)),
    "a key": optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(3)), rprop()),
}


@pytest.mark.parametrize("optimizer", TWICE.values(), ids=TWICE)
def test_what_an_optimizer_keeps_is_not_given_away(optimizer, relaxed):
    """Its init may return one array twice, or one that it returns again for the next."""
    sharding = NamedSharding(mesh_of(AxisType.Auto), P("x"))
    start = jax.device_put(jnp.zeros(16, "float32"), sharding)
    losses = [
        fit(
            lambda p: jnp.mean((p - 1) ** 2), start, optimizer=optimizer, max_steps=9
        ).loss
        for _ in range(2)
    ]
    assert losses[0] == losses[1] < 1


@pytest.mark.parametrize("of", ["params", "data"])
def test_explicit_axes_without_set_mesh(of):
    sharding = NamedSharding(mesh_of(AxisType.Explicit), P("x"))
    start, data = jnp.zeros(16, "float32"), jnp.ones(16, "float32")
    if of == "params":
        start = jax.device_put(start, sharding)
    else:
        start, data = jnp.zeros((), "float32"), jax.device_put(data, sharding)
    result = fit(lambda p, x: jnp.mean((p - x) ** 2), start, data, step_tol=1e-4)
    assert result.status is FitStatus.STEP_CONVERGED
    assert np.isfinite(result.history.loss).all()


@every_rule
def test_a_step_with_the_loss_under_shard_map(make):
    mesh = jax.make_mesh((4,), ("x",), axis_types=(AxisType.Auto,))
    tx = make()

    def member(start):
        def step(carry, _):
            params, state = carry
            value, grads = jax.value_and_grad(lambda p: jnp.sum((p - 3) ** 2))(params)
            updates, state = tx.update(grads, state, params, value=value)
            return (params + updates, state), None

        (params, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=60)
        return params

    sharded = jax.shard_map(member, mesh=mesh, in_specs=P("x"), out_specs=P("x"))
    params = jax.jit(sharded)(jnp.arange(4, dtype="float32"))
    np.testing.assert_allclose(params, 3.0, atol=0.05)


def test_100_scalars_are_worked_on_as_one():
    """The diagnostics of a scalar each would take longer to compile than the loss."""
    start = {f"p{i:02}": jnp.zeros((), "float32") for i in range(20)}

    def loss(params):
        return sum((p - 1) ** 2 for p in params.values())

    program = str(jax.make_jaxpr(lambda p: fit(loss, p, max_steps=5))(start))
    for reduction in ("reduce_max", "reduce_sum", "argmax"):
        assert program.count(f"= {reduction}") < 20
