"""The statuses of a batch of fits, and the best of them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_same, mesh_of
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from optax_rprop import FitStatus, fit

# The first ends by its status, the second in a valley, the third where no loss is finite.
STARTS = jnp.asarray([1.0, 9.0, -1.0], "float32")


def loss_fn(p):
    return jnp.where(p > 0, (p - 1.5) ** 2 + 0.1 * p, jnp.nan)


def fitted(start, **settings):
    return fit(loss_fn, start, **{"target_loss": 0.16, "max_steps": 12} | settings)


def test_the_statuses_of_a_batch():
    results = jax.vmap(fitted)(STARTS)
    assert type(results.statuses) is np.ndarray
    assert results.statuses.tolist() == [
        FitStatus.TARGET_REACHED,
        FitStatus.MAX_STEPS,
        FitStatus.NONFINITE,
    ]
    assert all(type(status) is FitStatus for status in results.statuses)
    assert (results.statuses == FitStatus.MAX_STEPS).tolist() == [False, True, False]


def test_the_statuses_have_the_shape_of_the_batch():
    results = jax.vmap(jax.vmap(fitted))(jnp.stack([STARTS, STARTS[::-1]]))
    assert results.statuses.shape == (2, 3)
    assert results.statuses[0, 1] is results.statuses[1, 1] is FitStatus.MAX_STEPS


@pytest.mark.parametrize("call", [lambda f: f, jax.jit], ids=["", "jit"])
def test_the_status_of_one_fit(call):
    assert call(fitted)(STARTS[0]).statuses is FitStatus.TARGET_REACHED


def test_the_best_of_a_batch():
    """It is like the result of a fit outside of vmap."""
    results = jax.vmap(fitted)(STARTS)
    best = results.best()
    alone = fitted(STARTS[0])
    assert best.status is FitStatus.TARGET_REACHED
    assert jax.tree.structure(best) == jax.tree.structure(alone)
    for leaf, of in zip(jax.tree.leaves(best), jax.tree.leaves(alone), strict=True):
        assert np.shape(leaf) == np.shape(of)
        assert np.asarray(leaf).dtype == np.asarray(of).dtype
    for count in ("num_steps", "best_step"):
        assert type(getattr(best, count)) is int
        assert getattr(best, count) == getattr(alone, count)
    for series, of in zip(best.history, alone.history, strict=True):
        assert type(series) is np.ndarray
        np.testing.assert_allclose(series, of, rtol=2e-3)
    np.testing.assert_array_equal(best.loss, results.loss[0])
    np.testing.assert_array_equal(best.params, results.params[0])
    assert repr(best).startswith("FitResult: TARGET_REACHED after ")
    assert best.best() is best


def test_a_fit_goes_on_from_the_best_of_a_batch():
    best = jax.vmap(lambda start: fitted(start, max_steps=2))(STARTS).best()
    assert best.status is FitStatus.MAX_STEPS
    rest = fitted(best.params, resume=best.last)
    assert rest.status is FitStatus.TARGET_REACHED
    assert int(rest.last.num_steps) == 2 + rest.num_steps


def test_the_best_of_a_batch_of_batches():
    results = jax.vmap(jax.vmap(fitted))(jnp.stack([STARTS[1:], STARTS[1::-1]]))
    assert_same(results.best().last, jax.tree.map(lambda x: x[1, 1], results.last))


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([np.nan, 3.0, 2.0], 2),
        ([np.inf, 3.0, 3.0], 1),
        ([-np.inf, 5.0, np.nan], 1),
        ([np.inf, np.nan, np.inf], 0),
    ],
)
def test_losses_that_are_not_finite_lose(losses, expected):
    results = jax.vmap(fitted)(STARTS)._replace(loss=np.array(losses, "float32"))
    assert_same(results.best().params, results.params[expected])


def test_where_no_loss_is_finite_the_best_is_the_first():
    best = jax.vmap(fitted)(STARTS[2] - jnp.arange(3, dtype="float32")).best()
    assert best.status is FitStatus.NONFINITE
    assert np.isinf(best.loss)
    assert best.params == STARTS[2]


def test_the_best_of_one_fit():
    alone = fitted(STARTS[0])
    assert alone.best() is alone
    best = jax.jit(fitted)(STARTS[0]).best()
    assert best.status is FitStatus.TARGET_REACHED
    assert type(best.num_steps) is int
    assert best.history.loss.shape == (best.num_steps,)


def test_without_a_history_and_with_another_optimizer(relaxed):
    def fitted(start):
        return fit(loss_fn, start, optimizer=optax.adam(0.1), max_steps=5, history=False)

    assert jax.vmap(fitted)(STARTS).best().history is None


def test_a_batch_over_devices():
    starts = jnp.linspace(1, 9, 8, dtype="float32")
    spread = jax.device_put(starts, NamedSharding(mesh_of(AxisType.Auto), P("x")))
    results = jax.jit(jax.vmap(fitted))(spread)
    assert len(results.loss.sharding.device_set) == 8
    assert results.statuses.shape == (8,)
    assert results.best().status is FitStatus.TARGET_REACHED
