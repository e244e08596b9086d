"""What is compiled for a loss lives and dies with it, and never answers for another."""

import functools
import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import bowl

from optax_rprop import fit, rprop, streaming_value_and_grad
from optax_rprop._kept import _kept

START = jnp.zeros((), "float32")


def fit_it(loss):
    fit(loss, START, max_steps=3)


def stream_it(loss):
    streaming_value_and_grad(lambda p, x: loss(p) + 0 * x.mean())(START, [np.ones(2)])


@pytest.mark.parametrize("use", [fit_it, stream_it])
def test_a_loss_and_its_data_are_freed(use, relaxed):
    def once():
        data = np.ones(1000, "float32")
        loss = lambda p: jnp.mean((p - data) ** 2)  # noqa: E731
        use(loss)
        return weakref.ref(loss), weakref.ref(data)

    gc.collect()
    before = len(_kept)
    references = [reference for _ in range(3) for reference in once()]
    gc.collect()
    assert [reference() for reference in references] == [None] * 6
    assert len(_kept) <= before


def test_an_optimizer_is_freed_too():
    def loss(p):
        return (p - 1) ** 2

    fit(loss, START, max_steps=3)
    before = len(_kept)
    for _ in range(3):
        fit(loss, START, max_steps=3, optimizer=rprop(0.2))
    gc.collect()
    assert len(_kept) == before


def test_no_tracer_leaks():
    def sweep(learning_rate):
        return fit(
            lambda p: (p - 1) ** 2, START, optimizer=rprop(learning_rate), max_steps=5
        ).loss

    with jax.checking_leaks():
        losses = jax.vmap(sweep)(jnp.array([0.1, 0.2]))
    np.testing.assert_allclose(
        losses[0], fit(lambda p: (p - 1) ** 2, START, max_steps=5).loss, rtol=1e-5
    )


class Ridge:
    """A loss that depends on an attribute."""

    penalty = 0.0

    def loss(self, p):
        return (p - 2.0) ** 2 + self.penalty * p**2

    __call__ = loss


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda ridge: ridge.loss,
        lambda ridge: ridge,
        lambda ridge: functools.partial(ridge),
        lambda ridge: functools.partial(Ridge.loss, ridge),
        lambda ridge: functools.update_wrapper(ridge, bowl),
    ],
    ids=["method", "object", "partial", "bound", "wrapper"],
)
def test_a_changed_attribute_is_seen(loss_of):
    ridge = Ridge()
    before = fit(loss_of(ridge), START, max_steps=80)
    ridge.penalty = 1.0
    after = fit(loss_of(ridge), START, max_steps=80)
    np.testing.assert_allclose([before.params, after.params], [2.0, 1.0], atol=1e-3)
    np.testing.assert_allclose(after.loss, ridge.loss(after.params), rtol=1e-6)


@pytest.mark.parametrize(
    "wrap",
    [
        jax.jit,
        lambda loss: jax.jit(jax.jit(loss)),
        lambda loss: functools.partial(loss, scale=2.0),
        lambda loss: jax.jit(functools.partial(loss, scale=2.0)),
        jax.checkpoint,
    ],
    ids=["jit", "jit of jit", "partial", "jit of partial", "checkpoint"],
)
def test_a_wrapped_function_is_compiled_once(wrap):
    traces = []

    def loss(p, scale=1.0):
        traces.append(None)
        return (scale * p - 1) ** 2

    wrapped = wrap(loss)
    fit(wrapped, START, max_steps=3)
    compiled = len(traces)
    fit(wrapped, START, max_steps=3)
    assert len(traces) == compiled


def test_a_loss_that_has_no_hash_will_do():
    class Unhashable(Ridge):
        __hash__ = None

    result = fit(Unhashable(), START, max_steps=80)
    np.testing.assert_allclose(result.params, 2.0, atol=1e-3)
