"""Every message of the conversions from and to torch; test_checks.py counts them."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import entry, torch_state

from optax_rprop import from_torch_state_dict, rprop, rprop_8bit, to_torch_state_dict

TWO = np.zeros(2, "float32")
GOOD = torch_state(entry(TWO, TWO + 0.5), entry(np.zeros((3, 1), "float32"), 1.0))
PARAMS = [TWO, np.zeros((3, 1), "float32")]
ORDER = (
    "Leaves are taken in the order of jax.tree.leaves, which sorts the keys of a dict; a "
    "list in the order that torch's optimizer was given is safe."
)


def raises(kind, message):
    return pytest.raises(kind, match=re.escape(message))


class OnAGpu:
    dtype = "torch.bfloat16"

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Got unsupported ScalarType BFloat16")


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"state": {0: {"exp_avg": TWO}}, "param_groups": []},
        {"state": {0: None}, "param_groups": []},
        {"state": {}, "param_groups": [{"params": [0]}]},
        {"state": {}, "param_groups": None},
    ],
)
def test_another_state_dict(value):
    with raises(
        TypeError,
        "from_torch_state_dict: state_dict must be that of a torch.optim.Rprop, got "
        f"{type(value).__name__} without its entries. It has 'state' and 'param_groups', "
        "and for every parameter a 'prev' and a 'step_size'.",
    ):
        from_torch_state_dict(value, PARAMS)


def test_another_number_of_parameters():
    with raises(
        ValueError,
        "from_torch_state_dict: params must have a leaf for each of torch's parameters, "
        f"got 1 leaves for 2. {ORDER}",
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
            "Minimise the negative loss instead, here and in torch.",
        ),
        (
            [{"etas": [0.5, 1.2]}, {"etas": [0.7, 1.2]}],
            "from_torch_state_dict: etas must be the same in all groups, got (0.5, 1.2), "
            "(0.7, 1.2). An rprop() has one setting for all; move one group at a time, "
            "for optax.multi_transform.",
        ),
    ],
)
def test_groups_that_do_not_fit_one_rprop(groups, message):
    groups = [{"params": [i], "lr": 0.1} | group for i, group in enumerate(groups)]
    with raises(ValueError, message):
        from_torch_state_dict({"state": {}, "param_groups": groups}, [TWO] * len(groups))


def test_numbers_that_became_strings():
    with raises(
        ValueError,
        "from_torch_state_dict: state_dict must have states for the parameters of its "
        "groups alone, got '0' as well. JSON makes strings of numbers; make them int "
        "again.",
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
        "from_torch_state_dict: prev of parameter 0 must be an array or become one with "
        "numpy.asarray, got dtype torch.bfloat16. Move it with .cpu(), and cast "
        "torch.bfloat16 with .float().",
    ):
        from_torch_state_dict(written, [TWO])


@pytest.mark.parametrize(("tx", "count"), [(rprop_8bit(), 0), (None, 2)])
def test_another_state(tx, count):
    state = tx.init(PARAMS) if tx else [rprop().init(PARAMS)] * 2
    with raises(
        TypeError,
        f"to_torch_state_dict: state must hold one RpropState, got {count}. It is that of "
        "rprop or scale_by_rprop, in a chain or not; torch has no 8-bit form.",
    ):
        to_torch_state_dict(state, PARAMS)


def test_a_state_of_other_parameters():
    with raises(
        ValueError,
        "to_torch_state_dict: state must be that of params, [('leaf [0]', (2,))], got "
        "[('leaf [0]', (2,)), ('leaf [1]', (3, 1))]. It is what init made of them.",
    ):
        to_torch_state_dict(rprop().init(PARAMS), PARAMS[:1])
