"""The first step sizes: one number, a tree like the parameters, or in proportion."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_same, every_rule, raises, rprop_state
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from optax_rprop import fit, rprop, rprop_8bit

factories = pytest.mark.parametrize("make", [rprop, rprop_8bit], ids=["rprop", "8bit"])


def sizes(tx, params):
    return rprop_state(tx.init(params)).step_sizes


@every_rule
def test_a_tree_of_one_number_is_that_number(make):
    params = {"w": jnp.ones((2, 3)), "b": jnp.zeros(()), "none": None}
    one = {"w": 0.25, "b": jnp.asarray(0.25), "none": None}
    array = {"w": np.full((2, 3), 0.25), "b": 0.25, "none": None}
    for tree in (one, array):
        tx, plain = make(tree), make(0.25)
        assert_same(tx.init(params), plain.init(params))
        assert jax.tree.map(jax.typeof, tx.init(params)) == jax.tree.map(
            jax.typeof, plain.init(params)
        )


@factories
def test_every_parameter_takes_its_own_first_step(make):
    first = jnp.asarray([0.125, 0.5, 2.0])
    tx, params = make(first), jnp.zeros(3)
    updates, _ = tx.update(jnp.asarray([1.0, -2.0, 1e-9]), tx.init(params))
    np.testing.assert_array_equal(updates, [-0.125, 0.5, -2.0])


@factories
def test_both_parts_of_a_complex_parameter_have_its_first_step(make):
    found = sizes(make(jnp.asarray([0.125, 0.5])), jnp.zeros(2, "complex64"))
    np.testing.assert_array_equal(found.real, [0.125, 0.5])
    np.testing.assert_array_equal(found.imag, [0.125, 0.5])


def test_relative_is_a_tenth_of_each_parameter():
    params = {
        "w": jnp.asarray([30.0, -4.0, 0.0, 1e-9, 1e9, jnp.nan]),
        "z": jnp.asarray([2 - 3j, 0j], "complex64"),
        "half": jnp.asarray([5.0], "bfloat16"),
    }
    found = sizes(rprop("relative"), params)
    np.testing.assert_allclose(found["w"], [3.0, 0.4, 0.1, 1e-6, 50.0, 0.1], rtol=1e-6)
    np.testing.assert_allclose(found["z"].real, [0.2, 0.1], rtol=1e-6)
    np.testing.assert_allclose(found["z"].imag, [0.3, 0.1], rtol=1e-6)
    np.testing.assert_allclose(found["half"], [0.5])
    assert found["half"].dtype == "float32"


def test_on_the_8_bit_grid_a_first_step_is_rounded_down():
    params = jnp.asarray([1.0, -4.0, 1e-9, 1e9])
    found = sizes(rprop_8bit("relative"), params)
    np.testing.assert_array_equal(found, [0.09375, 0.375, 2**-20, 2.0])
    found = sizes(rprop_8bit(np.asarray([0.1, 0.2, 1.0, 2.0])), params)
    np.testing.assert_array_equal(found, [0.09375, 0.1875, 1.0, 2.0])


@factories
def test_relative_under_vmap_and_without_values(make):
    tx, starts = make("relative"), jnp.asarray([[2.5], [5.0]])
    together = jax.vmap(lambda start: sizes(tx, start))(starts)
    for found, start in zip(together, starts, strict=True):
        np.testing.assert_array_equal(found, sizes(tx, start))
    abstract = tx.init(jax.ShapeDtypeStruct((3,), "float32"))
    assert_same(abstract, tx.init(jnp.zeros(3, "float32")))


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_first_steps_lie_where_their_parameters_lie(axis_type):
    mesh = jax.make_mesh((8,), ("x",), axis_types=(axis_type,))
    sharding = NamedSharding(mesh, P("x"))
    with jax.set_mesh(mesh):
        params = jax.device_put(jnp.arange(1.0, 17.0), sharding)
        for first in ("relative", np.full(16, 0.5, "float32")):
            found = sizes(rprop(first), params)
            assert found.sharding.is_equivalent_to(sharding, 1)


def test_a_masked_rule_takes_its_part_of_the_tree():
    params, first = {"w": jnp.ones(2), "b": jnp.ones(2)}, {"w": 0.25, "b": 0.5}
    tx = optax.masked(rprop(first), {"w": True, "b": False})
    np.testing.assert_array_equal(sizes(tx, params)["w"], 0.25)


def test_the_derivative_of_the_first_steps():
    """While signs hold still, x after two steps is x0 - D - 1.2 D, for each."""

    def end(first):
        tx = rprop(first)
        x = jnp.asarray([10.0, 10.0])
        state = tx.init(x)
        for _ in range(2):
            updates, state = tx.update(2 * x, state)
            x = optax.apply_updates(x, updates)
        return x.sum()

    slope = jax.grad(end)(jnp.asarray([0.1, 0.3]))
    np.testing.assert_allclose(slope, [-2.2, -2.2], rtol=1e-6)


def test_parameters_of_very_different_units():
    target = jnp.asarray([3e5, 2e-4])

    def loss(params):
        return jnp.sum((params / target - 1) ** 2)

    def status(first):
        tx = rprop(first, min_step_size=1e-12, max_step_size=jnp.inf)
        start = jnp.asarray([1e5, 1e-4])
        settings = {"target_loss": 1e-4, "max_steps": 40}
        return fit(loss, start, optimizer=tx, **settings).status.name

    assert status("relative") == "TARGET_REACHED"
    assert status(0.1) == "MAX_STEPS"


@pytest.mark.parametrize(
    ("first", "kind", "message"),
    [
        (
            "fast",
            ValueError,
            "{}: learning_rate must be a number, a tree like the parameters or "
            "'relative', got 'fast'. It is the initial step size; 0.1 is usual.",
        ),
        (
            {"w": -1.0},
            ValueError,
            "{}: learning_rate must be positive and finite, got -1 at leaf ['w']. It is "
            "the initial step size, in the units of the parameters; 0.1 is usual.",
        ),
        (
            np.asarray([0.1, np.nan]),
            ValueError,
            "{}: learning_rate must be positive and finite, got nan at the only leaf.",
        ),
        (
            np.asarray([0.1, 60.0]),
            ValueError,
            "{}: learning_rate must lie between min_step_size and max_step_size, got 60 "
            "outside 1e-06 to 50 at the only leaf. It is the initial step size; widen "
            "the bounds if you mean it.",
        ),
        (
            {"w": "x"},
            TypeError,
            "{}: learning_rate must be a real number, got str.",
        ),
    ],
)
def test_first_steps_are_checked(first, kind, message):
    with raises(kind, message.format("rprop")):
        rprop(first)


def test_first_steps_have_to_fit_the_parameters():
    params = {"w": jnp.zeros(3), "b": jnp.zeros(())}
    message = (
        "rprop.init: learning_rate must be a number or a tree like the parameters, got "
        "none for leaf ['b']. A leaf of it is a number or an array of the shape of its "
        "parameter."
    )
    with raises(ValueError, message):
        rprop({"w": 0.1}).init(params)
    message = (
        "rprop.init: learning_rate must have the shape of its parameter, got (2,) "
        "instead of (3,) at leaf ['w']. One number holds for all entries."
    )
    with raises(ValueError, message):
        rprop({"w": np.asarray([0.1, 0.2]), "b": 0.1}).init(params)


def test_a_first_step_that_is_an_array_is_copied():
    """A state that is donated must hold no array twice, and none of the user's."""
    first = jnp.asarray(0.1, "float32")
    params = {"a": jnp.zeros((), "float32"), "b": jnp.zeros((), "float32")}
    given = sizes(rprop(first), params)
    assert len({id(array) for array in (first, given["a"], given["b"])}) == 3
