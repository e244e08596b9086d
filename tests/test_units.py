"""``in_units``: the rules bit for bit, where units come from, and ``fit``."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import (
    assert_same,
    descend,
    every_plain_rule_and_a_turned_one,
    every_variant,
    mesh_of,
    raises,
    random_losses,
    rprop_state,
)
from jax.sharding import NamedSharding, PartitionSpec
from oracle import Oracle

from optax_rprop import (
    FitStatus,
    UnitsState,
    fit,
    in_box,
    in_eigenbasis,
    in_units,
    rprop,
)
from optax_rprop._leaf import Parts

SIZES = jnp.array([500.0, -1e-4, 0.0, 3.0])


@every_variant
def test_every_step_is_that_of_the_oracle_times_the_units_bit_for_bit(variant):
    steps, size = 200, 40
    rng = np.random.default_rng(0)
    units = (10.0 ** rng.uniform(-6, 6, size)).astype("float32")
    signs = np.cumprod(rng.choice([1, -1], (steps, size), p=[0.7, 0.3]), axis=0)
    gradients = (signs * 10.0 ** rng.uniform(-9, 9, (steps, size))).astype("float32")
    gradients *= rng.choice(
        [1, 0, np.nan, np.inf], gradients.shape, p=[0.9, 0.06, 0.02, 0.02]
    )
    losses = random_losses(1, steps, "float32")
    tx = in_units(rprop(variant=variant), units)

    @jax.jit
    def run(state, gradients, losses):
        def step(state, inputs):
            gradient, loss = inputs
            updates, state = tx.update(gradient, state, value=loss)
            return state, updates

        return jax.lax.scan(step, state, (gradients, losses))

    state, updates = run(tx.init(jnp.zeros(size, "float32")), gradients, losses)
    oracle = Oracle(variant, size, np.float32)
    expected = [oracle.step(*now) for now in zip(gradients, losses, strict=True)]
    np.testing.assert_array_equal(updates, np.float32(expected) * units)
    np.testing.assert_array_equal(rprop_state(state).step_sizes, oracle.delta)
    np.testing.assert_array_equal(state.units, units)


@every_plain_rule_and_a_turned_one
def test_a_problem_in_other_units_takes_the_same_steps(make):
    """Powers of 2 round nothing, so all steps are the same bit for bit."""
    units = jnp.array([512, 2.0**-13, 1, 8])
    target = jnp.array([1.0, -2.0, 0.5, 3.0])

    def loss(x):
        distance = x - target
        return jnp.sum(distance**2) + 20 * (distance[0] + distance[1] - distance[3]) ** 2

    start = jnp.array([0.3, 0.7, -0.2, 1.1])
    plain, state = descend(make(), loss, start, 40)
    tx = in_units(make(), units)
    path, measured = descend(tx, lambda x: loss(x / units), start * units, 40)
    np.testing.assert_array_equal(np.asarray(path) / np.asarray(units), plain)
    assert_same(measured.inner_state, state)


@every_plain_rule_and_a_turned_one
def test_units_of_1_change_nothing(make):
    def loss(x):
        return jnp.sum((x - 1) ** 2) + 9 * jnp.sum(x) ** 2

    plain, state = descend(make(), loss, SIZES[2:], 30)
    path, measured = descend(in_units(make(), 1.0), loss, SIZES[2:], 30)
    np.testing.assert_array_equal(path, plain)
    assert_same(measured.inner_state, state)


def test_units_come_from_the_start():
    params = {
        "sizes": SIZES,
        "odd": jnp.array([jnp.nan, jnp.inf, -jnp.inf, -4.4e-8], "float32"),
        "half": jnp.array([-0.5, 0], "bfloat16"),
        "complex": jnp.array([3 - 4j, 0], "complex64"),
        "none": None,
    }
    state = in_units(rprop()).init(params)
    assert isinstance(state, UnitsState)
    expected = {
        "sizes": np.abs(np.where(SIZES == 0, 1, SIZES)),
        "odd": np.ones(4, "float32"),
        "half": np.float32([0.5, 1]),
        "complex": Parts(np.float32([3, 1]), np.float32([4, 1])),
        "none": None,
    }
    assert_same(state.units, expected)
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(state.units)}
    assert dtypes == {SIZES.dtype, np.dtype("float32")}


def test_units_may_be_given_for_a_leaf_an_entry_or_all():
    params = {"a": jnp.array([1.0, 2.0]), "z": jnp.array([1 + 1j, 2], "complex64")}
    given = {"a": 5.0, "z": np.array([2.0, 3.0])}
    gradients = {"a": jnp.ones(2), "z": jnp.array([1 - 1j, -1], "complex64")}
    tx = in_units(rprop(), given)
    state = tx.init(params)
    np.testing.assert_array_equal(state.units["z"].real, [2, 3])
    np.testing.assert_array_equal(state.units["z"].imag, [2, 3])
    updates, _ = tx.update(gradients, state, params)
    np.testing.assert_allclose(updates["a"], [-0.5, -0.5], rtol=1e-6)
    np.testing.assert_allclose(updates["z"], [-0.2 + 0.2j, 0.3], rtol=1e-6)
    tx = in_units(rprop(), 10.0)
    updates, _ = tx.update(gradients, tx.init(params), params)
    np.testing.assert_allclose(updates["a"], [-1, -1], rtol=1e-6)


def test_units_may_be_traced():
    @jax.jit
    def first(units):
        tx = in_units(rprop(), units)
        return tx.update(SIZES, tx.init(SIZES))[0]

    expected = -jnp.float32(0.1) * jnp.sign(SIZES).astype("float32") * 2
    np.testing.assert_allclose(first(2.0), expected, rtol=1e-6)


def test_updates_have_the_dtypes_of_the_gradients():
    params = {"h": jnp.array([2.0], "bfloat16"), "s": jnp.array([2.0], "float32")}
    tx = in_units(in_eigenbasis(rprop()))
    updates, state = tx.update(params, tx.init(params), params)
    assert jax.tree.map(lambda x: x.dtype, updates) == {
        "h": jnp.bfloat16,
        "s": np.dtype("float32"),
    }
    updates, again = jax.jit(tx.update)(params, state, params)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), again) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )


def test_abstract_parameters_make_a_state_of_the_same_types():
    tx = in_units(in_eigenbasis(rprop()))
    abstract = {"w": jax.ShapeDtypeStruct((3,), jnp.bfloat16)}
    concrete = tx.init({"w": jnp.ones(3, "bfloat16")})
    made = tx.init(abstract)
    assert jax.tree.structure(made) == jax.tree.structure(concrete)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), made) == jax.tree.map(
        lambda x: (x.shape, x.dtype), concrete
    )


@pytest.mark.parametrize("axis_type", ["Auto", "Explicit"])
def test_its_state_lies_like_the_parameters(axis_type):
    mesh = mesh_of(getattr(jax.sharding.AxisType, axis_type))
    spread = NamedSharding(mesh, PartitionSpec("x"))
    params = jax.device_put(jnp.linspace(-1, 1, 16, dtype="float32"), spread)
    tx = in_units(rprop())
    state = tx.init(params)
    updates, after = jax.jit(tx.update)(params, state, params)
    for array in jax.tree.leaves((state, after, updates)):
        if array.ndim:
            assert array.sharding.is_equivalent_to(spread, array.ndim)


def physical(x):
    """A saturating curve, of a height near 240 and a rate near 0.00055."""
    t = jnp.array([77.6, 114.9, 141.1, 190.8, 239.9, 289, 332.8, 378.4, 434.8, 477.3])
    curve = x[0] * (1 - jnp.exp(-x[1] * t))
    data = 239.0 * (1 - jnp.exp(-0.00055 * t))
    return jnp.sum((curve - data) ** 2)


def test_physical_parameters_are_found(x64):
    start = jnp.array([500.0, 1e-4])
    measured = in_units(in_eigenbasis(rprop()))
    found = fit(physical, start, optimizer=measured, target_loss=1e-9)
    assert found.status is FitStatus.TARGET_REACHED
    np.testing.assert_allclose(found.params, [239, 0.00055], rtol=1e-4)
    # Neither the directions nor the units do it alone.
    for alone in (in_units(rprop()), in_eigenbasis(rprop())):
        other = fit(physical, start, optimizer=alone, target_loss=1e-9)
        assert other.loss > 1e-3


def test_fit_sees_what_rprop_sees():
    """Signs, the promised decrease and step sizes, these in the units."""
    units = jnp.array([32, 2.0**-7])

    def loss(z):
        return jnp.sum((z - 1) ** 2)

    plain = fit(loss, jnp.array([0.3, 4.0]), step_tol=1e-3)
    measured = fit(
        lambda x: loss(x / units),
        jnp.array([0.3, 4.0]) * units,
        optimizer=in_units(rprop(), units),
        step_tol=1e-3,
    )
    assert measured.status is FitStatus.STEP_CONVERGED
    np.testing.assert_array_equal(measured.params / units, plain.params)
    assert_same(measured.history, plain.history)
    assert_same(measured.last.promised_decrease, plain.last.promised_decrease)


def test_a_box_may_be_around_it():
    optimizer = in_box(in_units(in_eigenbasis(rprop())), 0.0, jnp.array([200.0, 1.0]))
    found = fit(physical, jnp.array([100.0, 1e-4]), optimizer=optimizer)
    assert found.params[0] == 200
    assert found.loss < 1


def test_real_and_complex_leaves_may_be_flattened_inside(relaxed):
    """optax.flatten makes one complex array of both; a move has the dtype of its leaf."""
    params = {"a": jnp.array([2.0, 0.5]), "z": jnp.array([1 + 3j], "complex64")}
    tx, flat = in_units(rprop()), in_units(optax.flatten(rprop()))
    state, flat_state = tx.init(params), flat.init(params)
    for grads in (params, jax.tree.map(jnp.negative, params)):
        updates, state = tx.update(grads, state, params)
        flat_updates, flat_state = flat.update(grads, flat_state, params)
        assert_same(flat_updates, updates)


def test_lanes_of_vmap_have_units_of_their_own():
    def one(start):
        return fit(physical, start, optimizer=in_units(in_eigenbasis(rprop()))).loss

    losses = jax.vmap(one)(jnp.array([[500.0, 1e-4], [250.0, 5e-4]]))
    assert jnp.all(losses < 1e-2)


def test_any_transformation_may_be_inside():
    tx = in_units(optax.sgd(0.1), jnp.array([1.0, 10.0]))
    x = jnp.ones(2)
    updates, _ = tx.update(x, tx.init(x), x)
    np.testing.assert_allclose(updates, [-0.1, -10], rtol=1e-6)


def test_a_line_search_inside_works_in_the_units(x64, relaxed):
    """As if the parameters had these units from the start."""
    units = jnp.array([1e3, 1e-3])

    def loss(x):
        a, b = x / units - jnp.array([3.0, -2.0])
        return a**2 + a * b + 5 * b**2 + a**4

    start = jnp.array([200.0, 0.004])
    here = fit(loss, start, optimizer=in_units(optax.lbfgs(), units), max_steps=12)
    there = fit(
        lambda x: loss(x * units), start / units, optimizer=optax.lbfgs(), max_steps=12
    )
    np.testing.assert_allclose(here.history.loss, there.history.loss, rtol=1e-6)
    np.testing.assert_allclose(here.params, [3e3, -2e-3], rtol=1e-5)


def test_wrong_units_are_refused():
    hint = "A unit is a typical size of its parameter."
    with raises(
        TypeError, "in_units: inner must be an Optax transformation, got float. "
    ):
        in_units(0.1)
    with raises(
        ValueError, f"in_units: units must be positive and finite, got -1. {hint}"
    ):
        in_units(rprop(), -1)
    with raises(
        ValueError,
        f"in_units: units must be positive and finite, got 0 at leaf ['a']. {hint}",
    ):
        in_units(rprop(), {"a": np.array([0.0, 1.0])})
    with raises(
        ValueError,
        f"in_units: units must be positive and finite, got nan at leaf ['a']. {hint}",
    ):
        in_units(rprop(), {"a": np.nan})
    with raises(TypeError, "in_units: units must be a real number, got str. "):
        in_units(rprop(), "relative")
    with raises(
        ValueError,
        "in_units.init: units must be a number or a tree like the parameters, got none "
        "for leaf ['b']. A leaf of it is a number or an array of the shape of its "
        "parameter.",
    ):
        in_units(rprop(), {"a": 1.0}).init({"a": SIZES, "b": SIZES})
    with raises(
        ValueError,
        "in_units.init: units must have the shape of its parameter, got (3,) instead of "
        "(4,) at the only leaf. One number holds for all entries.",
    ):
        in_units(rprop(), np.ones(3)).init(SIZES)


@pytest.mark.parametrize(("unit", "held"), [(1e-50, "0"), (1e39, "inf")])
def test_units_that_the_dtype_can_not_hold_are_refused(unit, held):
    with raises(
        ValueError,
        "in_units.init: units must be positive and finite as float32 has them, got "
        f"{held} at the only leaf. A unit is a typical size of its parameter.",
    ):
        in_units(rprop(), unit).init(jnp.ones(2, "float32"))


def test_a_unit_may_be_an_injected_number():
    tx = optax.inject_hyperparams(in_units)(rprop(), units=2.0)
    state = tx.init(jnp.ones(2, "complex64"))
    np.testing.assert_array_equal(state.inner_state.units.imag, [2, 2])


def test_what_may_not_be_inside_is_refused():
    with raises(
        TypeError,
        "in_units.init: inner must have no bounds, got in_box. Bounds belong to the "
        "parameters as they are: put in_box around in_units.",
    ):
        in_units(in_box(rprop(), -9.0, 9.0)).init(SIZES)
    with raises(
        TypeError,
        "in_eigenbasis.init: inner must have no units, got in_units. Units belong to "
        "parameters, not to directions: put in_units around in_eigenbasis.",
    ):
        in_eigenbasis(in_units(rprop())).init(SIZES)


def test_wrong_updates_are_refused():
    tx = in_units(rprop())
    state = tx.init(SIZES)
    with raises(
        TypeError, "in_units.update: state must be of type UnitsState, got tuple. "
    ):
        tx.update(SIZES, state.inner_state)
    with raises(
        ValueError,
        "in_units.update: the parameters must have the tree structure of the gradients, "
        "got PyTreeDef([*]). They are measured in units; params=None will do for Rprop.",
    ):
        tx.update(SIZES, state, [SIZES])
    with raises(
        ValueError, "in_units.update: every gradient must have the shape of its "
    ):
        tx.update(SIZES[:3], state)
    with raises(
        ValueError,
        "in_units.update: units of the state must have the structure, shapes and dtypes "
        f"of what init makes, got float16[4] instead of {SIZES.dtype}[4] at the only "
        "leaf. A checkpoint restored into another dtype is cast silently; make the "
        "target with init.",
    ):
        tx.update(SIZES, state._replace(units=SIZES.astype("float16")), SIZES)


def test_units_that_no_start_leads_to_are_refused():
    tx = in_box(in_units(rprop()), None, None)
    rule = "units of the state must be positive and finite, got 0 at leaf "

    def loss(params):
        return jnp.sum(params**2)

    last = fit(loss, SIZES, optimizer=tx, max_steps=1).last
    measured = last.opt_state.inner_state
    state = last.opt_state._replace(
        inner_state=measured._replace(units=jnp.zeros_like(SIZES))
    )
    with raises(
        ValueError,
        f"in_units.update: {rule}.units. The state is what init returned, and then what "
        "the last update returned.",
    ):
        tx.update(SIZES, state, SIZES)
    with raises(
        ValueError,
        f"fit: {rule}.opt_state.inner_state.units. Pass result.last of a fit with the "
        "same parameters and the same kind of optimizer.",
    ):
        fit(loss, SIZES, optimizer=tx, resume=last._replace(opt_state=state))
