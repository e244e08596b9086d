"""The full-batch gradient from a stream of batches: that of the whole, in its space."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import mesh_of
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from optax_rprop import VARIANTS, fit, rprop, streaming_value_and_grad
from optax_rprop._fit._objective import Evaluation
from optax_rprop._fit._packing import unpack
from optax_rprop._fit._step import advance, hold, initial_state
from optax_rprop._fit._stop import RUNNING, Limits
from optax_rprop._streaming import _zero_sums

rng = np.random.default_rng(0)
X = rng.normal(size=(30, 4)).astype("float32")
Y = rng.normal(size=30).astype("float32")
START = {"w": jnp.zeros(4, "float32"), "b": jnp.zeros((), "float32")}


def loss_fn(params, x, y):
    penalty = 0.1 * jnp.sum(params["w"] ** 2)
    return jnp.mean((jnp.tanh(x @ params["w"] + params["b"]) - y) ** 2) + penalty


evaluate = streaming_value_and_grad(loss_fn)


def batches(*sizes):
    ends = np.cumsum(sizes)
    assert ends[-1] == len(X)
    for end, size in zip(ends, sizes, strict=True):
        yield X[end - size : end], Y[end - size : end]


@pytest.mark.parametrize("sizes", [(30,), (10, 10, 10), (13, 13, 4), (1, 28, 1)])
def test_uneven_batches_give_the_gradient_of_the_whole(sizes):
    params = jax.tree.map(lambda p: p + 0.3, START)
    whole, whole_grads = jax.value_and_grad(loss_fn)(params, X, Y)
    value, grads = evaluate(params, batches(*sizes))
    np.testing.assert_allclose(value, whole, rtol=1e-6)
    assert jax.tree.structure(grads) == jax.tree.structure(whole_grads)
    for ours, theirs in zip(*map(jax.tree.leaves, (grads, whole_grads)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_batch_may_be_a_list_or_a_single_argument():
    whole, _ = evaluate(START, [(X, Y)])
    as_lists, _ = evaluate(START, [[X, Y]])
    as_dicts, _ = streaming_value_and_grad(lambda p, b: loss_fn(p, b["x"], b["y"]))(
        START, [{"x": X, "y": Y}]
    )
    assert whole == as_lists == as_dicts


def test_the_sums_lie_where_the_parameters_lie():
    sharding = NamedSharding(mesh_of(AxisType.Auto), P("x"))
    params = jax.device_put(jnp.zeros((16, 2), "float32"), sharding)
    _, sums = _zero_sums(jax.ShapeDtypeStruct((), "float32"), params)
    assert sums.sharding.is_equivalent_to(sharding, 2)


def test_sums_are_exact_where_floats_are():
    value_and_grad = streaming_value_and_grad(lambda w, x: jnp.mean(w * x))
    value, gradient = value_and_grad(np.float32(2), (np.full(n, n, "float32")
                                                     for n in (1, 2, 5)))  # fmt: skip
    assert float(value) == 2 * (1 + 4 + 25) / 8
    assert float(gradient) == (1 + 4 + 25) / 8


@pytest.mark.parametrize("variant", ["irprop-", "irprop+"])
def test_an_epoch_a_step_is_the_fit(variant):
    tx = rprop(variant=variant)
    params, state, losses = START, tx.init(START), []
    update = jax.jit(tx.update)
    for _ in range(20):
        value, grads = evaluate(params, batches(7, 7, 7, 7, 2))
        updates, state = update(grads, state, params, value=value)
        params = optax.apply_updates(params, updates)
        losses.append(float(value))
    whole = fit(loss_fn, START, X, Y, optimizer=tx, max_steps=20)
    np.testing.assert_allclose(losses, whole.history.loss, rtol=1e-5)


def test_a_loader_may_write_into_its_buffer_again():
    # Aligned, as what the device could use in place.
    memory = np.zeros(2**16 + 64, "uint8")
    offset = -memory.ctypes.data % 64
    buffer = memory[offset : offset + 2**16].view("float32")

    def reused():
        for i in range(20):
            buffer[:] = i
            yield buffer

    value, _ = streaming_value_and_grad(lambda w, x: jnp.mean(w * x))(1.0, reused())
    assert float(value) == sum(range(20)) / 20


def test_sums_are_float32_for_half_precision():
    def mean(w, x):
        return jnp.mean(w * x)

    ones = (np.ones(10, "float16") for _ in range(7000))  # more than float16 reaches
    value, gradient = streaming_value_and_grad(mean)(jnp.ones((), "float16"), ones)
    assert value.dtype == jnp.float32
    assert float(value) == 1
    assert gradient.dtype == jnp.float16
    assert float(gradient) == 1


def peak_bytes(num_batches):
    """The most that lay on the device whenever another batch was asked for."""
    peak = 0

    def stream():
        nonlocal peak
        for i in range(num_batches):
            live = sum(x.nbytes for x in jax.live_arrays() if not x.is_deleted())
            peak = max(peak, live)
            yield np.full((1000, 16), i, "float32")

    value_and_grad = streaming_value_and_grad(lambda w, x: jnp.mean((x @ w) ** 2))
    before = sum(x.nbytes for x in jax.live_arrays() if not x.is_deleted())
    value_and_grad(jnp.ones(16, "float32"), stream())
    return peak - before


def test_memory_stays_flat_as_the_data_grows():
    batch = 1000 * 16 * 4
    assert batch <= peak_bytes(4) < 2.1 * batch  # with the parameters and the sums
    assert batch <= peak_bytes(400) < 2.1 * batch


def test_what_is_compiled_is_shared():
    traces = 0

    def traced(w, x):
        nonlocal traces
        traces += 1
        return jnp.mean(w * x)

    value_and_grad = streaming_value_and_grad(traced)
    for _ in range(3):
        value_and_grad(1.0, [np.ones(4, "float32")] * 5 + [np.ones(3, "float32")])
    assert traces == 3  # its loss looked at, then two sizes


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_loop_of_ones_own_takes_the_steps_of_fit(variant):
    """``advance`` does not know where its gradients come from: here from a stream."""
    optimizer = rprop(variant=variant)
    limits = Limits(target_loss=-1.0, step_tol=1e-3, patience=1000, rtol=1e-4)
    evaluate = streaming_value_and_grad(loss_fn)
    batches = [(X[:10], Y[:10]), (X[10:], Y[10:])]
    zero = jnp.zeros((), "float32")
    state = initial_state(optimizer, START, Evaluation(zero, None, START))
    held = hold(limits, state)
    step = jax.jit(lambda *now: advance(optimizer, limits, *now, stop_at=jnp.int32(1000)))
    while (seen := unpack(held.scalars)).status == RUNNING:
        loss, grads = evaluate(held.arrays["params"], batches)
        held = step(held, Evaluation(loss, None, grads))
    whole = fit(loss_fn, START, X, Y, optimizer=optimizer, step_tol=1e-3)
    assert seen.status == whole.status
    # A sum over two batches rounds otherwise, which may move the end by a few steps.
    assert abs(seen.counts["num_steps"] - whole.num_steps) <= 5
    np.testing.assert_allclose(seen.counts["best_loss"], whole.loss, rtol=1e-4)
