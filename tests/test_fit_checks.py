"""Every message of ``fit``, read; test_checks.py counts that none is forgotten."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import raises

from optax_rprop import fit, rprop, rprop_8bit, streaming_value_and_grad

X = jnp.zeros(2, "float32")


def loss_fn(params, *args):
    return jnp.sum(params**2)


class Unhashable:
    __hash__ = None

    def __call__(self, params):
        return loss_fn(params)


ARGUMENTS = [
    (
        {"loss_fn": 3.0},
        TypeError,
        "fit: loss_fn must be a function, got dtype float64. It is called as "
        "loss_fn(params, *args).",
    ),
    (
        {"loss_fn": Unhashable()},
        TypeError,
        "fit: loss_fn must be hashable, got Unhashable. What was compiled is found by it again; "
        "pass arrays as args, and wrap it in a plain function.",
    ),
    (
        {"optimizer": optax.MultiSteps(rprop(), 2)},
        TypeError,
        "fit: optimizer must be an Optax transformation, got MultiSteps. rprop() is the "
        "default; optax.MultiSteps has a gradient_transformation().",
    ),
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
    ({"target_loss": jnp.ones(2)}, ValueError, "fit: target_loss must be a scalar"),
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
    (
        {"progress": "sometimes"},
        TypeError,
        "fit: progress must be True, False, 'always' or a function, got 'sometimes'. A "
        "function is called with num_steps, loss and step_size.",
    ),
    (
        {"params": jnp.arange(3, dtype="int32")},
        TypeError,
        "fit: every parameter must be a floating-point or complex array, got the only leaf "
        "of dtype int32.",
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
        "fit: loss_fn must return a real floating-point number, got dtype int",
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
    with raises(kind, message):
        fit(**({"loss_fn": loss_fn, "params": X} | arguments))


def test_a_step_tol_without_step_sizes():
    with pytest.raises(
        ValueError,
        match=r"fit: step_tol must be None for an optimizer without step sizes, got .+. "
        r"Only Rprop has them; use target_loss or patience.",
    ):
        fit(loss_fn, X, optimizer=optax.adam(0.1), step_tol=1e-3)


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
     "or complex array, got leaf [0] of dtype int64, leaf [1] of dtype int64. "),
]  # fmt: skip


@pytest.mark.parametrize(("loss_fn", "params", "batches", "kind", "message"), STREAMED)
def test_streamed_batches(loss_fn, params, batches, kind, message):
    with raises(kind, message):
        streaming_value_and_grad(loss_fn)(params, batches)


def test_streamed_loss():
    with raises(TypeError, "streaming_value_and_grad: loss_fn must be a function, got "):
        streaming_value_and_grad("mse")
    with raises(TypeError, "streaming_value_and_grad: loss_fn must be hashable, got "):
        streaming_value_and_grad(Unhashable())


def test_data_that_is_none():
    with raises(
        TypeError,
        "fit: args must hold arrays, got leaf [0].init of function, leaf [0].update of "
        "function. What follows params is data; all else has a name, such as "
        "optimizer=rprop().",
    ):
        fit(loss_fn, X, rprop(variant="rprop-"))
    with raises(
        TypeError, "every parameter must be a floating-point or complex array, got"
    ):
        fit(loss_fn, {"w": X, "name": "a"})


def test_resume_with_the_rules_of_other_leaves():
    a, b = rprop(), rprop(variant="rprop-")
    start = {"x": X, "y": X}

    def loss(params):
        return loss_fn(params["x"]) + loss_fn(params["y"])

    def groups(rules):
        return optax.multi_transform(rules, {"x": "x", "y": "y"})

    last = fit(loss, start, optimizer=groups({"x": a, "y": b}), max_steps=3).last
    fit(loss, start, optimizer=groups({"y": b, "x": a}), max_steps=3, resume=last)
    with raises(ValueError, "got one with others"):
        fit(loss, start, optimizer=groups({"x": b, "y": a}), max_steps=3, resume=last)


def test_progress_inside_jit():
    with raises(
        ValueError,
        "fit: progress must be False inside jit or vmap, got True. There the whole run is "
        "one program that reports nothing before its end.",
    ):
        jax.jit(lambda p: fit(loss_fn, p, progress=True).loss)(X)


def test_progress_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with raises(
        ImportError,
        "fit: progress must be False without tqdm, got True. pip install "
        "'optax-rprop[progress]' brings it; a function needs nothing.",
    ):
        fit(loss_fn, X, progress=True)


def test_resume():
    last = fit(loss_fn, X, max_steps=1).last
    same = "Pass result.last of a fit with the same loss, optimizer and parameters."
    with raises(TypeError, f"fit: resume must be a FitState, got dict. {same}"):
        fit(loss_fn, X, resume={"params": X})
    with raises(TypeError, f"fit: resume must be a FitState, got str. {same}"):
        fit(loss_fn, X, resume="checkpoints")

    def loss_of_list(params):
        return loss_fn(params[0])

    other = jax.tree.structure(fit(loss_of_list, [X], max_steps=1).last)
    with raises(
        ValueError,
        f"fit: resume must have the structure {other}, got {jax.tree.structure(last)}. "
        f"{same}",
    ):
        fit(loss_of_list, [X], resume=last)
    with raises(
        ValueError,
        "fit: resume must fit the parameters and the optimizer, got leaf .params of dtype "
        "float32 and shape (2,) instead of dtype float32 and shape (3,)",
    ):
        fit(loss_fn, jnp.zeros(3, "float32"), resume=last)
    signs = last.opt_state[0].prev_signs.astype("float32")
    wrong = (last.opt_state[0]._replace(prev_signs=signs), *last.opt_state[1:])
    with raises(
        ValueError,
        "fit: resume must fit the parameters and the optimizer, got leaf "
        ".opt_state[0].prev_signs of dtype float32 and shape (2,) instead of dtype int8 "
        f"and shape (2,). {same}",
    ):
        fit(loss_fn, X, resume=last._replace(opt_state=wrong))


@pytest.mark.parametrize(
    ("optimizer", "rules"),
    [
        (rprop(variant="rprop+"), "rprop 'rprop+'"),
        (rprop_8bit(), "rprop_8bit 'irprop-'"),
        (optax.chain(optax.clip(1.0), rprop(variant="rprop-")), "rprop 'rprop-'"),
        (optax.adam(0.1), "none of Rprop"),
    ],
)
def test_resume_with_another_rule(optimizer, rules):
    last = fit(loss_fn, X, max_steps=1).last
    with raises(
        ValueError,
        "fit: resume must come from a fit with the rules of the optimizer, "
        f"{rules}, got one with others. The step sizes and signs of one rule mean "
        "something else to another; pass the optimizer of that fit.",
    ):
        fit(loss_fn, X, resume=last, optimizer=optimizer)
    lanes = jax.vmap(lambda x: fit(loss_fn, x, max_steps=1).last)(jnp.stack([X, X]))
    with raises(ValueError, "got one with others"):
        fit(loss_fn, X, resume=lanes, optimizer=optimizer)
