"""On eight devices: the state lies where its parameters lie, and stays there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from runs import every_rule, rprop_state

from optax_rprop import VARIANTS, rprop

every_variant = pytest.mark.parametrize("variant", VARIANTS)
COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-permute",
    "reduce-scatter",
)


def mesh_of(axis_type):
    return jax.make_mesh((8,), ("x",), axis_types=(axis_type,))


def sharded_params(mesh):
    sharding = NamedSharding(mesh, P(None, "x"))
    return {
        "half": jax.device_put(jnp.ones((2, 8, 4), "float16"), sharding),
        "complex": jax.device_put(jnp.ones((2, 8), "complex64"), sharding),
    }


def types(tree):
    return jax.tree.map(jax.typeof, tree)


@every_variant
def test_explicit_sharding_is_part_of_the_type(variant):
    mesh = mesh_of(AxisType.Explicit)
    tx = rprop(variant=variant)
    with jax.set_mesh(mesh):
        params = sharded_params(mesh)
        eager, compiled = tx.init(params), jax.jit(tx.init)(params)
        updates, updated = tx.update(params, eager, params, value=1.0)
        _, compiled_update = jax.jit(tx.update)(params, compiled, params, value=1.0)
    for state in (eager, compiled, updated, compiled_update):
        assert types(state) == types(eager)
        assert rprop_state(state).prev_signs["half"].sharding.spec[1] == "x"
        assert rprop_state(state).step_sizes["complex"].shape == (2, 8, 2)
        assert rprop_state(state).step_sizes["complex"].sharding.spec[1] == "x"
    assert types(updates) == types(params)


@every_variant
def test_eager_init_under_automatic_axes_keeps_the_sharding(variant):
    mesh = mesh_of(AxisType.Auto)
    params = sharded_params(mesh)
    state = rprop_state(rprop(variant=variant).init(params))
    for leaf in (state.step_sizes["half"], state.prev_signs["half"]):
        assert leaf.sharding.is_equivalent_to(params["half"].sharding, 3)
    for leaf in (state.step_sizes["complex"], state.prev_signs["complex"]):
        assert leaf.sharding.is_equivalent_to(NamedSharding(mesh, P(None, "x")), 3)


@every_rule
def test_the_compiled_update_holds_no_collective(make):
    mesh = mesh_of(AxisType.Auto)
    params = sharded_params(mesh)
    tx = make()
    state = tx.init(params)
    compiled = jax.jit(tx.update).lower(params, state, params, value=1.0).compile()
    program = compiled.as_text()
    assert "fusion" in program  # it is a compiled program that we read
    assert not [name for name in COLLECTIVES if name in program]
    updates, new_state = compiled(params, state, params, value=jnp.asarray(1.0))
    same = jax.tree.map(
        lambda a, b: a.sharding.is_equivalent_to(b.sharding, a.ndim),
        (updates, rprop_state(new_state)[:2]),
        (params, rprop_state(state)[:2]),
    )
    assert all(jax.tree.leaves(same))


@every_rule
def test_eight_devices_take_the_steps_of_one(make):
    mesh = mesh_of(AxisType.Auto)
    rng = np.random.default_rng(0)
    gradients = jnp.asarray(rng.normal(size=(6, 8, 3)), "float32")
    tx = make()

    def run(place):
        state, every = tx.init(place(gradients[0])), []
        for i, gradient in enumerate(gradients):
            updates, state = tx.update(place(gradient), state, value=float(i % 3))
            every.append(np.asarray(updates))
        return np.stack(every)

    sharding = NamedSharding(mesh, P("x"))
    sharded = run(lambda leaf: jax.device_put(leaf, sharding))
    np.testing.assert_array_equal(sharded, run(lambda leaf: leaf))
