"""The state of torch.optim.Rprop, over and back: the trajectory goes on bit for bit."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import entry, torch_group, torch_state

from optax_rprop import (
    RpropState,
    from_torch_state_dict,
    rprop,
    scale_by_rprop,
    scale_by_rprop_8bit,
    to_torch_state_dict,
)

SHAPES = [(300,), (2, 5), ()]
HYPER = {"eta_minus": 0.4, "eta_plus": 1.3, "min_step_size": 1e-4, "max_step_size": 2.0}
ONES = np.ones(2, "float32")
DTYPES = ["float32", "float64", "complex64", "complex128"]


def gradients(dtype, steps):
    """Signs change often, and a few are zero. No product of two underflows in torch."""
    rng = np.random.default_rng(0)

    def one(shape):
        values = rng.normal(size=(2, *shape)) * (rng.random((2, *shape)) > 0.1)
        return (values[0] + 1j * values[1] if "complex" in dtype else values[0]).astype(
            dtype
        )

    return [[one(shape) for shape in SHAPES] for _ in range(steps)]


def torch_run(torch, params, steps, state_dict=None):
    """Parameters after each step, and the optimizer, of real torch."""
    tensors = [torch.from_numpy(np.array(p)) for p in params]
    etas = (HYPER["eta_minus"], HYPER["eta_plus"])
    bounds = (HYPER["min_step_size"], HYPER["max_step_size"])
    optimizer = torch.optim.Rprop(tensors, lr=0.1, etas=etas, step_sizes=bounds)
    if state_dict is not None:
        optimizer.load_state_dict(state_dict)
    path = []
    for grads in steps:
        for tensor, grad in zip(tensors, grads, strict=True):
            tensor.grad = torch.from_numpy(np.array(grad))
        optimizer.step()
        path.append([tensor.numpy().copy() for tensor in tensors])
    return path, optimizer.state_dict()


def jax_run(params, steps, state):
    tx, path = rprop(0.1, **HYPER), []
    params = [jnp.asarray(p) for p in params]
    for grads in steps:
        updates, state = tx.update([jnp.asarray(g) for g in grads], state)
        params = optax.apply_updates(params, updates)
        path.append(params)
    return path, state


def assert_same(ours, theirs):
    for step, other in zip(ours, theirs, strict=True):
        for a, b in zip(step, other, strict=True):
            assert np.asarray(a).dtype == b.dtype
            np.testing.assert_array_equal(np.asarray(a), b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.usefixtures("x64")
def test_over_and_back(dtype):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    start = [np.zeros(shape, dtype) for shape in SHAPES]
    steps = gradients(dtype, 30)
    whole, _ = torch_run(torch, start, steps)

    path, state_dict = torch_run(torch, start, steps[:10])
    state = from_torch_state_dict(copy.deepcopy(state_dict), path[-1])
    ours, state = jax_run(path[-1], steps[10:20], state)
    assert_same(ours, whole[10:20])

    back = to_torch_state_dict(state, ours[-1], **HYPER)
    back["state"] = jax.tree.map(torch.from_numpy, back["state"])
    rest, _ = torch_run(torch, ours[-1], steps[20:], back)
    assert_same(rest, whole[20:])


def test_what_torch_remembers():
    written = torch_state(
        entry(np.float32([3e-30, -0.0, np.nan, -np.inf]), np.full(4, 0.5, "float32")),
        None,
    )
    params = {"a": np.zeros(4, "float32"), "b": np.zeros(2, "float32")}
    state, *_ = from_torch_state_dict(written, params)
    assert state.prev_signs["a"].dtype == jnp.int8
    assert state.prev_signs["a"].tolist() == [1, 0, 0, -1]
    assert state.step_sizes["a"].tolist() == [0.5] * 4
    assert state.prev_signs["b"].tolist() == [0, 0]
    assert state.step_sizes["b"].tolist() == [0.25, 0.25]
    fresh, *_ = rprop().init(params)
    assert jax.tree.map(jax.typeof, state) == jax.tree.map(jax.typeof, fresh)


def test_round_trip_without_torch():
    params = {"a": jnp.zeros(3), "c": jnp.zeros(2, "complex64")}
    tx = optax.chain(optax.scale(2.0), scale_by_rprop())
    grads = {"a": jnp.array([1.0, -2.0, 0.0]), "c": jnp.array([1 - 1j, 0j])}
    grads["c"] = grads["c"].astype("complex64")
    _, state = tx.update(grads, tx.init(params))
    written = to_torch_state_dict(state, params)
    assert written["state"][1]["prev"].tolist() == [1 - 1j, 0j]
    back, *_ = from_torch_state_dict(written, params)
    assert isinstance(back, RpropState)
    same = jax.tree.map(np.array_equal, back[:2], state[1][:2])
    assert all(jax.tree.leaves(same))


def test_bfloat16_comes_and_goes_as_float32():
    """NumPy has no bfloat16: torch's ``.float()``, and a cast back when it loads."""
    prev, size = np.float32([1.5, -2, 0]), np.float32([0.5, 0.25, 0.125])
    params = [jnp.zeros(3, "bfloat16")]
    state = from_torch_state_dict(torch_state(entry(prev, size)), params)
    assert state[0].step_sizes[0].dtype == jnp.float32
    back = to_torch_state_dict(state, params)["state"][0]
    assert back["prev"].dtype == back["step_size"].dtype == np.float32
    np.testing.assert_array_equal(back["prev"], [1, -1, 0])
    np.testing.assert_array_equal(back["step_size"], size)


def test_a_learning_rate_outside_of_the_bounds_is_moved_into_them():
    """As torch does at the first step."""
    group = torch_group([0, 1], lr=np.array([100.0]))  # torch takes a tensor as well
    state = from_torch_state_dict(
        {"state": {}, "param_groups": [group]}, [np.zeros(2, "float32")] * 2
    )
    np.testing.assert_array_equal(state[0].step_sizes[1], [50, 50])
    written = to_torch_state_dict(state, [ONES] * 2, min_step_size=0.5)
    assert written["param_groups"][0]["lr"] == 0.5


NAMED = {  # torch's names, which are not in alphabetical order, and trees that have them
    "flat": (["query", "key"], {"query": 1, "key": 2}),
    "dotted": (["b.weight", "b.bias"], {"b.weight": 1, "b.bias": 2}),
    "nested": (["b.weight", "b.bias"], {"b": {"weight": 1, "bias": 2}}),
    "list": (["1.weight", "0.weight"], [{"weight": 2}, {"weight": 1}]),
    "attribute": (
        ["prev_signs", "step_sizes.1", "step_sizes.0", "prev_value"],
        RpropState([3, 2], 1, 4),
    ),
    "list by position": (["weight", "bias"], [1, 2]),
    "nested lists by position": (["2.weight", "0.weight", "0.bias"], [[1, 2], (3,)]),
    "one array": (["weight"], 1),
}


@pytest.mark.parametrize(("names", "place"), NAMED.values(), ids=NAMED)
def test_leaves_are_matched_by_name(names, place):
    """``place`` holds at each leaf the number of its parameter in torch, from 1."""
    params = jax.tree.map(lambda _: ONES, place)
    entries = [entry(ONES * (-1) ** i, ONES * i) for i in range(1, len(names) + 1)]
    written = torch_state(*entries, names=names)
    state = from_torch_state_dict(written, params)
    sizes, signs, _ = state[0]
    assert jax.tree.map(lambda leaf: int(leaf[1]), sizes) == place
    assert jax.tree.map(lambda leaf: int(leaf[1]), signs) == jax.tree.map(
        lambda number: (-1) ** number, place
    )
    back = to_torch_state_dict(state, params, param_names=names)
    assert back["param_groups"][0]["param_names"] == names
    for mine, theirs in zip(back["state"].values(), entries, strict=True):
        for name in ("prev", "step_size"):
            np.testing.assert_array_equal(mine[name], theirs[name])


def test_a_dict_without_names_is_taken_in_sorted_order():
    written = torch_state(entry(ONES, ONES), entry(-ONES, ONES))
    params = {"query": ONES, "key": ONES}
    state, _ = from_torch_state_dict(written, params)
    assert state.prev_signs["key"].tolist() == [1, 1]
    assert state.prev_signs["query"].tolist() == [-1, -1]


def test_named_parameters_of_torch_over_and_back():
    torch = pytest.importorskip("torch", "2.6", reason="it names no parameters")
    start = {"query": torch.zeros(2), "key": torch.zeros(2)}

    def optimizer():
        tensors = {name: torch.nn.Parameter(x.clone()) for name, x in start.items()}
        return tensors, torch.optim.Rprop(tensors.items())

    def step(tensors, optimizer):
        tensors["query"].grad, tensors["key"].grad = torch.ones(2), -3 * torch.ones(2)
        optimizer.step()
        return optimizer.state_dict()

    tensors, first = optimizer()
    written = step(tensors, first)
    params = dict.fromkeys(start, ONES)
    state = from_torch_state_dict(written, params)
    assert state[0].prev_signs["query"].tolist() == [1, 1]
    assert state[0].prev_signs["key"].tolist() == [-1, -1]

    back = to_torch_state_dict(state, params, param_names=list(start))
    back["state"] = jax.tree.map(torch.from_numpy, back["state"])
    others, second = optimizer()
    second.load_state_dict(back)
    step(others, second)
    step(tensors, first)
    for name, first_step in [("query", -0.01), ("key", 0.01)]:
        both_steps = tensors[name].detach()
        np.testing.assert_allclose(others[name].detach(), both_steps - first_step, 1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_bounds_are_rounded_as_torch_rounds_them(dtype):
    """Its step sizes are in the dtype of the parameters, and so is their least value."""
    least = jnp.asarray(1e-6, dtype)
    assert float(least) != np.float32(1e-6)
    size = np.array(least.astype("float32" if dtype == "bfloat16" else dtype))
    params = [jnp.zeros((), dtype)]
    state, _ = from_torch_state_dict(torch_state(entry(size * 0, size)), params)
    assert float(state.step_sizes[0]) == float(least)


def test_the_decoded_8_bit_state_continues_in_torch():
    """With a constant factor; the bounds are those of the 8-bit state."""
    params = [jnp.zeros(2)]
    tx = scale_by_rprop_8bit(2**-20)
    _, state = tx.update([jnp.array([1.0, -2.0])], tx.init(params))
    written = to_torch_state_dict(state.decode(), params, min_step_size=2**-20)
    assert written["param_groups"][0]["step_sizes"] == (2**-20, 50)
    assert written["state"][0]["step_size"].tolist() == [2**-20] * 2
    assert written["state"][0]["prev"].tolist() == [1, -1]
