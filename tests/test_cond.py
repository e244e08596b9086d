"""``cond``: a conditional that stays one under ``vmap``."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import equations

from optax_rprop._cond import cond

YES_NO = jnp.asarray([True, False, True, False])
NEVER = jnp.zeros(4, bool)
X = jnp.asarray([0.5, 1.0, 1.5, 2.0], "float32")
Y = jnp.asarray([3.0, -1.0, 2.0, 4.0], "float32")


def dear(x, y):
    return {"a": jnp.sin(x) * y, "b": (x.astype(jnp.int32),)}


def cheap(x, y):
    return {"a": x + y, "b": (jnp.zeros(x.shape, jnp.int32),)}


def choose(condition, x, y):
    return cond(condition, dear, cheap, x, y)


def chosen(condition, x, y):
    """The same, as a plain selection."""
    this, that = dear(x, y), cheap(x, y)
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), this, that)


def assert_close(this, that):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), this, that)


def names(jaxpr):
    return [equation.primitive.name for equation in equations(jaxpr)]


@pytest.mark.parametrize("compile_it", [jax.jit, lambda f: f], ids=["jit", "eager"])
@pytest.mark.parametrize("condition", [True, False])
def test_it_is_the_one_or_the_other(condition, compile_it):
    found = compile_it(choose)(jnp.asarray(condition), X, Y)
    assert_close(found, (dear if condition else cheap)(X, Y))


@pytest.mark.parametrize(
    "in_axes", [(0, 0, 0), (0, None, 0), (0, None, None), (None, 0, 0), (None, None, 0)]
)
@pytest.mark.parametrize("lanes", [YES_NO, NEVER, ~NEVER])
def test_every_lane_gets_its_own(lanes, in_axes):
    values = (lanes, X, Y)
    args = [v if axis == 0 else v[1] for v, axis in zip(values, in_axes, strict=True)]
    found = jax.vmap(choose, in_axes)(*args)
    assert_close(found, jax.vmap(chosen, in_axes)(*args))


@pytest.mark.parametrize("inner", [(0, 0, None), (None, None, 0), (0, None, None)])
@pytest.mark.parametrize("outer", [(0, 0, None), (None, 0, 0), (0, None, None)])
def test_lanes_of_lanes_get_their_own(outer, inner):
    lanes = jnp.stack([YES_NO, NEVER, ~YES_NO])
    values = lanes, jnp.stack([X, Y, X + Y]), jnp.stack([Y, X, X - Y])

    def cut(value, outer, inner):
        value = value if outer == 0 else value[0]
        return value if inner == 0 else value[..., 1]

    args = list(map(cut, values, outer, inner))

    def nested(function):
        return jax.vmap(jax.vmap(function, inner), outer)(*args)

    assert_close(nested(choose), nested(chosen))


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_under_vmap_one_scalar_decides_whether_the_dear_one_is_computed(depth):
    function, shape = choose, (4,) * depth
    for _ in range(depth):
        function = jax.vmap(function)
    args = jnp.zeros(shape, bool), jnp.ones(shape), jnp.ones(shape)
    jaxpr = jax.make_jaxpr(function)(*args).jaxpr
    # The outermost asks for all lanes, and those in it for one.
    conditionals = [e for e in equations(jaxpr) if e.primitive.name == "cond"]
    assert len(conditionals) == depth + 1
    for conditional in conditionals:
        assert conditional.invars[0].aval.shape == ()
        otherwise, this = conditional.params["branches"]
        assert "sin" in names(this.jaxpr)
        assert "sin" not in names(otherwise.jaxpr)
    assert names(jaxpr).count("sin") == 1


@pytest.mark.parametrize("lanes", [YES_NO, NEVER])
def test_the_dear_one_runs_only_if_a_lane_needs_it(lanes):
    runs = []

    def watched(x):
        jax.debug.callback(lambda _: runs.append(None), x)
        return 2 * x

    batched = jax.vmap(lambda c, x: cond(c, watched, lambda x: x, x))
    found = jax.block_until_ready(batched(lanes, X))
    jax.effects_barrier()
    assert bool(runs) == bool(lanes.any())
    np.testing.assert_array_equal(found, jnp.where(lanes, 2 * X, X))


@pytest.mark.parametrize("transform", [jax.grad, jax.jacfwd, jax.jacrev])
@pytest.mark.parametrize("condition", [True, False])
def test_it_has_the_derivatives_of_the_chosen_one(condition, transform):
    found, expected = (
        transform(lambda x, y, f=f: f(jnp.asarray(condition), x, y)["a"], (0, 1))(
            X[2], Y[2]
        )
        for f in (choose, chosen)
    )
    assert_close(found, expected)


@pytest.mark.parametrize("transform", [jax.grad, jax.jacfwd])
def test_every_lane_has_derivatives_of_its_own(transform):
    found, expected = (
        jax.vmap(transform(lambda x, c, y, f=f: f(c, x, y)["a"]))(X, YES_NO, Y)
        for f in (choose, chosen)
    )
    assert_close(found, expected)


def test_integers_among_the_operands_have_no_derivative():
    def power(x, n, condition):
        return cond(
            condition, lambda x, n: x * n.astype(x.dtype), lambda x, n: x**2, x, n
        )

    derivative = jax.grad(power)
    three = jnp.asarray(3)
    np.testing.assert_allclose(derivative(X[1], three, jnp.asarray(True)), 3)
    np.testing.assert_allclose(derivative(X[1], three, jnp.asarray(False)), 2)
