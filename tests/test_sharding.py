"""On eight devices: the state lies where its parameters lie, and stays there."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import (
    every_plain_rule,
    every_plain_rule_and_a_turned_one,
    every_rule,
    every_variant,
    mesh_of,
    one_turned_rule,
    regression,
    rprop_state,
)
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from program_reader import Program, kernels
from programs import fitted, hand_written

from optax_rprop import fit, rprop
from optax_rprop._fit import _drive, _fit


def sharded_params(mesh):
    sharding = NamedSharding(mesh, P(None, "x"))
    return {
        "half": jax.device_put(jnp.ones((2, 8, 4), "float16"), sharding),
        "complex": jax.device_put(jnp.ones((2, 8), "complex64"), sharding),
    }


def assert_in_the_places_of(these, those):
    """The leaves of ``those`` lie on the devices as the leaves of ``these`` do."""
    for a, b in zip(*map(jax.tree.leaves, (these, those)), strict=True):
        assert a.sharding.is_equivalent_to(b.sharding, a.ndim)


def types(tree):
    return jax.tree.map(jax.typeof, tree)


@every_plain_rule_and_a_turned_one
def test_explicit_sharding_is_part_of_the_type(make):
    mesh = mesh_of(AxisType.Explicit)
    tx = make()
    with jax.set_mesh(mesh):
        params = sharded_params(mesh)
        eager, compiled = tx.init(params), jax.jit(tx.init)(params)
        updates, updated = tx.update(params, eager, params, value=1.0)
        _, compiled_update = jax.jit(tx.update)(params, compiled, params, value=1.0)
    for state in (eager, compiled, updated, compiled_update):
        assert types(state) == types(eager)
        assert rprop_state(state).prev_signs["half"].sharding.spec[1] == "x"
        for part in rprop_state(state).step_sizes["complex"]:
            assert part.shape == (2, 8)
            assert part.sharding.spec[1] == "x"
    assert types(updates) == types(params)


@every_rule
def test_eager_init_under_automatic_axes_keeps_the_sharding(make):
    mesh = mesh_of(AxisType.Auto)
    params = sharded_params(mesh)
    state = rprop_state(make().init(params))
    for leaf in (state.step_sizes["half"], state.prev_signs["half"]):
        assert leaf.sharding.is_equivalent_to(params["half"].sharding, 3)
    for leaf in (*state.step_sizes["complex"], *state.prev_signs["complex"]):
        assert leaf.sharding.is_equivalent_to(NamedSharding(mesh, P(None, "x")), 3)


@every_plain_rule
def test_the_compiled_update_holds_no_collective(make):
    mesh = mesh_of(AxisType.Auto)
    params = sharded_params(mesh)
    tx = make()
    state = tx.init(params)
    compiled = jax.jit(tx.update).lower(params, state, params, value=1.0).compile()
    program = Program(compiled)
    assert kernels(program.entry)  # it is a compiled program that we read
    assert not program.collectives
    updates, new_state = compiled(params, state, params, value=jnp.asarray(1.0))
    assert_in_the_places_of(params, updates)
    assert_in_the_places_of(rprop_state(state)[:2], rprop_state(new_state)[:2])


@one_turned_rule
def test_only_products_are_sent_in_a_turned_basis(make):
    """Arrays no larger than a leaf or its bases, and a few flags."""
    mesh = mesh_of(AxisType.Auto)
    params = sharded_params(mesh)
    tx = make()
    state = tx.init(params)
    compiled = jax.jit(tx.update).lower(params, state, params, value=1.0).compile()
    sent = {array for op in Program(compiled).collectives for array in op.results}
    assert sent
    for array in sent:
        assert array.dtype in ("f32", "pred")
        assert array.size <= (64 if array.dtype == "f32" else 1)
    updates, new_state = compiled(params, state, params, value=jnp.asarray(1.0))
    assert_in_the_places_of(params, updates)
    assert_in_the_places_of(state.prev_grads, new_state.prev_grads)
    assert_in_the_places_of(rprop_state(state)[:2], rprop_state(new_state)[:2])


@one_turned_rule
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_eight_devices_take_the_steps_of_one_to_rounding(make, axis_type):
    """A product along a sharded axis is summed in another order."""
    init, update = make()
    sharded, alone = steps_on_eight_devices_and_one(init, jax.jit(update), axis_type)
    np.testing.assert_allclose(sharded, alone, atol=1e-5)


@every_plain_rule
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_eight_devices_take_the_steps_of_one(make, axis_type):
    sharded, alone = steps_on_eight_devices_and_one(*make(), axis_type)
    np.testing.assert_array_equal(sharded, alone)


def steps_on_eight_devices_and_one(init, update, axis_type):
    mesh = mesh_of(axis_type)
    rng = np.random.default_rng(0)
    gradients = jnp.asarray(rng.normal(size=(6, 8, 3)), "float32")

    def run(place):
        state, every = init(place(gradients[0])), []
        for i, gradient in enumerate(gradients):
            updates, state = update(place(gradient), state, value=float(i % 3))
            every.append(np.asarray(updates))
        return np.stack(every)

    sharding = NamedSharding(mesh, P("x"))
    with jax.set_mesh(mesh):
        sharded = run(lambda leaf: jax.device_put(leaf, sharding))
    return sharded, run(lambda leaf: leaf)


@every_rule
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_the_recipe_for_a_jitted_init(make, axis_type):
    """A plain ``jit(tx.init)`` leaves it to XLA where a constant lies."""
    mesh, tx = mesh_of(axis_type), make()
    with jax.set_mesh(mesh):
        params = sharded_params(mesh)
        shardings = optax.tree_utils.tree_map_params(
            tx.init,
            lambda _, like_params: like_params,
            jax.eval_shape(tx.init, params),
            jax.tree.map(lambda param: param.sharding, params),
            transform_non_params=lambda _: NamedSharding(mesh, P()),
            is_leaf=lambda _: True,
        )
        state = jax.jit(tx.init, out_shardings=shardings)(params)
        eager = tx.init(params)
    for ours, theirs in zip(*map(jax.tree.leaves, (state, eager)), strict=True):
        assert ours.sharding.is_equivalent_to(theirs.sharding, ours.ndim) or not ours.ndim
        np.testing.assert_array_equal(ours, theirs)


def regression_data():
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.normal(size=(64, 16)), "float32")
    params = {
        "w": jnp.asarray(rng.normal(size=(16, 8)), "float32"),
        "v": jnp.ones(8, "float32"),
    }
    return params, x, jnp.sin(x[:, 0])


# Under explicit axes a loss of fully sharded parameters has to gather them itself.
@pytest.mark.parametrize(
    ("axis_type", "spec"),
    [(AxisType.Auto, P()), (AxisType.Explicit, P()), (AxisType.Auto, P("x"))],
    ids=["replicated", "replicated-explicit", "fully-sharded"],
)
@every_variant
def test_a_fit_to_sharded_data(variant, spec, axis_type):
    mesh = mesh_of(axis_type)
    params, *data = regression_data()
    settings = {"optimizer": rprop(variant=variant), "max_steps": 12}
    alone = fit(regression, params, *data, **settings)
    with jax.set_mesh(mesh):
        sharded = jax.device_put(data, NamedSharding(mesh, P("x")))
        start = jax.device_put(params, NamedSharding(mesh, spec))
        result = fit(regression, start, *sharded, **settings)
    np.testing.assert_allclose(result.history.loss, alone.history.loss, rtol=1e-4)
    for ours, theirs in zip(
        *map(jax.tree.leaves, (result.params, alone.params)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    state = rprop_state(result.last.opt_state)
    for leaf in jax.tree.leaves((result.params, state.step_sizes, state.prev_signs)):
        assert leaf.sharding.is_equivalent_to(NamedSharding(mesh, spec), leaf.ndim)


@pytest.mark.parametrize(
    ("axis_type", "spec"),
    [(AxisType.Explicit, P()), (AxisType.Auto, P("x"))],
    ids=["replicated-explicit", "fully-sharded"],
)
@one_turned_rule
def test_a_fit_to_sharded_data_in_a_turned_basis(make, spec, axis_type):
    """At a refresh, rounding decides on directions without curvature."""
    mesh = mesh_of(axis_type)
    params, *data = regression_data()
    settings = {"optimizer": make(), "max_steps": 40}
    alone = fit(regression, params, *data, **settings)
    with jax.set_mesh(mesh):
        sharded = jax.device_put(data, NamedSharding(mesh, P("x")))
        start = jax.device_put(params, NamedSharding(mesh, spec))
        result = fit(regression, start, *sharded, **settings)
    before_it = slice(4)
    np.testing.assert_allclose(
        result.history.loss[before_it], alone.history.loss[before_it], rtol=1e-4
    )
    np.testing.assert_allclose(result.loss, alone.loss, atol=0.02)
    assert alone.loss < 0.03
    state = result.last.opt_state
    for leaf in jax.tree.leaves(
        (result.params, state.prev_grads, rprop_state(state).step_sizes)
    ):
        assert leaf.sharding.is_equivalent_to(NamedSharding(mesh, spec), leaf.ndim)


@every_plain_rule_and_a_turned_one
def test_only_loss_and_gradient_are_reduced(make):
    """Data sharded, parameters replicated: the loop of a fit, and a step by hand."""
    mesh, tx = mesh_of(AxisType.Auto), make()
    params, *data = regression_data()
    params = jax.device_put(params, NamedSharding(mesh, P()))
    data = jax.device_put(data, NamedSharding(mesh, P("x")))

    step = jax.jit(hand_written(regression, tx))
    by_hand = step.lower(params, tx.init(params), *data).compile()

    in_a_fit = jax.jit(fitted(regression, tx, 5)).lower(params, *data).compile()
    shapes = {(), (8,), (16, 8), (8, 16)}
    for program in (by_hand, in_a_fit):
        found = Program(program).collectives
        assert found
        for operation in found:
            assert operation.kind == "all-reduce"
            for array in operation.results:
                assert array.dtype == "f32"
                assert array.shape in shapes


def test_sharded_parameters_are_gathered_for_the_loss_alone(monkeypatch):
    """Small arrays are not summed up as one where each would have to be gathered."""
    mesh, tx = mesh_of(AxisType.Auto), rprop()
    place = NamedSharding(mesh, P("x"))
    params = jax.device_put({"a": jnp.ones((8, 16)), "b": jnp.ones((16, 8))}, place)

    def loss(params):
        return jnp.mean((params["a"] @ params["b"]) ** 2)

    programs = []

    class Recorded(_drive.Programs):
        def __init__(self, loop):
            super().__init__(loop)
            run = self.run

            def recorded(*args):
                programs.append(Program(run.lower(*args).compile()))
                return run(*args)

            self.run = recorded

    monkeypatch.setattr(_fit, "Programs", Recorded)
    fit(loss, params, optimizer=tx, max_steps=5)
    gathers = [op for op in programs[0].collectives if op.kind == "all-gather"]
    assert 0 < len(gathers) <= 2
