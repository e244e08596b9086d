"""The same fit in other words takes the same steps, bit for bit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_same

from optax_rprop import fit, rprop, rprop_8bit

rng = np.random.default_rng(7)
X = rng.standard_normal((12, 3))
SIGNS = np.sign(rng.standard_normal(12))
COUNTS = rng.poisson(2.0, 12) + 0.5
START = {"w": rng.uniform(0.1, 0.9, 3), "b": rng.uniform(0.1, 0.9)}


def linear(params, x):
    return x @ params["w"] + params["b"]


def penalty(params):
    return 0.01 * (jnp.sum(params["w"] ** 2) + params["b"] ** 2)


def ridge(params, x, y):
    return jnp.mean((linear(params, x) - y) ** 2) + penalty(params)


def huber(params, x, y):
    return jnp.mean(optax.losses.huber_loss(linear(params, x), y)) + penalty(params)


def logistic(params, x, y):
    return jnp.mean(jnp.logaddexp(0.0, -y * linear(params, x))) + penalty(params)


def poisson(params, x, y):
    rate = jnp.exp(0.5 * linear(params, x))
    return jnp.mean(rate - y * jnp.log(rate))


def network(params, x, y):
    hidden = jnp.tanh(x * params["w"] + params["b"])
    return jnp.mean((jnp.sum(jnp.sin(hidden), axis=1) - y) ** 2)


def gaussian_process(params, x, y):
    scaled = x * jnp.exp(params["w"])
    squares = jnp.sum((scaled[:, None] - scaled) ** 2, axis=-1)
    noise = jnp.exp(params["b"]) * jnp.eye(len(x), dtype=x.dtype)
    factor = jnp.linalg.cholesky(jnp.exp(-0.5 * squares) + noise)
    whitened = jax.scipy.linalg.solve_triangular(factor, y, lower=True)
    return 0.5 * jnp.sum(whitened**2) + jnp.sum(jnp.log(jnp.diagonal(factor)))


LOSSES = [
    (ridge, SIGNS),
    (huber, SIGNS),
    (logistic, SIGNS),
    (poisson, COUNTS),
    (network, SIGNS),
    (gaussian_process, SIGNS),
]
OPTIMIZERS = {
    "rprop": rprop(),
    "irprop+": rprop(variant="irprop+"),
    "8bit": rprop_8bit(),
    "adam": optax.adam(0.1),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize(("loss", "y"), LOSSES, ids=[f.__name__ for f, _ in LOSSES])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_fit_in_many_ways(loss, y, optimizer, dtype, relaxed, x64):
    """A fit of 200 steps, in two halves, with progress, without a history, with rules."""
    start, x, y = jax.tree.map(lambda a: jnp.asarray(a, dtype), (START, X, y))
    settings = {"optimizer": optimizer, "patience": np.inf}
    fit_it = functools.partial(fit, loss, start, x, y, **settings)
    whole = fit_it(max_steps=200)

    half = fit_it(max_steps=77)
    rest = fit_it(max_steps=123, resume=half.last)
    losses = np.concatenate([half.history.loss, rest.history.loss])
    np.testing.assert_array_equal(losses, whole.history.loss)
    same = [
        rest,
        fit_it(max_steps=200, progress=lambda *numbers: None),
        fit_it(max_steps=200, history=False),
        fit_it(max_steps=200, patience=10_000, target_loss=-1e6),
    ]
    for other in same:
        assert_same(other.last, whole.last)
        assert_same((other.params, other.loss), (whole.params, whole.loss))
    longer = fit_it(max_steps=300)
    np.testing.assert_array_equal(longer.history.loss[:200], whole.history.loss)


def test_a_change_of_rules_or_of_steps_compiles_nothing():
    traces = []

    def counting(params, x):
        traces.append(None)
        return jnp.mean((x * params - 1) ** 2)

    x = jnp.ones(3, "float32")
    first = fit(counting, jnp.zeros(3, "float32"), x, max_steps=20)
    compiled = len(traces)
    assert compiled == 2  # its shape, then the loop
    for settings in (
        {"max_steps": 5000},
        {"step_tol": 1e-3},
        {"patience": 3},
        {"target_loss": 0.1},
        {"history": False},
        {"resume": first.last},
        {"progress": lambda *numbers: None},
    ):
        fit(counting, jnp.zeros(3, "float32"), x, **settings)
    assert len(traces) == compiled + 1  # the shape again, of a state to go on from
