"""Every message of ``fit``, read; test_checks.py counts that none is forgotten."""

import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import raises
from oracle import Oracle

from optax_rprop import (
    VARIANTS,
    FitStatus,
    fit,
    rprop,
    rprop_8bit,
    streaming_value_and_grad,
)

X = jnp.zeros(2, "float32")
RULES = {variant: rprop(variant=variant) for variant in VARIANTS}
in_jit_and_not = pytest.mark.parametrize("call", [lambda f: f, jax.jit], ids=["", "jit"])


def loss_fn(params, *args):
    return jnp.sum(params**2)


def bowls(params):
    """Its gradient is exact, however it is compiled."""
    return jnp.sum(params * params * jnp.asarray([1.0, 4.0, 0.25], params.dtype))


HINT = "One number holds for the whole fit; jax.vmap runs many fits."
ARGUMENTS = [
    (
        {"loss_fn": 3.0},
        TypeError,
        "fit: loss_fn must be a function, got float. It is called as "
        "loss_fn(params, *args).",
    ),
    (
        {"l2": 0.1},
        TypeError,
        "fit: every keyword must name an argument of fit, got l2. Data goes by position, "
        "fit(loss_fn, params, x, y); settings of Rprop go into optimizer=rprop(...).",
    ),
    (
        {"learning_rate": 0.1, "momentum": 0.9},
        TypeError,
        "keyword must name an argument of fit, got learning_rate, momentum. Data",
    ),
    (
        {"optimizer": optax.MultiSteps(rprop(), 2)},
        TypeError,
        "fit: optimizer must be an Optax transformation, got MultiSteps. rprop() is the "
        "default; for a MultiSteps ms pass "
        "optax.GradientTransformationExtraArgs(ms.init, ms.update).",
    ),
    ({"optimizer": rprop}, TypeError, "an Optax transformation, got function."),
    (
        {"max_steps": 0},
        ValueError,
        "fit: max_steps must be at least 1, got 0. It bounds the run; 1000 is the default.",
    ),
    (
        {"max_steps": 2**31},
        ValueError,
        "fit: max_steps must be less than 2**31, got 2147483648. It bounds the run; 1000 is "
        "the default.",
    ),
    (
        {"max_steps": 10.0},
        TypeError,
        "fit: max_steps must be an int, got 10.0. It bounds the run; 1000 is the default.",
    ),
    (
        {"microbatch_size": 0},
        ValueError,
        "fit: microbatch_size must be at least 1, got 0. It is the number of entries in a "
        "slice; None takes all of the data at once.",
    ),
    ({"microbatch_size": True}, TypeError, "microbatch_size must be an int, got True."),
    (
        {"microbatch_size": 2, "has_aux": True},
        ValueError,
        "fit: microbatch_size must be None with has_aux, got 2. The aux of slices is not "
        "that of the whole; compute it from result.params.",
    ),
    (
        {"patience": 0},
        ValueError,
        "fit: patience must be at least 1, got 0. It is a number of steps; 50 to 200 is "
        "usual.",
    ),
    ({"patience": "long"}, TypeError, "fit: patience must be a real number, got str."),
    (
        {"target_loss": float("nan")},
        ValueError,
        "fit: target_loss must be a number, got nan. No loss is at or below it; None asks "
        "for no target.",
    ),
    (
        {"target_loss": jnp.ones(2)},
        ValueError,
        f"fit: target_loss must be a scalar, got shape (2,). {HINT}",
    ),
    (
        {"step_tol": math.cos},
        TypeError,
        "fit: step_tol must be a number, got the function <built-in function cos>. "
        f"{HINT}",
    ),
    (
        {"patience": optax.constant_schedule(9)},
        TypeError,
        "patience must be a number, got",
    ),
    ({"patience": float("nan")}, ValueError, "patience must be at least 1, got nan."),
    ({"patience": True}, TypeError, "patience must be a real number, got bool."),
    ({"rtol": jnp.complex64(0.1)}, TypeError, "a real number, got dtype complex64."),
    ({"rtol": 10**400}, ValueError, "rtol must be at least 0 and less than 1, got inf."),
    ({"step_tol": -(10**400)}, ValueError, "step_tol must be positive, got -inf."),
    (
        {"step_tol": 0.0},
        ValueError,
        "fit: step_tol must be positive, got 0. It is a step size, in the units of the "
        "parameters, not below min_step_size.",
    ),
    (
        {"rtol": -1e-3},
        ValueError,
        "fit: rtol must be at least 0 and less than 1, got -0.001. It is the relative "
        "improvement that patience waits for; 1e-4 is the default.",
    ),
    ({"rtol": 1}, ValueError, "fit: rtol must be at least 0 and less than 1, got 1."),
    ({"rtol": "1"}, TypeError, "fit: rtol must be a real number, got str."),
    (
        {"stop_when": True},
        TypeError,
        "fit: stop_when must be a function, got bool. It is called with a StepRecord and "
        "returns a bool.",
    ),
    (
        {"stop_when": lambda seen: seen.loss},
        TypeError,
        "stop_when: the answer must be one bool, got float32[]. Compare what is in the record "
        "with jnp, for example seen.loss < 0.1.",
    ),
    (
        {"stop_when": lambda seen: seen.best_params > 0},
        TypeError,
        "stop_when: the answer must be one bool, got bool[2]. ",
    ),
    (
        {"stop_when": lambda seen: None},
        TypeError,
        "stop_when: the answer must be one bool, got NoneType. ",
    ),
    (
        {"has_aux": 1},
        TypeError,
        "fit: has_aux must be True or False, got int. Data goes by position, after "
        "params.",
    ),
    ({"history": None}, TypeError, "fit: history must be True or False, got NoneType."),
    ({"history": X}, TypeError, "fit: history must be True or False, got dtype float32."),
    (
        {"progress": "sometimes"},
        TypeError,
        "fit: progress must be True, False, 'always' or a function, got 'sometimes'. A "
        "function is called with a StepRecord; True makes a bar.",
    ),
    ({"progress": None}, TypeError, "'always' or a function, got NoneType. A function"),
    (
        {"params": jnp.arange(3, dtype="int32")},
        TypeError,
        "fit: every parameter must be a floating-point or complex array, got the only leaf "
        "of dtype int32. Make such a leaf a float, or keep it out of the parameters: as "
        "None, as data, or with nnx.split or equinox.partition.",
    ),
    (
        {"params": jnp.zeros((0, 3))},
        ValueError,
        "params must hold at least one array, got",
    ),
    (
        {"params": {}},
        ValueError,
        "fit: params must hold at least one array, got PyTreeDef({}). There is nothing to "
        "fit in it.",
    ),
    (
        {"loss_fn": lambda p: p**2},
        ValueError,
        "fit: loss_fn must return a scalar, got shape (2,). Take the mean or the sum over "
        "the data.",
    ),
    (
        {"loss_fn": lambda p: (jnp.sum(p**2), p)},
        TypeError,
        "fit: loss_fn must return a real floating-point number, got tuple. With "
        "has_aux=True it returns a pair, the loss first.",
    ),
    (
        {"loss_fn": lambda p: 3, "params": jnp.zeros(2, "float32")},
        TypeError,
        "fit: loss_fn must return a real floating-point number, got int.",
    ),
    (
        {"loss_fn": loss_fn, "has_aux": True},
        TypeError,
        "fit: loss_fn must return a pair with has_aux=True, got dtype float32. The loss "
        "comes first, then anything else.",
    ),
]


@pytest.mark.parametrize(("arguments", "kind", "message"), ARGUMENTS)
def test_arguments(arguments, kind, message):
    arguments = {"loss_fn": loss_fn, "params": X} | arguments
    with raises(kind, message):
        fit(**arguments)
    with raises(kind, message):
        jax.jit(lambda params: fit(**arguments | {"params": params}).loss)(
            arguments["params"]
        )


@in_jit_and_not
@pytest.mark.parametrize(
    ("rules", "status"),
    [
        ({"patience": 2**40}, FitStatus.MAX_STEPS),
        ({"patience": 10**400}, FitStatus.MAX_STEPS),
        ({"patience": math.inf}, FitStatus.MAX_STEPS),
        ({"target_loss": -(10**400)}, FitStatus.MAX_STEPS),
        ({"target_loss": 10**400}, FitStatus.TARGET_REACHED),
        ({"step_tol": 10**400}, FitStatus.STEP_CONVERGED),
    ],
)
def test_numbers_beyond_every_run(rules, status, call):
    def found(params):
        return fit(loss_fn, params, max_steps=2, **rules).status

    assert call(found)(X + 1) == status


def reshaped():
    """A wrapper after which it is not known which gradient a step size belongs to."""
    tx = rprop()

    def update(grads, state, params=None):
        updates, state = tx.update(grads[None], state)
        return updates[0], state

    return optax.GradientTransformation(lambda params: tx.init(params[None]), update)


@pytest.mark.parametrize(
    ("tolerance", "found"), [(1e-3, "0.001"), (10**400, "inf")], ids=["usual", "huge"]
)
@pytest.mark.parametrize("optimizer", [optax.adam(0.1), reshaped()])
def test_a_step_tol_without_step_sizes(optimizer, tolerance, found):
    def loss(params, tolerance=tolerance):
        return fit(loss_fn, params, optimizer=optimizer, step_tol=tolerance).loss

    message = (
        "fit: step_tol must be None for an optimizer without known step sizes, got "
        f"{found}. Only Rprop has them, where no wrapper hides which parameters they "
        "belong to; use target_loss or patience."
    )
    for call in (loss, jax.jit(loss), jax.vmap(loss)):
        with raises(ValueError, message):
            call(X[:, None])
    with raises(ValueError, message.replace(found, "a traced number")):
        jax.jit(loss)(X, 1e-3)


@in_jit_and_not
@pytest.mark.parametrize("optimizer", [rprop(), rprop_8bit()])
def test_a_step_tol_with_step_sizes(optimizer, call):
    def run(params):
        result = fit(bowls, params, optimizer=optimizer, step_tol=1e-3)
        return result.loss, result.status

    loss, status = call(run)(jnp.asarray([1, -2, 0.3], "float32"))
    assert status == FitStatus.STEP_CONVERGED
    assert loss < 1e-4


def test_a_step_tol_for_every_lane():
    starts = jnp.asarray([[1, -2, 0.3], [0.7, 0.2, -5]], "float32")
    lanes = jax.vmap(lambda s: fit(bowls, s, step_tol=1e-3))(starts)
    np.testing.assert_array_equal(lanes.status, FitStatus.STEP_CONVERGED)
    alone = [fit(bowls, start, step_tol=1e-3) for start in starts]
    np.testing.assert_array_equal(lanes.num_steps, [a.num_steps for a in alone])

    tolerances = jnp.asarray([1e-1, 1e-3, 1e-5], "float32")
    lanes = jax.vmap(lambda t: fit(bowls, starts[0], step_tol=t))(tolerances)
    alone = [fit(bowls, starts[0], step_tol=t).num_steps for t in tolerances.tolist()]
    np.testing.assert_array_equal(lanes.num_steps, alone)
    assert alone == sorted(set(alone))


@pytest.mark.parametrize("patience", [7, 7.0, 6.2])
def test_a_traced_patience(patience):
    def run(patience):
        result = fit(lambda p: jnp.sum(jnp.abs(p)) + 1, X + 1, patience=patience)
        return result.num_steps, result.status

    steps, status = jax.jit(run)(patience)
    assert (steps, status) == run(patience) == run(7)
    assert status == FitStatus.STALLED


@pytest.mark.parametrize(
    ("optimizer", "smallest"),
    [
        (rprop(), "1e-06"),
        (rprop(1.0, min_step_size=1e-3), "0.001"),
        (rprop_8bit(), "9.53674e-07"),
        (rprop_8bit(min_step_size=2**-10), "0.000976562"),
        (optax.chain(optax.clip(1.0), rprop(variant="irprop+")), "1e-06"),
    ],
)
def test_a_step_tol_that_no_step_size_meets(optimizer, smallest):
    with raises(
        ValueError,
        f"fit: step_tol must be at least min_step_size, got 1e-07 below {smallest}. No "
        "step size can meet it; lower min_step_size as well.",
    ):
        fit(loss_fn, X, optimizer=optimizer, step_tol=1e-7)


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ((jnp.ones(3), {"y": jnp.ones(4)}), "3 in args[0], 4 in args[1]['y']"),
        ((jnp.ones(3), 2.0), "3 in args[0], None in args[1]"),
        ((jnp.ones((0, 2)),), "0 in args[0]"),
        ((), "no arrays"),
    ],
)
def test_data_of_unequal_leading_size(args, found):
    with raises(
        ValueError,
        f"fit: args must have one leading size, got {found}. It is the axis of the mean; "
        "what has no such axis belongs into params or into loss_fn.",
    ):
        fit(loss_fn, X, *args, microbatch_size=2)


STREAMED = [
    (loss_fn, X, [], ValueError, "streaming_value_and_grad: batches must yield at least "
     "one batch, got none. A generator is used up after one pass; make a new one for "
     "every epoch."),
    (loss_fn, X, [(np.ones(3), np.ones(2))], ValueError, "streaming_value_and_grad: batch must have one leading "
     "size, got 3 in batch[0], 2 in batch[1]. It is the axis of the mean; what has no "
     "such axis belongs into params or into loss_fn."),
    (loss_fn, X, [2.0], ValueError, "streaming_value_and_grad: batch must have one leading size, got None in "
     "batch[0]. "),
    (lambda p, x: p, X, [np.ones(3)], ValueError, "streaming_value_and_grad: loss_fn must return a scalar, got "
     "shape (2,). "),
    (loss_fn, [1, 2], [np.ones(3)], TypeError, "streaming_value_and_grad: every parameter must be a floating-point "
     "or complex array, got leaf [0] of int, leaf [1] of int. "),
    (lambda p, x: (p[0], x), X, [np.ones(3)], TypeError, "streaming_value_and_grad: loss_fn must return a "
     "real floating-point number, got tuple. Only the loss can be streamed."),
]  # fmt: skip


@pytest.mark.parametrize(("loss_fn", "params", "batches", "kind", "message"), STREAMED)
def test_streamed_batches(loss_fn, params, batches, kind, message):
    with raises(kind, message):
        streaming_value_and_grad(loss_fn)(params, batches)


def test_a_streamed_loss_that_needs_values():
    with raises(
        TypeError,
        "streaming_value_and_grad: loss_fn must compute with jax.numpy, got an operation "
        "that needs a value: ConcretizationTypeError. It is traced",
    ):
        streaming_value_and_grad(lambda p, x: float(p[0]))(X, [np.ones(3)])


@pytest.mark.parametrize(
    ("loss", "error"),
    [
        (lambda p, x, y: loss_fn(p), "missing 1 required positional argument: 'y'"),
        (lambda p: loss_fn(p), "takes 1 positional argument but 2 were given"),
        (lambda p, x: jnp.sum(x @ p), "dot_general requires contracting dimensions"),
    ],
)
def test_an_error_in_a_streamed_loss_tells_its_arguments(loss, error):
    with raises(TypeError, error) as caught:
        streaming_value_and_grad(loss)(X, [np.ones((3, 5), "float32")])
    assert (
        "streaming_value_and_grad called loss_fn(params, *args) with float32[2], "
        "float32[3,5]." in caught.value.__notes__
    )


def test_streamed_loss():
    with raises(TypeError, "streaming_value_and_grad: loss_fn must be a function, got "):
        streaming_value_and_grad("mse")


class Series:
    """Like that of pandas: an array to NumPy, and none to JAX."""

    dtype, shape = np.dtype("float64"), (3,)

    def __array__(self, dtype=None, copy=None):
        return np.ones(3)


DELETED = jnp.zeros(2, "float32")
DELETED.delete()


FLOAT = "Make it a float."
NUMBERS = "Turn text and objects into numbers."
COPY = "It was donated or deleted; pass a copy."
NAMED = (
    "What follows params is data, a pandas object as .to_numpy(); all else has a name, "
    "such as optimizer=rprop()."
)
PANDAS = "Convert a pandas object with .to_numpy()."
BATCH = "A batch is an array, or a tuple of arrays."
TEXT = np.array(["a", "b"])
OBJECTS = np.array([1, "a"], object)


@pytest.mark.parametrize(
    ("args", "found", "hint"),
    [
        ((X, rprop()), "args, function at leaf [0].init", NAMED),
        ((X, X, {"y": "a"}), "args, str at leaf [1]['y']", NAMED),
        ((X, Series()), "args, Series at leaf [0]", NAMED),
        ((X, OBJECTS), "args, dtype object at leaf [0]", NUMBERS),
        ((X, TEXT), "args, dtype <U1 at leaf [0]", NUMBERS),
        ((X, TEXT[0]), "args, dtype <U1 at leaf [0]", NUMBERS),
        ((X, X, DELETED), "args, a deleted array at leaf [1]", COPY),
        ((X, 2**31), "args, the int 2147483648 at leaf [0]", FLOAT),
        ((X, -(2**31) - 1), "args, the int -2147483649 at leaf [0]", FLOAT),
        (({"w": Series()},), "params, Series at leaf ['w']", PANDAS),
        ((DELETED,), "params, a deleted array at the only leaf", COPY),
        (([DELETED], X), "params, a deleted array at leaf [0]", COPY),
    ],
)
def test_what_is_no_data(args, found, hint, no_x64):
    name, found = found.split(", ")
    message = (
        f"fit: {name} must hold arrays and numbers that JAX can use, got {found}. {hint}"
    )
    with raises(TypeError, message):
        fit(loss_fn, *args)
    with raises(TypeError, message):
        jax.jit(lambda: fit(loss_fn, *args).loss)()


@in_jit_and_not
@pytest.mark.parametrize(
    "leaf", [1, 1.0, True, 1j, 2**31 - 1, np.float32(1), TEXT == "a", None]
)
def test_what_is_data(leaf, call, no_x64):
    assert call(lambda p: fit(loss_fn, p, leaf, max_steps=1).num_steps)(X + 1) == 1


@in_jit_and_not
@pytest.mark.parametrize(
    ("field", "leaf", "found"),
    [
        ("best_loss", "low", "str at leaf .best_loss"),
        ("best_aux", {"a": "low"}, "str at leaf .best_aux['a']"),
        ("params", DELETED, "a deleted array at leaf .params"),
        ("best_step", np.asarray(None), "dtype object at leaf .best_step"),
        ("num_steps", 2**31, "the int 2147483648 at leaf .num_steps"),
    ],
)
def test_a_state_to_resume_that_holds_no_data(field, leaf, found, call, no_x64):
    last = fit(loss_fn, X, max_steps=1).last._replace(**{field: leaf})
    with raises(
        TypeError,
        f"fit: resume must hold arrays and numbers that JAX can use, got {found}. ",
    ):
        call(lambda p: fit(loss_fn, p, resume=last).loss)(X)


@pytest.mark.parametrize(
    ("batch", "found", "hint"),
    [
        ("a", "str at leaf [0]", BATCH),
        (Series(), "Series at leaf [0]", BATCH),
        (TEXT, "dtype <U1 at leaf [0]", NUMBERS),
        ((np.ones(2), OBJECTS), "dtype object at leaf [1]", NUMBERS),
        ({"x": DELETED}, "a deleted array at leaf [0]['x']", COPY),
        (2**31, "the int 2147483648 at leaf [0]", FLOAT),
    ],
)
@pytest.mark.parametrize("before", [[], [np.ones(2, "float32")]])
def test_a_batch_that_is_no_data(batch, found, hint, before, no_x64):
    with raises(
        TypeError,
        "streaming_value_and_grad: batch must hold arrays and numbers that JAX can use, "
        f"got {found}. {hint}",
    ):
        streaming_value_and_grad(loss_fn)(X, [*before, batch])


def test_wrong_parameters_come_before_wrong_data():
    with raises(TypeError, "every parameter must be a floating-point or complex array"):
        fit(loss_fn, {"w": X, "name": "a"}, "data")


@in_jit_and_not
@pytest.mark.parametrize(
    ("loss", "args", "takes", "count"),
    [
        (lambda p, x, y: loss_fn(p), (X,), "(p, x, y)", 1),
        (lambda p, x, y: loss_fn(p), (X, X, X), "(p, x, y)", 3),
        (lambda p: loss_fn(p), (X,), "(p)", 1),
        (lambda p, *, l2: loss_fn(p), (), "(p, *, l2)", 0),
    ],
)
def test_missing_and_surplus_data(loss, args, takes, count, call):
    with raises(
        TypeError,
        f"fit: args must be the data that loss_fn{takes} takes after params, got {count} "
        "of them. Call fit(loss_fn, params, *args); functools.partial binds keywords.",
    ):
        call(lambda p: fit(loss, p, *args).loss)(X)


@in_jit_and_not
@pytest.mark.parametrize(
    ("loss", "error"),
    [
        (lambda p: float(p[0]), "ConcretizationTypeError"),
        (lambda p: np.sum(np.tanh(p)), "TracerArrayConversionError"),
        (lambda p: p[0] if p[0] > 0 else p[1], "TracerBoolConversionError"),
        (lambda p: [p[0], p[1]][p[0].astype(int)], "TracerIntegerConversionError"),
    ],
)
def test_a_loss_that_needs_values(loss, error, call):
    with raises(
        TypeError,
        "fit: loss_fn must compute with jax.numpy, got an operation that needs a value: "
        f"{error}. It is traced, so use jnp instead of numpy and float(), and jnp.where "
        "instead of if.",
    ):
        call(lambda p: fit(loss, p).loss)(X)


@in_jit_and_not
@pytest.mark.parametrize(
    ("rules", "data"), [({}, "float32[6,5]"), ({"microbatch_size": 3}, "float32[3,5]")]
)
def test_an_error_in_the_loss_tells_its_arguments(rules, data, call):
    def loss(params, x):
        return jnp.sum(x @ params["w"])

    x = jnp.ones((6, 5), "float32")
    with pytest.raises(TypeError, match="dot_general requires") as caught:
        call(lambda p: fit(loss, p, x, **rules).loss)({"w": X})
    assert (
        f"fit called loss_fn(params, *args) with {{w: float32[2]}}, {data}."
        in caught.value.__notes__
    )


def loss_and_aux(params, data):
    return jnp.mean((params[0] - data) ** 2), params * data[0]


def of_data(x):
    return fit(loss_and_aux, X, x * DATA, has_aux=True, max_steps=2)


def of_slices(x):
    def loss(params, data):
        return loss_and_aux(params, data)[0]

    return fit(loss, X, x * DATA, microbatch_size=2, max_steps=2)


def of_start(x):
    return fit(loss_fn, X + x, max_steps=2)


def of_closure(x):
    return fit(lambda params: x * loss_fn(params), X + 1, max_steps=2)


def of_rule(name):
    return lambda x: fit(loss_fn, X + 1, max_steps=2, **{name: x})


def of_resume(name):
    def run(x):
        moved = jax.tree.map(lambda leaf: leaf * x if is_float(leaf) else leaf,
                             getattr(LAST, name))  # fmt: skip
        return fit(loss_fn, X, max_steps=2, resume=LAST._replace(**{name: moved}))

    return run


def is_float(leaf):
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def of_setting(name):
    return lambda x: fit(loss_fn, X + 1, optimizer=rprop(**{name: x}), max_steps=2)


DATA = jnp.ones(4, "float32")
LAST = fit(loss_fn, X + 1, max_steps=2).last
DERIVATIVES = [
    pytest.param(run, at, part, id=f"{part} of {name}")
    for name, run, at in (
        ("data", of_data, 1.0),
        ("slices", of_slices, 1.0),
        ("start", of_start, 1.0),
        ("closure", of_closure, 1.0),
        ("learning_rate", of_setting("learning_rate"), 0.1),
        ("eta_minus", of_setting("eta_minus"), 0.5),
        ("eta_plus", of_setting("eta_plus"), 1.2),
        ("min_step_size", of_setting("min_step_size"), 1e-6),
        ("max_step_size", of_setting("max_step_size"), 50.0),
        ("target_loss", of_rule("target_loss"), 0.1),
        ("rtol", of_rule("rtol"), 0.1),
        ("step_tol", of_rule("step_tol"), 0.1),
        ("patience", of_rule("patience"), 7.0),
        ("resume.params", of_resume("params"), 1.0),
        ("resume.opt_state", of_resume("opt_state"), 1.0),
        ("resume.best_params", of_resume("best_params"), 1.0),
        ("resume.best_loss", of_resume("best_loss"), 1.0),
    )
    for part in (["params", "loss", "aux"] if name == "data" else ["params", "loss"])
]


@pytest.mark.parametrize(("run", "at", "part"), DERIVATIVES)
@pytest.mark.parametrize("derivative", [jax.grad, jax.jacfwd])
def test_a_derivative_through_a_fit(derivative, run, at, part):
    def summed(x):
        return jnp.sum(getattr(run(x), part))

    for function in (
        derivative(summed),
        derivative(jax.jit(summed)),
        jax.jit(derivative(summed)),
    ):
        with raises(
            TypeError,
            "fit: its inputs must not be differentiated, got a derivative through fit. "
            "Rprop follows signs, so it would be zero without being right. Differentiate "
            "the solution: optimistix.minimise with optax_rprop.optimistix.RpropMinimiser "
            "and ImplicitAdjoint (docs/fit.md). Or pass its inputs through "
            "jax.lax.stop_gradient.",
        ):
            function(at)


def test_a_derivative_beside_a_fit():
    def summed(x):
        return of_data(jax.lax.stop_gradient(x)).loss + 3 * x

    assert jax.grad(summed)(1.0) == 3


def test_progress_inside_jit():
    with raises(
        ValueError,
        "fit: progress must be False inside jit or vmap, got True. There the whole run is "
        "one program that reports nothing before its end.",
    ):
        jax.jit(lambda p: fit(loss_fn, p, progress=True).loss)(X)
    with raises(
        ValueError, "fit: progress must be False inside jit or vmap, got 'always'"
    ):
        jax.vmap(lambda p: fit(loss_fn, p, progress="always").loss)(X[:, None])


@pytest.mark.parametrize("name", ["learning_rate", "eta_plus"])
def test_progress_where_only_a_hyperparameter_is_traced(name):
    told = []

    @jax.jit
    def run(number):
        optimizer = rprop(**{name: number})
        return fit(loss_fn, X, optimizer=optimizer, progress=told.append).loss

    with raises(
        ValueError, "must be False inside jit or vmap, got a function. There the"
    ):
        run(1.5)
    assert told == []


def test_a_bar_of_tqdm():
    tqdm = pytest.importorskip("tqdm", reason="tqdm is not installed")
    for bar in (tqdm.tqdm(total=3, disable=True), tqdm.tqdm):
        with raises(
            TypeError, f"'always' or a function, got {type(bar).__name__}. A func"
        ):
            fit(loss_fn, X, progress=bar)


def test_progress_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with raises(
        ImportError,
        "fit: progress must be False without tqdm, got True. pip install "
        "'optax-rprop[progress]' brings it; a function needs nothing.",
    ):
        fit(loss_fn, X, progress=True)


SAME = (
    "Pass result.last of a fit with the same parameters and the same kind of optimizer."
)


@pytest.mark.parametrize("resume", [{"params": X}, "checkpoints"])
def test_resume_from_something_else(resume):
    kind = type(resume).__name__
    with raises(TypeError, f"fit: resume must be a FitState, got {kind}. {SAME}"):
        fit(loss_fn, X, resume=resume)


def lanes(x):
    return jax.vmap(lambda x: fit(loss_fn, x, max_steps=1).last)(jnp.stack([x, x]))


def with_state(state):
    return lambda last: last._replace(opt_state=state)


@in_jit_and_not
@pytest.mark.parametrize(
    ("change", "optimizer", "start", "found"),
    [
        (with_state(optax.adam(0.1).init(X)), rprop(), X,
         "nothing instead of float32[2] at leaf .opt_state[0].step_sizes and 5 more"),
        (with_state(rprop_8bit().init(X)), rprop(), X,
         "nothing instead of float32[2] at leaf .opt_state[0].step_sizes and 3 more"),
        (lambda last: last, rprop_8bit(), X,
         "nothing instead of uint8[2] at leaf .opt_state[0].codes and 3 more"),
        (lambda last: last, optax.adam(0.1), X,
         "nothing instead of int32[] at leaf .opt_state[0].count and 5 more"),
        (lambda last: last, optax.chain(optax.clip(1.0), rprop()), X,
         "nothing instead of float32[2] at leaf .opt_state[1][0].step_sizes and 5 more"),
        (lambda last: last, rprop(), jnp.zeros(3, "float32"),
         "float32[2] instead of float32[3] at leaf .params and 3 more"),
        (lambda last: last._replace(best_step=jnp.zeros((), "int8")), rprop(), X,
         "int8[] instead of int32[] at leaf .best_step"),
        (lambda last: last._replace(best_aux=()), rprop(), X, "the same leaves in PyTreeDef"),
        (lambda last: lanes(last.params), rprop(), X,
         "float32[2,2] instead of float32[2] at leaf .params and 17 more"),
    ],
)  # fmt: skip
def test_resume_from_another_fit(change, optimizer, start, found, call):
    last = change(fit(loss_fn, X, max_steps=1).last)
    hint = "" if "PyTreeDef" in found else f". {SAME}"
    with raises(
        ValueError,
        "fit: resume must have the structure, shapes and dtypes of the state of this fit, "
        f"got {found}{hint}",
    ):
        call(lambda p: fit(loss_fn, p, resume=last, optimizer=optimizer).loss)(start)


@pytest.mark.parametrize("first", VARIANTS)
@pytest.mark.parametrize("second", VARIANTS)
def test_resume_with_another_rule(first, second):
    """It goes on from the step sizes, signs and loss of the first, as the oracle does."""
    start = jnp.asarray([2.0, -3.0, 0.5], "float32")
    last = fit(bowls, start, optimizer=RULES[first], max_steps=8).last
    oracle = Oracle(second, 3, np.float32)
    state = last.opt_state[0]
    oracle.delta, oracle.sign = (
        list(np.asarray(state.step_sizes)),
        state.prev_signs.tolist(),
    )
    oracle.error = state.prev_value.item()
    assert any(oracle.sign)
    params = np.asarray(last.params)
    for steps in range(1, 8):
        value, gradient = jax.value_and_grad(bowls)(params)
        params = params + oracle.step(np.asarray(gradient), value.item())
        rest = fit(bowls, start, optimizer=RULES[second], max_steps=steps, resume=last)
        np.testing.assert_array_equal(rest.last.params, params)
        assert rest.last.returned_step == 0  # or it would have left the oracle


@in_jit_and_not
def test_an_aux_that_holds_no_arrays(call):
    with raises(
        TypeError,
        "fit: aux must hold arrays and numbers that JAX can use, got str at leaf ['name']. "
        "Return it as an array, or compute it from result.params.",
    ):
        call(lambda p: fit(lambda p: (loss_fn(p), {"name": "a"}), p, has_aux=True).loss)(
            X
        )


@pytest.mark.parametrize(("batches", "found"), [({"x": X}, "dict"), (3, "int")])
def test_batches_that_are_no_iterable_of_batches(batches, found):
    with raises(
        TypeError,
        "streaming_value_and_grad: batches must be an iterable of batches, got "
        f"{found}. Wrap a single batch in a list.",
    ):
        streaming_value_and_grad(lambda p, x: jnp.mean(p * x))(X, batches)
