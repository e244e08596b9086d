"""What a history draws, with matplotlib."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optax_rprop import fit

plt = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed")
START = jnp.asarray([2.0, -1.0], "float32")
ADAM = optax.adam(0.1)


@pytest.fixture(autouse=True)
def without_a_screen():
    backend = plt.get_backend()
    plt.switch_backend("Agg")
    yield
    plt.switch_backend(backend)


def bowl(params):
    return jnp.sum(params**2)


def drawn(ax):
    """The curves of an axis, by their names."""
    return {line.get_label(): line.get_ydata() for line in ax.lines}


def test_the_loss_and_the_step_sizes():
    history = fit(bowl, START, max_steps=30).history
    left, right = history.plot()
    assert [left.get_ylabel(), right.get_ylabel()] == ["loss", "step size"]
    assert {ax.get_xlabel() for ax in (left, right)} == {"step"}
    assert {ax.get_yscale() for ax in (left, right)} == {"log"}
    np.testing.assert_array_equal(drawn(left)["loss"], history.loss)
    np.testing.assert_array_equal(left.lines[0].get_xdata(), np.arange(30))
    assert drawn(right).keys() == {"mean", "maximum"}
    np.testing.assert_array_equal(drawn(right)["mean"], history.step_size_mean)
    np.testing.assert_array_equal(drawn(right)["maximum"], history.step_size_max)
    left.figure.canvas.draw()


def test_the_band_of_the_step_sizes():
    """Nine in ten of log-normal step sizes; never above the largest."""
    history = fit(bowl, jnp.array([0.3, 0.05, 2.0]), max_steps=30).history
    _, right = history.plot()
    (band,) = right.collections
    assert band.get_label() == "5-95 %"
    below, above = np.full((2, 30), np.inf), np.full((2, 30), -np.inf)
    for step, height in band.get_paths()[0].vertices:
        below[:, int(step)] = np.minimum(below[:, int(step)], height)
        above[:, int(step)] = np.maximum(above[:, int(step)], height)
    factor = history.step_size_spread**1.645
    np.testing.assert_allclose(below[0], history.step_size_mean / factor, rtol=1e-5)
    largest = np.minimum(history.step_size_mean * factor, history.step_size_max)
    np.testing.assert_allclose(above[0], largest, rtol=1e-5)


def test_on_axes_of_ones_own_several_times():
    figure, axes = plt.subplots(2)
    for start in (START, 3 * START):
        returned = fit(bowl, start, max_steps=5).history.plot(tuple(axes))
        assert list(returned) == list(axes)
    assert [len(ax.lines) for ax in axes] == [2, 4]
    assert plt.get_fignums() == [figure.number]


def test_without_step_sizes_there_is_one_axis(relaxed):
    history = fit(bowl, START, optimizer=ADAM, max_steps=5).history
    (ax,) = history.plot()
    assert drawn(ax).keys() == {"loss"}
    _, own = plt.subplots()
    assert history.plot(own)[0] is own


def test_a_loss_that_is_not_positive_is_on_a_linear_axis():
    def loss(params):
        return bowl(params) - 1

    left, right = fit(loss, START, max_steps=30).history.plot()
    assert (left.get_yscale(), right.get_yscale()) == ("linear", "log")


def test_a_loss_that_is_not_finite_is_a_gap():
    history = fit(bowl, START, max_steps=5).history
    loss = np.array([4.0, np.inf, 2.0, np.nan, 1.0])
    left, _ = history._replace(loss=loss).plot()
    np.testing.assert_array_equal(drawn(left)["loss"], [4, np.nan, 2, np.nan, 1])
    assert left.get_yscale() == "log"
    left.figure.canvas.draw()


@pytest.mark.parametrize("steps", [0, 1])
def test_few_steps(steps):
    """A single point shows, though no line leads to it."""
    result = fit(bowl, START, max_steps=1)
    if steps == 0:
        result = fit(bowl, START, target_loss=100.0, resume=result.last)
    axes = result.history.plot()
    lines = [line for ax in axes for line in ax.lines]
    assert [len(line.get_ydata()) for line in lines] == [steps] * 3
    if steps == 1:
        assert {line.get_marker() for line in lines} == {"."}
    axes[0].figure.canvas.draw()


def test_what_jit_returns_ends_at_the_last_step():
    result = jax.jit(lambda start: fit(bowl, start, target_loss=1e-3))(START)
    left, _ = result.history.plot()
    assert len(drawn(left)["loss"]) == result.num_steps < 100


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_low_precision(dtype):
    left, _ = fit(bowl, START.astype(dtype), max_steps=5).history.plot()
    assert len(drawn(left)["loss"]) == 5


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_it_takes_its_colours_from_the_style(style):
    with plt.style.context(style):
        colors = plt.rcParams["axes.prop_cycle"].by_key()["color"]
        for ax in fit(bowl, START, max_steps=5).history.plot():
            assert ax.lines[0].get_color() == colors[0]
