"""Every message, read. A test at the end finds one that is forgotten."""

import math
import pathlib

import jax
import jax.numpy as jnp
import pytest
from helpers import raises
from messages import messages, unread_messages

import optax_rprop
from optax_rprop import rprop, rprop_8bit, scale_by_rprop, scale_by_rprop_8bit

PARAMS = {"dense": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}}

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
        "rprop: learning_rate must lie between min_step_size and max_step_size, got 1e-08 "
        "outside 1e-06 to 50. It is the initial step size; widen the bounds if you mean "
        "it.",
    ),
    ({"learning_rate": 60}, ValueError, "got 60 outside 1e-06 to 50."),
    (
        {"learning_rate": math.cos},
        TypeError,
        "rprop: learning_rate must be a number, got the function <built-in function cos>. "
        "A schedule has nothing to scale: each parameter adapts a step size of its own.",
    ),
    (
        {"eta_plus": "1.2"},
        TypeError,
        "rprop: eta_plus must be a real number, got str. A Python float or a scalar array "
        "will do.",
    ),
    ({"eta_minus": True}, TypeError, "eta_minus must be a real number, got dtype bool."),
    ({"learning_rate": None}, TypeError, "learning_rate must be a real number, got None"),
    ({"learning_rate": 1j}, TypeError, "a real number, got dtype complex128."),
    (
        {"max_step_size": jnp.ones(3)},
        ValueError,
        "rprop: max_step_size must be a scalar, got shape (3,). For groups of parameters "
        "with values of their own, use optax.multi_transform.",
    ),
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
    ({"learning_rate": float("inf")}, ValueError, "in the normal range of float32, got"),
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
        {"learning_rate": "0.5"},
        TypeError,
        "learning_rate must be a real number, got str.",
    ),
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
        "['dense']['bias'] of dtype float32 and shape (2,) where the state has step sizes of shape (3,). "
        "Call init again after changing the model.",
    ),
    (
        {"dense": PARAMS["dense"] | {"bias": jnp.ones(3, "complex64")}},
        ValueError,
        "got leaf ['dense']['bias'] of dtype complex64 and shape (3,) where the state has "
        "step sizes of shape (3,).",
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


def test_bounds_are_compared_in_the_precision_of_the_step_sizes():
    rprop(learning_rate=jnp.float32(0.1), max_step_size=0.1)
    rprop(learning_rate=0.1, min_step_size=jnp.float32(0.1))
    rprop(min_step_size=0, max_step_size=float("inf"))


def test_traced_values_are_not_checked():
    @jax.jit
    def size(learning_rate):
        return rprop(learning_rate).init(jnp.zeros(()))[0].step_sizes

    assert size(-1.0) == -1.0
    with raises(ValueError, "learning_rate must be a scalar, got shape (2,)."):
        size(jnp.ones(2))  # a shape is known even so


@pytest.mark.parametrize("init", [rprop().init, jax.jit(rprop().init)])
def test_parameters_name_every_wrong_leaf(init):
    params = PARAMS | {"step": jnp.asarray(3, "int32"), "mask": jnp.ones(2, bool)}
    with raises(
        TypeError,
        "rprop.init: every parameter must be a floating-point or complex array, got leaf "
        "['mask'] of dtype bool, leaf ['step'] of dtype int32. Leave such leaves out with "
        "optax.masked, or make them None.",
    ):
        init(params)


def test_parameters_that_are_no_arrays():
    with raises(TypeError, "got leaf ['name'] of str. Leave such leaves out"):
        rprop().init({"name": "dense"})
    with raises(TypeError, "got the only leaf of dtype int64. Leave such leaves out"):
        rprop().init(3)


@pytest.mark.parametrize(("gradients", "kind", "message"), UPDATES)
def test_gradients(gradients, kind, message):
    tx = rprop()
    with raises(kind, message):
        tx.update(gradients, tx.init(PARAMS))
    with raises(kind, message):
        jax.jit(tx.update)(gradients, tx.init(PARAMS))


@pytest.mark.parametrize(("value", "kind", "message"), LOSSES)
def test_losses(value, kind, message):
    tx = rprop(variant="irprop+")
    state = tx.init(PARAMS)
    with raises(kind, message):
        tx.update(PARAMS, state, value=value)


@pytest.mark.parametrize("scale_by", [scale_by_rprop, scale_by_rprop_8bit])
def test_the_state_of_something_else(scale_by):
    tx = scale_by()
    expected = type(tx.init(PARAMS)).__name__
    with raises(
        TypeError,
        f"{scale_by.__name__}.update: state must be a {expected}, got tuple. It is what "
        "init returned, and then what the update before did.",
    ):
        tx.update(PARAMS, ())


@pytest.mark.parametrize(
    ("scale_by", "field", "dtype"),
    [
        (scale_by_rprop, "prev_signs", "int8"),
        (scale_by_rprop, "step_sizes", "float32 or float64"),
        (scale_by_rprop_8bit, "codes", "uint8"),
    ],
)
def test_a_state_cast_to_another_dtype(scale_by, field, dtype):
    tx = scale_by()
    state = tx.init(PARAMS)
    cast = jax.tree.map(lambda leaf: leaf.astype("float16"), getattr(state, field))
    with raises(
        TypeError,
        f"{scale_by.__name__}.update: {field} of the state must be {dtype}, got leaf ['dense']['bias'] of dtype float16, leaf ['dense']['kernel'] "
        "of dtype float16. A checkpoint restored into another dtype is cast without a "
        "word; make the target with init.",
    ):
        tx.update(PARAMS, state._replace(**{field: cast}))


TARGET = (
    "A checkpoint restored into another dtype is cast without a word; make the target "
    "with init."
)


@pytest.mark.parametrize(
    ("factory", "field", "value", "found"),
    [
        (scale_by_rprop, "prev_value", jnp.ones(2, "float32"), "float32 and shape (2,)"),
        (scale_by_rprop, "prev_value", jnp.ones((), "int32"), "int32 and shape ()"),
        (
            scale_by_rprop_8bit,
            "min_step_size",
            jnp.ones((), "int32"),
            "int32 and shape ()",
        ),
    ],
)
def test_a_scalar_of_the_state(factory, field, value, found):
    tx = factory()
    with raises(
        TypeError,
        f"{factory.__name__}.update: {field} of the state must be a floating-point "
        f"scalar, got dtype {found}. {TARGET}",
    ):
        tx.update(PARAMS, tx.init(PARAMS)._replace(**{field: value}))


@pytest.mark.parametrize(
    ("signs", "found"),
    [
        ({"v": jnp.zeros(2, "int8")}, "[(\"leaf ['v']\", (2,))]"),
        ({"w": jnp.zeros(1, "int8")}, "[(\"leaf ['w']\", (1,))]"),
        ({}, "[]"),
    ],
)
def test_signs_of_another_model(signs, found):
    tx, params = scale_by_rprop(), {"w": jnp.ones(2)}
    with raises(
        ValueError,
        "scale_by_rprop.update: prev_signs of the state must have the leaves and the shapes of its step_sizes, "
        f"[(\"leaf ['w']\", (2,))], got {found}. {TARGET}",
    ):
        tx.update(params, tx.init(params)._replace(prev_signs=signs))


def test_step_sizes_narrower_than_the_parameters(x64):
    tx, params = rprop(), {"w": jnp.ones(2, "float64"), "b": jnp.ones(2, "float32")}
    narrow = tx.init(jax.tree.map(lambda p: p.astype("float32"), params))
    with raises(
        TypeError,
        "rprop.update: step_sizes of the state must be float64 for parameters that are, "
        f"got leaf ['w'] of float32 for float64. {TARGET}",
    ):
        tx.update(params, narrow, params)
    tx.update(params, tx.init(params), params)


def test_arrays_of_another_library():
    class Tensor:
        dtype, shape = "torch.float32", ()

    with raises(
        TypeError, "learning_rate must be a real number, got dtype torch.float32"
    ):
        rprop(Tensor())
    with raises(TypeError, "got the only leaf of dtype torch.float32. Leave such leaves"):
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
