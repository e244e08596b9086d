"""Every message of the conversions from and to torch; test_checks.py counts them."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import entry, raises, torch_group, torch_state

from optax_rprop import (
    from_torch_state_dict,
    in_box,
    in_eigenbasis,
    in_units,
    rprop,
    rprop_8bit,
    to_torch_state_dict,
)

TWO = np.zeros(2, "float32")
ONES = np.ones((3, 1), "float32")
GOOD = torch_state(entry(TWO, TWO + 0.5), entry(ONES, ONES))
PARAMS = [TWO, np.zeros((3, 1), "float32")]
ORDER = (
    "Leaves without names are matched in the order of jax.tree.leaves, which sorts the "
    "keys of a dict. Pass a list in the order of torch's parameters, or make torch's "
    "optimizer from module.named_parameters()."
)
HINT = (
    "One number holds for all parameters and steps; optax.partition makes groups with "
    "numbers of their own."
)


class OnAGpu:
    dtype = "torch.bfloat16"

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Got unsupported ScalarType BFloat16")


def without(key):
    return {k: v for k, v in torch_group([0]).items() if k != key}


ADAM = {"params": [0], "lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8}
SGD = {"params": [0], "lr": 0.001, "momentum": 0.9}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, "NoneType without 'state', 'param_groups'"),
        ({"param_groups": []}, "dict without 'state'"),
        ({"state": {}, "param_groups": [ADAM]}, "a group without 'etas', 'step_sizes'"),
        ({"state": {}, "param_groups": [SGD]}, "a group without 'etas', 'step_sizes'"),
        (
            {"state": {}, "param_groups": [torch_group([0]), without("lr")]},
            "a group without 'lr'",
        ),
        ({"state": {}, "param_groups": [without("params")]}, "a group without 'params'"),
        ({"state": {}, "param_groups": [torch_group([0], etas=None)]}, "etas of None"),
        (
            {"state": {}, "param_groups": [torch_group([0], step_sizes=(1e-6,))]},
            "step_sizes of (1e-06,)",
        ),
        (
            {"state": {}, "param_groups": []},
            "a group without 'params', 'lr', 'etas', 'step_sizes'",
        ),
        (
            {"state": {}, "param_groups": None},
            "a group without 'params', 'lr', 'etas', 'step_sizes'",
        ),
        (
            {"state": {7: {"prev": TWO}}, "param_groups": [torch_group([7])]},
            "an entry for parameter 7 without 'step_size'",
        ),
        (
            {"state": {0: None}, "param_groups": [torch_group([0])]},
            "an entry for parameter 0 without 'prev', 'step_size'",
        ),
    ],
)
def test_another_state_dict(value, found):
    with raises(
        TypeError,
        f"from_torch_state_dict: state_dict must be that of a torch.optim.Rprop, got {found}. Pass what optimizer.state_dict() returns. The state of another optimizer, such as Adam or SGD, has no step sizes to continue with.",
    ):
        from_torch_state_dict(value, PARAMS)


@pytest.mark.parametrize("name", ["Adam", "SGD", "Adagrad", "RMSprop"])
def test_other_optimizers_of_torch(name):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    fresh = getattr(torch.optim, name)([torch.zeros(2)], lr=0.1)
    with raises(TypeError, "got a group without 'etas', 'step_sizes'."):
        from_torch_state_dict(fresh.state_dict(), [TWO])


def test_another_number_of_parameters():
    with raises(
        ValueError,
        "from_torch_state_dict: params must have as many leaves as torch has parameters, 2, "
        f"got 1. {ORDER}",
    ):
        from_torch_state_dict(GOOD, PARAMS[:1])


@pytest.mark.parametrize(
    ("params", "path", "index", "expected", "found"),
    [
        (PARAMS[::-1], "[0]", 0, "(2,) and float32", "(3, 1) and float32"),
        ({"w": TWO, "b": PARAMS[1]}, "['b']", 0, "(2,) and float32", "(3, 1) and float32"),
        ([TWO, jnp.zeros((3, 1), "float16")], "[1]", 1, "(3, 1) and float32",
         "(3, 1) and float16"),
    ],
)  # fmt: skip
def test_another_order_or_dtype(params, path, index, expected, found):
    with raises(
        ValueError,
        f"from_torch_state_dict: leaf {path} "
        "must have the shape and dtype of torch's parameter "
        f"{index}, {expected}, got {found}. {ORDER} Float64 needs jax_enable_x64.",
    ):
        from_torch_state_dict(GOOD, params)


@pytest.mark.parametrize(
    ("names", "params", "found"),
    [
        (
            ["query", "key"],
            {"query": TWO, "keys": TWO, "value": TWO},
            "no leaf for 'key'; no parameter for 'keys', 'value'",
        ),
        (["query", "key"], {"query": TWO}, "no leaf for 'key'"),
        (["a.b"], {"a": {"b": {"c": TWO}}}, "no leaf for 'a.b'; no parameter for 'a.b.c'"),
        (["a.b", "c"], {"a.b": TWO, "a": {"b": TWO}, "c": TWO}, "more than one 'a.b'"),
        (["w", "w"], {"w": TWO}, "more than one 'w'"),
        (["w", "b"], (TWO, {"b": TWO}), "no leaf for 'w', 'b'; no parameter for '0', '1.b'"),
    ],
)  # fmt: skip
def test_other_names(names, params, found):
    rest = (
        "_torch_state_dict: params must have one leaf for each of torch's param_names, got "
        f"{found}. A leaf is named by its path, as in 'layer.weight'. Rename the leaves, or "
        "pass a list of arrays in the order of torch's parameters."
    )
    written = torch_state(*[None] * len(names), names=names)
    with raises(ValueError, f"from{rest}"):
        from_torch_state_dict(written, params)
    with raises(ValueError, f"to{rest}"):
        to_torch_state_dict(rprop().init(params), params, param_names=names)


@pytest.mark.parametrize("names", [[], ["weight"]])
def test_another_number_of_names(names):
    with raises(
        ValueError,
        "to_torch_state_dict: params must have as many leaves as torch has "
        f"parameters, {len(names)}, got 2. {ORDER}",
    ):
        to_torch_state_dict(rprop().init(PARAMS), PARAMS, param_names=names)


@pytest.mark.parametrize("names", [["weight"], []])
def test_a_group_with_too_few_names(names):
    group = torch_group([0, 1], param_names=names)
    with raises(
        ValueError,
        "from_torch_state_dict: param_names must name every parameter of its group, got "
        f"{len(names)} for 2. Torch writes them when the optimizer is made from "
        "module.named_parameters().",
    ):
        from_torch_state_dict({"state": {}, "param_groups": [group]}, PARAMS)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"lr": float("nan")}, "learning_rate must be positive and finite, got nan."),
        ({"lr": float("inf")}, "learning_rate must be positive and finite, got inf."),
        ({"lr": -0.1}, "learning_rate must be positive and finite, got -0.1."),
        ({"lr": "0.1"}, "learning_rate must be a real number, got str."),
        (
            {"lr": math.cos},
            "learning_rate must be a number, got the function <built-in function cos>. "
            "Torch has one per group.",
        ),
        (
            {"lr": 0.0, "step_sizes": (0.0, 50)},
            "learning_rate must be positive and finite, got 0.",
        ),
        ({"etas": (1.2, 0.5)}, "eta_minus must lie strictly between 0 and 1, got 1.2."),
        ({"etas": (0.5, 0.9)}, "eta_plus must be finite and greater than 1, got 0.9."),
        (
            {"step_sizes": (-1.0, 50)},
            "min_step_size must be finite and at least 0, got -1.",
        ),
        ({"step_sizes": (0.0, float("nan"))}, "max_step_size must be positive, got nan."),
        ({"step_sizes": (0.0, 0.0)}, "max_step_size must be positive, got 0."),
        (
            {"step_sizes": (2.0, 1.0)},
            "min_step_size must not exceed max_step_size, got 2 and 1.",
        ),
    ],
)
def test_settings_out_of_range(setting, message):
    """In both functions; only torch has an ``lr``."""
    kind = TypeError if " number, got " in message else ValueError
    group = torch_group([0], **setting)
    with raises(kind, f"from_torch_state_dict: {message}"):
        from_torch_state_dict({"state": {}, "param_groups": [group]}, [TWO])
    if "lr" not in setting:
        names = ("eta_minus", "eta_plus", "min_step_size", "max_step_size")
        arguments = zip(names, (*group["etas"], *group["step_sizes"]), strict=True)
        with raises(kind, f"to_torch_state_dict: {message}"):
            to_torch_state_dict(rprop().init([TWO]), [TWO], **dict(arguments))


@pytest.mark.parametrize(
    "name", ["eta_minus", "eta_plus", "min_step_size", "max_step_size"]
)
def test_a_setting_of_the_wrong_kind(name):
    hint = HINT if name.startswith("eta") else "Torch has one per group."
    for value, kind, message in (
        ("1", TypeError, "must be a real number, got str."),
        (
            math.cos,
            TypeError,
            f"number, got the function <built-in function cos>. {hint}",
        ),
        (np.ones(2), ValueError, f"must be a scalar, got shape (2,). {hint}"),
    ):
        with raises(kind, message) as caught:
            to_torch_state_dict(rprop().init([TWO]), [TWO], **{name: value})
        assert str(caught.value).startswith(f"to_torch_state_dict: {name} must be a ")


@pytest.mark.parametrize(
    ("size", "found"),
    [
        (np.float32([1, -0.5]), "-0.5"),
        (np.float32([0, 1]), "0"),
        (np.float32([1, np.nan]), "nan"),
        (np.float32([np.inf, 1]), "inf"),
        (np.float32([1, 51]), "51"),
        (np.complex64([1 + 1j, 0.5]), "0"),
        (np.complex64([1 + 1j, 1 - 2j]), "-2"),
    ],
)
def test_step_sizes_out_of_range(size, found):
    zeros = np.zeros_like(size)
    written, params = torch_state(None, entry(zeros, size)), [TWO, zeros]
    with raises(
        ValueError,
        "from_torch_state_dict: the step sizes of parameter 1 must be finite and between "
        f"1e-06 and 50, got {found}. Rprop keeps them between its bounds, which are "
        "step_sizes in torch, and min_step_size and max_step_size here.",
    ):
        from_torch_state_dict(written, params)


def test_an_infinite_step_size_without_a_bound():
    written = torch_state(entry(TWO, np.float32([1, np.inf])))
    written["param_groups"][0]["step_sizes"] = (0, np.inf)
    with raises(ValueError, "parameter 0 must be finite and between 0 and inf, got inf."):
        from_torch_state_dict(written, [TWO])


def test_other_bounds_than_those_of_the_state():
    state = rprop(80.0, max_step_size=100.0).init([TWO])
    with raises(
        ValueError,
        "to_torch_state_dict: the step sizes of parameter 0 must be finite and between "
        "1e-06 and 50, got 80.",
    ):
        to_torch_state_dict(state, [TWO])
    assert to_torch_state_dict(state, [TWO], max_step_size=100.0)


@pytest.mark.parametrize("groups", [[[0, 1, 0]], [[0, 1], [0]]])
def test_a_parameter_that_occurs_twice(groups):
    groups = [torch_group(indices) for indices in groups]
    with raises(
        ValueError,
        "from_torch_state_dict: every parameter must occur once in the groups, got 0 more "
        "than once. Give each parameter to torch's optimizer once.",
    ):
        from_torch_state_dict({"state": {}, "param_groups": groups}, [TWO] * 3)


def test_a_step_size_of_another_shape():
    written = torch_state(entry(TWO, np.ones(3, "float32")))
    with raises(ValueError, "parameter 0, (3,) and float32, got (2,) and float32."):
        from_torch_state_dict(written, [TWO])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (
            [{"maximize": True}],
            "from_torch_state_dict: maximize must be False in every group, got True. "
            "Minimise the negative loss instead, both in torch and in JAX.",
        ),
        (
            [{"etas": [0.5, 1.2]}, {"etas": [0.7, 1.2]}],
            "from_torch_state_dict: etas must be the same in all groups, got (0.5, 1.2), "
            "(0.7, 1.2). One rprop() has the same settings for all parameters. Convert each "
            "group on its own and combine them with optax.partition.",
        ),
        (
            [{"step_sizes": (0, 50)}, {}, {"step_sizes": (0, 50)}],
            "from_torch_state_dict: step_sizes must be the same in all groups, got (0, 50), "
            "(1e-06, 50).",
        ),
    ],
)
def test_groups_that_do_not_fit_one_rprop(groups, message):
    groups = [torch_group([i], **group) for i, group in enumerate(groups)]
    with raises(ValueError, message):
        from_torch_state_dict({"state": {}, "param_groups": groups}, [TWO] * len(groups))


def test_numbers_that_became_strings():
    with raises(
        ValueError,
        "from_torch_state_dict: state_dict must have states only for the parameters in its "
        "groups, got '0' as well. JSON turns integer keys into strings; turn them back with "
        "int.",
    ):
        from_torch_state_dict(GOOD | {"state": {"0": GOOD["state"][0]}}, PARAMS)


def test_float64_without_x64(no_x64):
    written = torch_state(entry(np.zeros(2), np.ones(2)))
    with raises(ValueError, "parameter 0, (2,) and float64, got (2,) and float32."):
        from_torch_state_dict(written, [np.zeros(2)])


def test_a_tensor_that_numpy_cannot_read():
    written = torch_state({"prev": OnAGpu(), "step_size": TWO})
    with raises(
        TypeError,
        "from_torch_state_dict: prev of parameter 0 must be something that numpy.asarray "
        "can read, got dtype torch.bfloat16. Move a tensor to the CPU with .cpu(), and cast "
        "torch.bfloat16 with .float().",
    ):
        from_torch_state_dict(written, [TWO])


@pytest.mark.parametrize(("tx", "count"), [(rprop_8bit(), 0), (None, 2)])
def test_another_state(tx, count):
    state = tx.init(PARAMS) if tx else [rprop().init(PARAMS)] * 2
    with raises(
        TypeError,
        f"to_torch_state_dict: state must hold one RpropState, got {count}. Pass the state "
        "of rprop or scale_by_rprop, alone or in a chain. Torch has no rule that continues "
        "an Rprop8bitState, whose growth factor changes from step to step; to go on with a "
        "constant factor, pass its decode().",
    ):
        to_torch_state_dict(state, PARAMS)


def test_a_state_in_a_turned_basis():
    with raises(
        TypeError,
        "to_torch_state_dict: state must hold step sizes along the axes of the parameters, "
        "got an EigenbasisState. Its step sizes belong to directions that torch's Rprop "
        "does not have; pass the state of rprop.",
    ):
        to_torch_state_dict((in_eigenbasis(rprop()).init(PARAMS),), PARAMS)


def test_a_state_with_bounds():
    with raises(
        TypeError,
        "to_torch_state_dict: state must have no bounds, got a BoxState. Torch's Rprop has "
        "none and would leave the box; to go on without bounds, pass its inner_state.",
    ):
        to_torch_state_dict(in_box(rprop(), None, 9.0).init(PARAMS), PARAMS)
    with raises(
        TypeError,
        "to_torch_state_dict: state must hold step sizes in the units of the parameters, got a "
        "UnitsState. Torch's Rprop knows no other; pass the state of rprop.",
    ):
        to_torch_state_dict(in_units(rprop()).init(PARAMS), PARAMS)


@pytest.mark.parametrize(
    ("params", "found"),
    [
        (PARAMS[:1], "float32[3,1] instead of nothing at leaf .step_sizes[1] and 1 more"),
        ([TWO, ONES[:2]], "float32[3,1] instead of float32[2,1] at leaf .step_sizes[1] and "
         "1 more"),
        (PARAMS[1], "nothing instead of float32[3,1] at leaf .step_sizes and 5 more"),
    ],
)  # fmt: skip
def test_a_state_of_other_parameters(params, found):
    with raises(
        ValueError,
        "to_torch_state_dict: state must have the structure, shapes and dtypes that init "
        f"makes of params, got {found}. Pass the parameters that it was made for.",
    ):
        to_torch_state_dict(rprop().init(PARAMS), params)
