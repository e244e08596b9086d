"""Every message, read. A test at the end finds one that is forgotten."""

import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import raises
from messages import messages, unread_messages

import optax_rprop
from optax_rprop import (
    fit,
    in_eigenbasis,
    rprop,
    rprop_8bit,
    scale_by_rprop,
    scale_by_rprop_8bit,
)

PARAMS = {"dense": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}}
HINT = (
    "One number holds for all parameters and steps; optax.partition makes groups with "
    "numbers of their own."
)

HYPERPARAMETERS = [
    (
        {"variant": "irprop"},
        ValueError,
        "rprop: variant must be one of 'rprop-', 'irprop-', 'rprop+', 'irprop+', got "
        "'irprop'. 'irprop-' is the default and needs no loss.",
    ),
    (
        {"learning_rate": 0.0},
        ValueError,
        "rprop: learning_rate must be positive and finite, got 0. It is the initial step "
        "size, in the units of the parameters; 0.1 is usual.",
    ),
    ({"learning_rate": float("inf")}, ValueError, "positive and finite, got inf."),
    ({"learning_rate": jnp.asarray(float("nan"))}, ValueError, "finite, got nan."),
    (
        {"eta_minus": 1.3},
        ValueError,
        "rprop: eta_minus must lie strictly between 0 and 1, got 1.3. It shrinks a step "
        "after a sign change; 0.5 is usual.",
    ),
    ({"eta_minus": 0}, ValueError, "eta_minus must lie strictly between 0 and 1, got 0."),
    (
        {"eta_plus": 1.0},
        ValueError,
        "rprop: eta_plus must be finite and greater than 1, got 1. It grows a step while "
        "the sign stays; 1.2 is usual.",
    ),
    (
        {"min_step_size": -1e-6},
        ValueError,
        "rprop: min_step_size must be finite and at least 0, got -1e-06. No step shrinks "
        "below it; 1e-6 is usual.",
    ),
    (
        {"max_step_size": float("nan")},
        ValueError,
        "rprop: max_step_size must be positive, got nan. No step grows above it; 50 is "
        "usual, and inf sets no limit.",
    ),
    (
        {"min_step_size": 1.0, "max_step_size": 0.1},
        ValueError,
        "rprop: min_step_size must not exceed max_step_size, got 1 and 0.1. They bound "
        "every step size; 1e-6 and 50 are usual.",
    ),
    (
        {"learning_rate": 1e-8},
        ValueError,
        "rprop: learning_rate must lie between min_step_size and max_step_size, got "
        "1e-08 outside 1e-06 to 50. It is the initial step size; widen the bounds if "
        "you mean it.",
    ),
    ({"learning_rate": 60}, ValueError, "got 60 outside 1e-06 to 50."),
    (
        {"learning_rate": math.cos},
        TypeError,
        "rprop: learning_rate must be a number, got the function <built-in function cos>. "
        f"{HINT}",
    ),
    (
        {"eta_plus": "1.2"},
        TypeError,
        "rprop: eta_plus must be a real number, got str. A Python float or a scalar array "
        "will do.",
    ),
    ({"eta_minus": True}, TypeError, "eta_minus must be a real number, got bool."),
    ({"learning_rate": None}, TypeError, "learning_rate must be a real number, got None"),
    ({"eta_plus": [1.2]}, TypeError, "a real number, got list."),
    (
        {"learning_rate": jax.random.key(0)},
        TypeError,
        "a real number, got dtype key<fry>.",
    ),
    ({"learning_rate": 1j}, TypeError, "a real number, got complex."),
    ({"learning_rate": jnp.complex64(0.1 + 5j)}, TypeError, "got dtype complex64. A "),
    ({"eta_plus": np.complex64(1.2 - 1j)}, TypeError, "number, got dtype complex64. A "),
    ({"learning_rate": jnp.complex64(-0.5)}, ValueError, "finite, got -0.5."),  # its part
    ({"eta_plus": jnp.ones(2, "complex64")}, ValueError, "a scalar, got shape (2,)."),
    (
        {"max_step_size": jnp.ones(3)},
        ValueError,
        f"rprop: max_step_size must be a scalar, got shape (3,). {HINT}",
    ),
    # As float32 holds them.
    ({"learning_rate": 1e39}, ValueError, "got 1e+39, which is inf in float32. It is"),
    ({"learning_rate": 1e-46}, ValueError, "finite, got 1e-46, which is 0 in float32."),
    ({"learning_rate": 10**400}, ValueError, "positive and finite, got inf."),
    ({"learning_rate": -(10**400)}, ValueError, "positive and finite, got -inf."),
    (
        {"eta_plus": 1 + 1e-12},
        ValueError,
        "greater than 1, got 1.000000000001, which is 1 in float32.",
    ),
    ({"eta_plus": 1e39}, ValueError, "greater than 1, got 1e+39, which is inf in"),
    ({"eta_minus": 1 - 1e-12}, ValueError, "got 0.999999999999, which is 1 in float32."),
    ({"eta_minus": 1e-46}, ValueError, "0 and 1, got 1e-46, which is 0 in float32."),
    ({"min_step_size": 1e39}, ValueError, "at least 0, got 1e+39, which is inf in"),
    ({"max_step_size": 1e-46}, ValueError, "positive, got 1e-46, which is 0 in float32."),
]

GRID = [
    (
        {"learning_rate": 0.1},
        ValueError,
        "rprop_8bit: learning_rate must lie on the grid of 1, 1.25, 1.5 or 1.75 times a "
        "power of 2, got 0.1. The nearest values are 0.09375 and 0.109375.",
    ),
    ({"max_step_size": 1.9}, ValueError, "The nearest values are 1.75 and 2.0."),
    (
        {"min_step_size": 0.0},
        ValueError,
        "rprop_8bit: min_step_size must be positive and in the normal range of float32, "
        "got 0. It is a step size, in the units of the parameters.",
    ),
    ({"learning_rate": 1e39}, ValueError, "in the normal range of float32, got 1e+39."),
    ({"learning_rate": 1e-46}, ValueError, "in the normal range of float32, got 1e-46."),
    ({"max_step_size": 10**400}, ValueError, "in the normal range of float32, got inf."),
    (
        {"max_step_size": 4.0},
        ValueError,
        "rprop_8bit: max_step_size must be at most 2**21 times min_step_size, got 4 and "
        "9.53674e-07. One byte holds 85 step sizes; 2**-20 and 2 are usual.",
    ),
    ({"learning_rate": 4.0}, ValueError, "got 4 outside 9.53674e-07 to 2."),
    (
        {"min_step_size": 1.0, "max_step_size": 0.5},
        ValueError,
        "must not exceed max_step",
    ),
    (
        {"min_step_size": "0.5"},
        TypeError,
        "min_step_size must be a real number, got str.",
    ),
    (
        {"learning_rate": math.cos},
        TypeError,
        "rprop_8bit: learning_rate must be a number, got the function <built-in function "
        f"cos>. {HINT}",
    ),
    ({"min_step_size": jnp.ones(3)}, ValueError, f"a scalar, got shape (3,). {HINT}"),
    (
        {"learning_rate": 1j},
        TypeError,
        "learning_rate must be a real number, got complex.",
    ),
    ({"learning_rate": jnp.complex64(0.125 + 5j)}, TypeError, "got dtype complex64. A "),
    ({"max_step_size": np.complex64(2 - 1j)}, TypeError, "got dtype complex64. A "),
    ({"learning_rate": jnp.complex64(0.1)}, ValueError, "2, got 0.1. The nearest values"),
]

UPDATES = [
    (
        {"dense": {"kernel": jnp.ones((2, 3))}},
        ValueError,
        "rprop.update: the gradients must have the tree structure of the parameters that "
        "init was given, got none for leaf ['dense']['bias']. Call init again after "
        "changing the model.",
    ),
    (
        {"dense": PARAMS["dense"] | {"scale": jnp.ones(3)}},
        ValueError,
        "got one for leaf ['dense']['scale'].",
    ),
    (
        {"dense": PARAMS["dense"] | {"bias": None}},
        ValueError,
        "got none for leaf ['dense']['bias'].",
    ),
    (
        PARAMS | {"empty": {}},
        ValueError,
        "got the same leaves in PyTreeDef",
    ),
    (
        {"dense": PARAMS["dense"] | {"bias": jnp.arange(3, dtype="int32")}},
        TypeError,
        "rprop.update: every gradient must be a floating-point or complex array, got leaf "
        "['dense']['bias'] of dtype int32. Rprop follows the sign of a derivative.",
    ),
    (
        {"dense": PARAMS["dense"] | {"bias": jnp.ones(2, "float32")}},
        ValueError,
        "rprop.update: every gradient must have the shape of its parameter, got leaf "
        "['dense']['bias'] of float32[2] where the state has an array of shape (3,). Call "
        "init again after changing the model.",
    ),
    (
        {"dense": PARAMS["dense"] | {"bias": jnp.ones(3, "complex64")}},
        ValueError,
        "got leaf ['dense']['bias'] of complex64[3] where the state has an array of shape "
        "(3,).",
    ),
]

DECAY = "at least 0 and less than 1"
TURNING = [
    (
        {"inner": rprop},
        TypeError,
        "in_eigenbasis: inner must be an Optax transformation, got function. "
        "in_eigenbasis(rprop()) is usual.",
    ),
    ({"inner": 0.1}, TypeError, "an Optax transformation, got float."),
    ({"inner": optax.MultiSteps(rprop(), 2)}, TypeError, "got MultiSteps."),
    (
        {"refresh_every": 0},
        ValueError,
        "in_eigenbasis: refresh_every must be an int and at least 1, got 0. It is a number "
        "of updates; 10 is usual.",
    ),
    ({"refresh_every": 2.5}, ValueError, "an int and at least 1, got 2.5."),
    ({"refresh_every": math.nan}, ValueError, "an int and at least 1, got nan."),
    ({"refresh_every": 2**31}, ValueError, "an int and at least 1, got 2.14748e+09."),
    (
        {"refresh_every": True},
        TypeError,
        "refresh_every must be a real number, got bool.",
    ),
    (
        {"refresh_every": math.cos},
        TypeError,
        "in_eigenbasis: refresh_every must be a number, got the function <built-in function "
        f"cos>. {HINT}",
    ),
    (
        {"decay": 1},
        ValueError,
        "in_eigenbasis: decay must be at least 0 and less than 1, got 1. It is the weight "
        "of the past in a running mean; 0.9 is usual.",
    ),
    ({"decay": -0.1}, ValueError, f"{DECAY}, got -0.1."),
    ({"decay": jnp.asarray(math.nan)}, ValueError, f"{DECAY}, got nan."),
    (
        {"decay": 1 - 1e-12},
        ValueError,
        f"{DECAY}, got 0.999999999999, which is 1 in float32.",
    ),
    ({"decay": "0.9"}, TypeError, "decay must be a real number, got str."),
    ({"decay": 0.9j}, TypeError, "decay must be a real number, got complex."),
    ({"decay": jnp.ones(3)}, ValueError, f"a scalar, got shape (3,). {HINT}"),
    (
        {"max_size": 64.0},
        TypeError,
        "in_eigenbasis: max_size must be an int, got float. It decides the shapes of the "
        "state, so it can't be traced; 256 is usual. For optax.inject_hyperparams, name it "
        "in static_args.",
    ),
    ({"max_size": True}, TypeError, "max_size must be an int, got bool."),
    ({"max_size": jnp.asarray(4, "int32")}, TypeError, "an int, got dtype int32."),
    (
        {"max_size": -1},
        ValueError,
        "in_eigenbasis: max_size must be at least 0, got -1. Longer axes are not turned; "
        "256 is usual.",
    ),
]

LOSSES = [
    (
        None,
        TypeError,
        "rprop.update: value must be the loss when variant is 'irprop+', got None. Call "
        "update(grads, state, params, value=loss); a training loop that does not hand "
        "value on needs one of the other rules.",
    ),
    (
        jnp.ones(3),
        ValueError,
        "rprop.update: value must be a scalar, got shape (3,). It is one loss for all of "
        "the data; take its mean or its sum.",
    ),
    (
        jnp.ones((), "complex64"),
        TypeError,
        "rprop.update: value must be a real number, got dtype complex64. It is the loss at "
        "the parameters where the gradient was taken.",
    ),
    ("low", TypeError, "rprop.update: value must be a real number, got str."),
]


@pytest.mark.parametrize(("arguments", "kind", "message"), HYPERPARAMETERS)
def test_hyperparameters(arguments, kind, message):
    with raises(kind, message):
        rprop(**arguments)
    with raises(kind, message.replace("rprop: ", "scale_by_rprop: ")):
        scale_by_rprop(**arguments)


@pytest.mark.parametrize(("arguments", "kind", "message"), GRID)
def test_hyperparameters_on_the_grid(arguments, kind, message):
    with raises(kind, message):
        rprop_8bit(**arguments)


@pytest.mark.parametrize(("arguments", "kind", "message"), TURNING)
def test_hyperparameters_of_a_turned_basis(arguments, kind, message):
    with raises(kind, message):
        in_eigenbasis(**{"inner": rprop()} | arguments)


def test_numbers_at_the_edge_of_what_a_turned_basis_takes():
    for settings in (
        {"refresh_every": 10.0},
        {"refresh_every": jnp.asarray(1, "int32"), "decay": 0},
        {"refresh_every": 2**31 - 1, "decay": jnp.complex64(0.5)},
        {"max_size": np.int32(0)},
    ):
        in_eigenbasis(rprop(), **settings)


def test_a_traced_size_of_a_turned_basis():
    injected = optax.inject_hyperparams(in_eigenbasis)(rprop())
    with raises(TypeError, "max_size must be an int, got dtype int"):
        injected.init(PARAMS)


def test_bounds_are_compared_in_the_precision_of_the_step_sizes():
    rprop(learning_rate=jnp.float32(0.1), max_step_size=0.1)
    rprop(learning_rate=0.1, min_step_size=jnp.float32(0.1))
    rprop(min_step_size=0, max_step_size=float("inf"))


@pytest.mark.parametrize("number", [jnp.complex64, np.complex64])
@pytest.mark.parametrize(
    ("factory", "initial"), [(rprop, 0.1), (rprop, 0.125), (rprop_8bit, 0.125)]
)
def test_a_complex_number_without_an_imaginary_part(factory, number, initial):
    for params in (jnp.ones(2, "float32"), jnp.ones(2, "complex64")):
        tx = factory(number(initial), max_step_size=number(2))
        updates, state = tx.update(params, tx.init(params))
        np.testing.assert_allclose(updates.real, -initial, rtol=1e-7)
        assert state[0].prev_value.dtype == jnp.result_type(float)


@pytest.mark.parametrize("factory", [rprop, rprop_8bit])
def test_injected_hyperparameters_of_complex_parameters(factory):
    """They are cast to the dtype of the parameters."""
    params = jnp.ones(2, "complex64")
    tx = optax.inject_hyperparams(factory)(learning_rate=0.125)
    state = tx.init(params)
    assert state.hyperparams["learning_rate"].dtype == jnp.complex64
    for update in (tx.update, jax.jit(tx.update)):
        updates, _ = update(params * (1 - 1j), state, params)
        np.testing.assert_array_equal(updates, [-0.125 + 0.125j] * 2)


def assert_refused(tx, arguments, kind, message):
    """``update`` raises for these, called as it is and compiled."""
    for update in (tx.update, jax.jit(tx.update)):
        with raises(kind, message):
            update(*arguments)


def test_traced_values_are_not_checked():
    @jax.jit
    def size(learning_rate):
        return rprop(learning_rate).init(jnp.zeros(()))[0].step_sizes

    assert size(-1.0) == -1.0
    with raises(
        ValueError, "learning_rate must have the shape of its parameter, got (2,)"
    ):
        size(jnp.ones(2))  # a shape is known even so


@pytest.mark.parametrize("init", [rprop().init, jax.jit(rprop().init)])
def test_parameters_name_every_wrong_leaf(init):
    params = PARAMS | {"step": jnp.asarray(3, "int32"), "mask": jnp.ones(2, bool)}
    with raises(
        TypeError,
        "rprop.init: every parameter must be a floating-point or complex array, got leaf "
        "['mask'] of dtype bool, leaf ['step'] of dtype int32. Make such a leaf a float, "
        "or keep it out of the parameters: as None, as data, or with nnx.split or "
        "equinox.partition.",
    ):
        init(params)


def test_parameters_that_are_no_arrays():
    with raises(TypeError, "got leaf ['name'] of str. Make such a leaf a float"):
        rprop().init({"name": "dense"})
    with raises(TypeError, "got the only leaf of int. Make such a leaf a float"):
        rprop().init(3)


@pytest.mark.parametrize(("gradients", "kind", "message"), UPDATES)
def test_gradients(gradients, kind, message):
    turned = message.replace("rprop.", "in_eigenbasis.")
    for tx, expected in ((rprop(), message), (in_eigenbasis(rprop()), turned)):
        assert_refused(tx, (gradients, tx.init(PARAMS)), kind, expected)


@pytest.mark.parametrize(
    ("gradient", "kind", "message"),
    [
        (jnp.ones(300, "int32"), TypeError, "of dtype int32. Rprop follows the sign"),
        (jnp.ones(300, "complex64"), ValueError, "of complex64[300] where the state has"),
        (jnp.ones((300, 1), "float32"), ValueError, "of float32[300,1] where the state"),
    ],
)
def test_gradients_of_a_leaf_that_is_not_turned(gradient, kind, message):
    tx = in_eigenbasis(rprop())
    state = tx.init({"w": jnp.ones(300, "float32")})
    with raises(kind, f"got leaf ['w'] {message}"):
        tx.update({"w": gradient}, state)


@pytest.mark.parametrize("factory", [rprop, rprop_8bit])
def test_gradients_and_parameters_of_different_shapes(factory):
    tx = factory()
    bias = PARAMS["dense"] | {"bias": jnp.ones(2, "float32")}
    default = PARAMS["dense"]["bias"].dtype
    z = jnp.ones(3, "complex64")
    for gradients, state, params, found in (
        (PARAMS, tx.init(PARAMS), {"dense": bias}, f"leaf ['dense']['bias'] of {default}"
         "[3] for a parameter of float32[2] where the state has an array of shape (3,)"),
        # As large as the coordinates, and yet no gradient.
        (jnp.ones((3, 2), "float32"), tx.init(z), z, "the only leaf of float32[3,2] for a "
         "parameter of complex64[3] where the state has two arrays of shape (3,)"),
    ):  # fmt: skip
        assert_refused(
            tx,
            (gradients, state, params),
            ValueError,
            f"{factory.__name__}.update: every gradient must have the shape of its "
            f"parameter, got {found}. Call init again after changing the model.",
        )


@pytest.mark.parametrize(("value", "kind", "message"), LOSSES)
def test_losses(value, kind, message):
    inner = rprop(variant="irprop+")
    for tx in (inner, in_eigenbasis(inner)):
        state = tx.init(PARAMS)
        turns = tx is not inner and value is not None
        expected = message.replace("rprop.", "in_eigenbasis.") if turns else message
        with raises(kind, expected):
            tx.update(PARAMS, state, value=value)
        with raises(kind, expected):  # a str can't be traced
            jax.jit(lambda p, s, tx=tx: tx.update(p, s, value=value))(PARAMS, state)


def test_parameters_of_a_turned_basis():
    init = in_eigenbasis(rprop()).init
    for wrapped in (init, jax.jit(init)):
        with raises(
            TypeError,
            "in_eigenbasis.init: every parameter must be a floating-point or complex "
            "array, got leaf ['step'] of dtype int32. Make such a leaf a float",
        ):
            wrapped(PARAMS | {"step": jnp.asarray(3, "int32")})


@pytest.mark.parametrize("shape", [(2,), (300,)], ids=["turned", "too long"])
def test_parameters_unlike_the_gradients_of_a_turned_basis(shape):
    tx, grads = in_eigenbasis(rprop()), {"w": jnp.ones(shape, "float32")}
    state = tx.init(grads)
    for params, kind, message in (
        (
            {"v": grads["w"]},
            ValueError,
            "in_eigenbasis.update: the parameters must have the tree structure of the "
            "gradients, got PyTreeDef({'v': *}). They are turned like the gradients; "
            "params=None will do for Rprop.",
        ),
        (
            {"w": jnp.ones(3, "float32")},
            ValueError,
            f"got leaf ['w'] of float32[{shape[0]}] for a parameter of float32[3] where",
        ),
        (
            {"w": jnp.ones(shape, "int32")},
            TypeError,
            "in_eigenbasis.update: every parameter must be a floating-point or complex "
            "array, got leaf ['w'] of dtype int32.",
        ),
    ):
        assert_refused(tx, (grads, state, params), kind, message)


@pytest.mark.parametrize("scale_by", [scale_by_rprop, scale_by_rprop_8bit, in_eigenbasis])
def test_the_state_of_something_else(scale_by):
    tx = scale_by(*([rprop()] if scale_by is in_eigenbasis else []))
    expected = type(tx.init(PARAMS)).__name__
    with raises(
        TypeError,
        f"{scale_by.__name__}.update: state must be of type {expected}, got tuple. The "
        "state is what init returned, and then what the last update returned.",
    ):
        tx.update(PARAMS, ())


TARGET = "A checkpoint restored into another dtype is cast silently; make the target with init."


@pytest.mark.parametrize(
    ("factory", "field", "value", "found"),
    [
        (scale_by_rprop, "prev_value", jnp.ones(2, "float32"), "float32[2]"),
        (scale_by_rprop, "prev_value", jnp.ones((), "int32"), "int32[]"),
        (scale_by_rprop_8bit, "min_step_size", jnp.ones((), "int32"), "int32[]"),
        (scale_by_rprop_8bit, "prev_value", None, "NoneType"),
    ],
)
def test_a_scalar_of_the_state(factory, field, value, found):
    tx = factory()
    state = tx.init(PARAMS)._replace(**{field: value})
    assert_refused(
        tx,
        (PARAMS, state),
        TypeError,
        f"{factory.__name__}.update: {field} of the state must be a floating-point "
        f"scalar, got {found}. {TARGET}",
    )


W = {"b": jnp.ones(1, "float32"), "w": jnp.ones(2, "float32")}
HALF = {"b": jnp.ones(1, "float16"), "w": jnp.ones(2, "float16")}
SIGNS = {"b": jnp.zeros(1, "int8"), "w": jnp.zeros(2, "int8")}


@pytest.mark.parametrize(
    ("factory", "what", "value", "found"),
    [
        (rprop, "step_sizes of the state", HALF, "float16[1] instead of float32[1] at leaf ['b'] and 1 more"),
        (rprop, "prev_signs of the state", HALF, "float16[1] instead of int8[1] at leaf ['b'] and 1 more"),
        (rprop_8bit, "codes of the state", HALF, "float16[1] instead of uint8[1] at leaf ['b'] and 1 more"),
        (rprop, "prev_signs of the state", SIGNS | {"w": jnp.zeros(3, "int8")},
         "int8[3] instead of int8[2] at leaf ['w']"),
        (rprop, "prev_signs of the state", {"w": SIGNS["w"]}, "nothing instead of int8[1] at leaf ['b']"),
        (rprop, "prev_signs of the state", SIGNS | {"x": SIGNS["b"]},
         "int8[1] instead of nothing at leaf ['x']"),
        (rprop, "prev_signs of the state", SIGNS | {"x": {}},
         "the same leaves in PyTreeDef({'b': *, 'w': *, 'x': {}})"),
        (rprop, "prev_signs of the state", None, "nothing instead of int8[1] at leaf ['b'] and 1 more"),
    ],
)  # fmt: skip
def test_a_state_that_init_does_not_make(factory, what, value, found):
    tx = factory()
    state, *rest = tx.init(W)
    wrong = (state._replace(**{what.split()[0]: value}), *rest)
    assert_refused(
        tx,
        (W, wrong),
        ValueError,
        f"{factory.__name__}.update: {what} must have the structure, "
        f"shapes and dtypes of what init makes, got {found}. {TARGET}",
    )


SMALL = {"b": jnp.ones(2, "float32"), "w": jnp.ones((2, 3), "float32")}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (jnp.zeros((), "float32"), "float32[]"),
        (jnp.zeros(2, "int32"), "int32[2]"),
        (jnp.zeros((), "int8"), "int8[]"),
        (None, "NoneType"),
    ],
)
def test_a_count_of_updates_that_is_none(value, found):
    tx = in_eigenbasis(rprop())
    state = tx.init(SMALL)._replace(num_updates=value)
    assert_refused(
        tx,
        (SMALL, state),
        TypeError,
        "in_eigenbasis.update: num_updates of the state must be an int32 scalar, got "
        f"{found}. {TARGET}",
    )


def narrow(tree):
    return jax.tree.map(lambda leaf: leaf.astype("float16"), tree)


@pytest.mark.parametrize(
    ("what", "change", "found"),
    [
        ("bases of the state", narrow,
         "float16[2,2] instead of float32[2,2] at leaf [2][0].directions and 3 more"),
        ("bases of the state", lambda _: None,
         "nothing instead of float32[2,2] at leaf [2][0].directions and 3 more"),
        ("prev_grads of the state", narrow,
         "float16[300] instead of float32[300] at leaf ['b'] and 1 more"),
        ("prev_grads of the state", lambda g: g | {"w": jnp.ones((2, 3), "int32")},
         "int32[2,3] instead of float32[2,3] at leaf ['w']"),
    ],
)  # fmt: skip
def test_a_state_that_init_does_not_make_in_a_turned_basis(what, change, found):
    tx = in_eigenbasis(rprop())
    params = SMALL | {"b": jnp.ones(300, "float32")}  # too long to be turned
    state = tx.init(params)
    field = what.split()[0]
    wrong = state._replace(**{field: change(getattr(state, field))})
    assert_refused(
        tx,
        (params, wrong),
        ValueError,
        f"in_eigenbasis.update: {what} must have the structure, shapes and dtypes of "
        f"what init makes, got {found}. {TARGET}",
    )


def test_the_state_of_other_parameters_in_a_turned_basis():
    tx = in_eigenbasis(rprop())
    for params, message in (
        (SMALL | {"w": jnp.ones((3, 2), "float32")},
         "got leaf ['w'] of float32[2,3] where the state has an array of shape (3, 2)."),
        ({"w": SMALL["w"]}, "that init was given, got one for leaf ['b']."),
    ):  # fmt: skip
        with raises(ValueError, message):
            tx.update(SMALL, tx.init(params))
    with raises(ValueError, "got nothing instead of float32[3,3] at leaf [2][1].direct"):
        tx.update(SMALL, in_eigenbasis(rprop(), max_size=2).init(SMALL))
    with raises(TypeError, "rprop.update: state must be of type RpropState, got Rprop8"):
        tx.update(SMALL, in_eigenbasis(rprop_8bit()).init(SMALL))


@pytest.mark.parametrize(("scale", "off"), [(0.0, "1"), (1.1, "0.21"), (math.nan, "nan")])
def test_directions_that_are_not_orthogonal(scale, off):
    """As in a state that a checkpoint was to be restored into."""

    def loss(params):
        return sum(jnp.sum(leaf**2) for leaf in params.values())

    tx = in_eigenbasis(rprop())
    last = fit(loss, SMALL, optimizer=tx, max_steps=1).last
    bases = jax.tree.map(lambda leaf: leaf * scale, last.opt_state.bases)
    state = last.opt_state._replace(bases=bases)
    with raises(
        ValueError,
        "in_eigenbasis.update: directions of the state must be orthogonal, got columns "
        f"with products off by {off} at leaf .bases[0].directions. The state is what init "
        "returned, and then what the last update returned.",
    ):
        tx.update(SMALL, state)
    resume = last._replace(opt_state=state)
    with raises(
        ValueError,
        f"fit: directions of the state must be orthogonal, got columns with products off "
        f"by {off} at leaf .opt_state.bases[0].directions. Pass result.last of a fit with "
        "the same parameters and the same kind of optimizer.",
    ):
        fit(loss, SMALL, optimizer=tx, max_steps=1, resume=resume)

    # What is traced has no value yet.
    jax.jit(tx.update)(SMALL, state)


SIZE, SIGN, CODE = "at least 0", "-1, 0 or 1", "below 255"
LEAST = "positive and finite"
CODES = {"b": jnp.zeros(1, "uint8"), "w": jnp.zeros(2, "uint8")}
IMPOSSIBLE = [
    (rprop, {"step_sizes": W | {"w": jnp.asarray([1, -1], "float32")}}, SIZE,
     "-1 at leaf .step_sizes['w']"),
    (rprop, {"step_sizes": W | {"w": jnp.asarray([math.nan, -1], "float32")}}, SIZE,
     "nan at leaf .step_sizes['w']"),
    (rprop, {"prev_signs": SIGNS | {"w": jnp.asarray([1, 2], "int8")}}, SIGN,
     "2 at leaf .prev_signs['w']"),
    (rprop, {"prev_signs": SIGNS | {"b": jnp.asarray([-128], "int8")}}, SIGN,
     "-128 at leaf .prev_signs['b']"),
    (rprop_8bit, {"codes": CODES | {"w": jnp.asarray([254, 255], "uint8")}}, CODE,
     "255 at leaf .codes['w']"),
    (rprop_8bit, {"min_step_size": jnp.float32(0)}, LEAST, "0 at leaf .min_step_size"),
    (rprop_8bit, {"min_step_size": jnp.float32(math.inf)}, LEAST,
     "inf at leaf .min_step_size"),
]  # fmt: skip


@pytest.mark.parametrize(("factory", "change", "rule", "found"), IMPOSSIBLE)
def test_a_value_that_no_step_leads_to(factory, change, rule, found):
    tx = factory()
    first, *rest = tx.init(W)
    state = (first._replace(**change), *rest)
    (field,) = change
    with raises(
        ValueError,
        f"{factory.__name__}.update: {field} "
        f"of the state must be {rule}, got {found}. The "
        "state is what init returned, and then what the last update returned.",
    ):
        tx.update(W, state)

    def loss(params):
        return jnp.sum(params["b"] ** 2) + jnp.sum(params["w"] ** 2)

    last = fit(loss, W, optimizer=tx, max_steps=1).last._replace(opt_state=state)
    found = found.replace("leaf ", "leaf .opt_state[0]")
    with raises(
        ValueError,
        f"fit: {field} of the state must be {rule}, got {found}. Pass result.last of a "
        "fit with the same parameters and the same kind of optimizer.",
    ):
        fit(loss, W, optimizer=tx, max_steps=1, resume=last)

    # What is traced has no value yet.
    jax.jit(tx.update)(W, state)
    jax.jit(lambda w: tx.update(w, state))(W)
    jax.jit(lambda s: fit(loss, W, optimizer=tx, max_steps=1, resume=s).loss)(last)


@pytest.mark.parametrize(
    ("factory", "change"),
    [
        (scale_by_rprop, {"step_sizes": W | {"w": jnp.asarray([0, 9], "float32")}}),
        (scale_by_rprop, {"step_sizes": W | {"w": jnp.full(2, jnp.inf, "float32")}}),
        (scale_by_rprop, {"prev_signs": SIGNS | {"w": jnp.asarray([1, -1], "int8")}}),
        (scale_by_rprop_8bit, {"codes": CODES | {"w": jnp.asarray([0, 254], "uint8")}}),
    ],
)
def test_a_value_at_the_edge_of_what_is_possible(factory, change):
    tx = factory()
    tx.update(W, tx.init(W)._replace(**change))


@pytest.mark.parametrize("params", [{}, jnp.zeros((0, 3), "float32")])
@pytest.mark.parametrize("factory", [rprop, rprop_8bit])
def test_a_state_without_any_value(factory, params):
    tx = factory()
    updates, _ = tx.update(params, tx.init(params))
    assert jax.tree.structure(updates) == jax.tree.structure(params)


def test_step_sizes_narrower_than_the_parameters(x64):
    tx, params = rprop(), {"w": jnp.ones(2, "float64"), "b": jnp.ones(2, "float32")}
    narrow = tx.init(jax.tree.map(lambda p: p.astype("float32"), params))
    with raises(
        ValueError,
        "got float32[2] instead of float64[2] at leaf ['w']. A checkpoint restored",
    ):
        tx.update(params, narrow, params)
    tx.update(params, tx.init(params), params)


@pytest.mark.parametrize(
    ("name", "value"),
    [("learning_rate", 0.125), ("min_step_size", 2.0**-20), ("max_step_size", 2.0)],
)
@pytest.mark.parametrize("derivative", [jax.grad, jax.jacfwd])
def test_a_derivative_on_the_grid(derivative, name, value):
    def step(number):
        tx = rprop_8bit(**{name: number})
        return tx.update(jnp.float32(1), tx.init(jnp.float32(1)))[0]

    for function in (step, jax.jit(step)):
        with raises(
            TypeError,
            "rprop_8bit: learning_rate and the bounds must not be differentiated, got a "
            "derivative. On the grid it is zero everywhere; rprop has one with respect to "
            "learning_rate.",
        ):
            derivative(function)(value)
    assert jax.jit(step)(value) == -0.125


def test_arrays_of_another_library():
    class Tensor:
        dtype, shape = "torch.float32", ()

    with raises(
        TypeError, "learning_rate must be a real number, got dtype torch.float32"
    ):
        rprop(Tensor())
    with raises(TypeError, "got the only leaf of dtype torch.float32. Make such a leaf"):
        rprop().init(Tensor())


def test_an_error_loses_nothing():
    """The state that was passed in goes on as though nothing had happened."""
    tx = rprop()
    updates, state = tx.update(PARAMS, tx.init(PARAMS))
    with raises(ValueError, "tree structure"):
        tx.update({}, state)
    updates, _ = tx.update(PARAMS, state)
    assert jnp.allclose(updates["dense"]["bias"], -0.12)


def test_every_message_is_read_by_a_test():
    package = pathlib.Path(optax_rprop.__file__).parent
    assert len(list(messages(package))) > 50
    assert unread_messages(package, pathlib.Path(__file__).parent) == []


def unread_in(folder, module, test):
    """The unread messages of a package with one module, which one file tests."""
    package, tests = folder / "package" / "inner", folder / "tests" / "inner"
    for directory, name, text in (
        (package, "made_up.py", module),
        (tests, "test_made_up.py", test),
    ):
        directory.mkdir(parents=True)
        (directory / name).write_text(text)
    return unread_messages(package.parent, tests.parent)


@pytest.mark.parametrize(
    "module",
    [
        "def check(caller, value):\n"
        "    raise ValueError(f'{caller}: size must be even, got {value:{3}}. {ADVICE}')\n"
        "ADVICE = 'Halve it.'\n",
        "MUST = {'size': '{caller}: size must be even, got {value}. Halve it.'}\n",
        "RULES = {'size': ('{}: size must be even, got {}.', 'Halve it.')}\n",
    ],
    ids=["raise", "table", "columns"],
)
@pytest.mark.parametrize(
    ("read", "unread"),
    [
        ("f: size must be even, got 3. Halve it.", False),
        ("f: size must be even, got 3.", True),
        ("size must be even", True),
        ("must", True),
        ("size", True),
        ("", True),
    ],
)
def test_a_message_that_no_test_reads_is_found(module, read, unread, tmp_path):
    test = f'"""f: size must be even, got 3. Halve it."""\nREAD = {read!r}\n'
    assert bool(unread_in(tmp_path, module, test)) == unread


def test_the_holes_of_a_test_read_no_short_message(tmp_path):
    module = "raise ValueError(f'{caller}: {name} too big: {value}')"
    words, holes = "READ = f'{a}: size too big: {b}'", "READ = f'{a}: {b}: {c}'"
    assert unread_in(tmp_path / "words", module, words) == []
    assert len(unread_in(tmp_path / "holes", module, holes)) == 1
