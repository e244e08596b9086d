"""``in_box``: a twin in plain NumPy, properties, optima at bounds, and ``fit``."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import (
    PLAIN,
    assert_same,
    each_of,
    every_plain_rule,
    every_variant,
    mesh_of,
    raises,
    random_gradients,
    random_losses,
    rprop_state,
)
from jax.sharding import NamedSharding, PartitionSpec
from oracle import Oracle
from scipy.optimize import minimize

from optax_rprop import (
    VARIANTS,
    BoxState,
    FitStatus,
    fit,
    in_box,
    in_eigenbasis,
    rprop,
    rprop_8bit,
)

TURNED = {
    "irprop-": lambda: in_eigenbasis(rprop()),
    "8bit": lambda: in_eigenbasis(rprop_8bit()),
}


class BoxOracle:
    """A rule in a box, one scalar at a time: its path, and nothing of Optax's."""

    def __init__(self, variant, start, lower, upper):
        self.rule = Oracle(variant, len(start), np.float32)
        self.variant, self.lower, self.upper = variant, lower, upper
        self.x, self.last = list(start), [np.float32(0)] * len(start)

    def step(self, gradient, error):
        """The parameters after a step."""
        accepted = math.isfinite(error)
        rose = error > self.rule.error
        seen = [
            np.float32(0) if accepted and self._is_held(i, g) else g
            for i, g in enumerate(gradient)
        ]
        before = list(self.rule.sign)
        moves = self.rule.step(seen, error)
        for i, move in enumerate(moves):
            g = seen[i]
            turned = (g > 0 and before[i] < 0) or (g < 0 and before[i] > 0)
            undone = before[i] != 0 and not accepted
            undone |= turned and accepted and self.variant == "rprop+"
            undone |= turned and accepted and self.variant == "irprop+" and rose
            if undone:
                move = -self.last[i]
            really = self._cut(i, move)
            self.last[i] = np.float32(0) if undone else really
            self.x[i] = self.x[i] + really
        return np.array(self.x, np.float32)

    def _is_held(self, i, g):
        at_lower, at_upper = self.x[i] <= self.lower[i], self.x[i] >= self.upper[i]
        return (at_lower and g > 0) or (at_upper and g < 0)

    def _cut(self, i, move):
        end = self.x[i] + move
        if self.lower[i] <= end <= self.upper[i]:
            return move
        bound = self.lower[i] if end < self.lower[i] else self.upper[i]
        short = bound - self.x[i]
        while not self.lower[i] <= self.x[i] + short <= self.upper[i]:
            short = np.float32(short * (1 - np.finfo(np.float32).eps))
        return short


def run(tx, start, gradients, losses):
    """The parameters after every step."""

    @jax.jit
    def steps(params, state, gradients, losses):
        def step(carry, inputs):
            params, state = carry
            gradient, loss = inputs
            updates, state = tx.update(gradient, state, params, value=loss)
            params = optax.apply_updates(params, updates)
            return (params, state), params

        return jax.lax.scan(step, (params, state), (gradients, losses))

    (_, state), path = steps(start, tx.init(start), gradients, losses)
    return np.asarray(path), state


@every_variant
def test_every_step_is_that_of_the_twin_bit_for_bit(variant):
    steps, size = 400, 60
    rng = np.random.default_rng(VARIANTS.index(variant))
    start = rng.normal(size=size).astype("float32")
    lower = start - rng.choice([0, 0.05, 1, np.inf], size).astype("float32")
    upper = start + rng.choice([0, 0.05, 1, np.inf], size).astype("float32")
    gradients = random_gradients(1, (steps, size), "float32")
    losses = random_losses(2, steps, "float32")
    tx = in_box(rprop(variant=variant), lower, upper)
    path, state = run(tx, jnp.asarray(start), gradients, losses)
    twin = BoxOracle(variant, start, lower, upper)
    expected = [twin.step(*now) for now in zip(gradients, losses, strict=True)]
    np.testing.assert_array_equal(path, expected)
    np.testing.assert_array_equal(state.last_moves, twin.last)
    np.testing.assert_array_equal(rprop_state(state).prev_signs, twin.rule.sign)
    np.testing.assert_array_equal(rprop_state(state).step_sizes, twin.rule.delta)
    assert np.all((path >= lower) & (path <= upper))
    at_bound = (path == lower) | (path == upper)
    assert 0.02 < at_bound.mean() < 0.9  # bounds were met, and left


@every_plain_rule
def test_without_bounds_it_changes_nothing(make):
    start = jnp.asarray(np.random.default_rng(0).normal(size=30), "float32")
    gradients = random_gradients(1, (60, 30), "float32")
    losses = random_losses(2, 60, "float32")
    plain, state = run(make(), start, gradients, losses)
    for lower, upper in ((None, None), (-jnp.inf, jnp.inf), (-1e30, None)):
        boxed, boxed_state = run(in_box(make(), lower, upper), start, gradients, losses)
        np.testing.assert_array_equal(boxed, plain)
        assert_same(boxed_state.inner_state, state)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("make", [rprop, TURNED["irprop-"]], ids=["plain", "turned"])
def test_it_never_leaves_the_box_by_one_bit(make, dtype, x64):
    """Also where the difference to a bound can't be held exactly."""
    rng = np.random.default_rng(3)
    size = 200

    def spread(sign):
        return sign * 10.0 ** rng.uniform(-4, 2, size)

    lower = jnp.asarray(np.where(rng.random(size) < 0.5, spread(-1), spread(1)), dtype)
    start = lower + jnp.asarray(spread(1), dtype)
    upper = start + jnp.asarray(spread(1), dtype)
    gradients = jnp.asarray(
        rng.normal(size=(50, size)) + rng.choice([-2, 2], size), dtype
    )
    tx = in_box(make(learning_rate=3.0) if make is rprop else make(), lower, upper)
    path, _ = run(tx, start, gradients, jnp.zeros(50))
    assert path.dtype == dtype
    assert np.all((path >= np.asarray(lower)) & (path <= np.asarray(upper)))
    if make is rprop:
        reached = (path[-1] == lower) | (path[-1] == upper)
        assert np.mean(reached) > 0.9  # and at last it meets the bound exactly


@pytest.mark.parametrize("whole", [lambda inner: inner, optax.flatten])
def test_what_is_undone_is_what_was_moved(whole):
    """A step of 1 that the bound cut to 0.25 goes back by 0.25."""
    tx = in_box(whole(rprop(1.0, variant="rprop+")), None, 1.25)
    x = {"a": jnp.ones((1, 2), "float32"), "b": jnp.float32(0)}
    state = tx.init(x)
    for gradient, a, b in ((-1.0, 1.25, 1.0), (1.0, 1.0, 0.0)):
        grads = jax.tree.map(lambda leaf, g=gradient: jnp.full_like(leaf, g), x)
        updates, state = tx.update(grads, state, x)
        x = optax.apply_updates(x, updates)
        assert jnp.all(x["a"] == a)
        assert x["b"] == b
    assert not any(map(jnp.any, jax.tree.leaves(state.last_moves)))


def test_a_rejected_step_is_taken_back_in_turned_directions_too():
    tx = in_box(in_eigenbasis(rprop(0.5)), None, jnp.array([0.2, 9.0]))
    start = jnp.array([0.0, 1.0], "float32")
    gradient = jnp.array([-1.0, -1.0], "float32")
    state = tx.init(start)
    updates, state = tx.update(gradient, state, start, value=1.0)
    there = optax.apply_updates(start, updates)
    np.testing.assert_array_equal(there, np.float32([0.2, 1.5]))
    nan = jnp.full(2, jnp.nan, "float32")
    updates, state = tx.update(nan, state, there, value=jnp.nan)
    back = optax.apply_updates(there, updates)
    np.testing.assert_array_equal(back, start)
    updates, state = tx.update(nan, state, back, value=jnp.nan)
    np.testing.assert_array_equal(updates, 0)  # there is nothing more to take back


def test_bounds_hold_for_subtrees_and_none_is_no_bound():
    params = {
        "a": {"x": jnp.zeros(2), "y": jnp.array(0.0)},
        "b": jnp.zeros(()),
        "c": None,
    }
    lower = {"a": -1, "b": None, "c": None}
    upper = {"a": {"x": np.array([0.5, np.inf]), "y": None}, "b": None, "c": None}
    tx = in_box(rprop(2.0), lower, upper)

    def moved(sign):
        gradients = jax.tree.map(lambda x: jnp.full_like(x, sign), params)
        return tx.update(gradients, tx.init(params), params)[0]

    up, down = moved(-1), moved(1)
    np.testing.assert_array_equal(up["a"]["x"], [0.5, 2])
    np.testing.assert_array_equal(down["a"]["x"], [-1, -1])
    assert (up["a"]["y"], down["a"]["y"]) == (2, -1)
    assert (up["b"], down["b"]) == (2, -2)


def test_bounds_may_be_traced_and_have_a_derivative():
    """What a bound decided moves with it."""

    def end(upper):
        tx = in_box(rprop(1.0), None, upper)
        x = jnp.array([0.0, -5.0])
        updates, _ = tx.update(jnp.array([-1.0, -1.0]), tx.init(x), x)
        return optax.apply_updates(x, updates)

    np.testing.assert_array_equal(end(0.25), [0.25, -4])
    np.testing.assert_array_equal(jax.jacfwd(end)(0.25), [1, 0])


def test_a_traced_start_outside_is_moved_to_the_bound():
    def first(x):
        tx = in_box(rprop(), 0.0, 1.0)
        return optax.apply_updates(x, tx.update(x, tx.init(x), x)[0])

    start = jnp.array([-3.0, 5.0])
    np.testing.assert_array_equal(jax.jit(first)(start), [0, 1])


def valley(x):
    """Narrow, across the axes; every second coordinate ends at a bound of 1."""
    x = x - jnp.arange(1.0, 5.0)
    return jnp.sum(x**2) + 30 * jnp.sum((x[1:] + x[:-1]) ** 2)


def exponential(x):
    """A sum of two exponentials through points, with rates that must not be negative."""
    t = jnp.linspace(0, 2, 20)
    model = x[0] * jnp.exp(-x[1] * t) + x[2] * jnp.exp(-x[3] * t)
    return jnp.mean((model - 2 * jnp.exp(-t)) ** 2)


def nonnegative(x):
    """Least squares with weights of at least 0."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 6)), rng.normal(size=30)
    return jnp.mean((a @ x - b) ** 2)


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def svm(x):
    """The dual of a support vector machine without an offset."""
    rng = np.random.default_rng(1)
    points = rng.normal(size=(12, 2))
    labels = np.sign(points[:, 0] + 0.3 * rng.normal(size=12))
    kernel = np.exp(-((points[:, None] - points) ** 2).sum(-1))
    return x @ (kernel * np.outer(labels, labels)) @ x / 2 - jnp.sum(x)


def logistic(x):
    rng = np.random.default_rng(2)
    a = rng.normal(size=(40, 5))
    y = a @ [2, -1, 0.5, 0, -3] + rng.normal(size=40) > 0
    return jnp.mean(jnp.logaddexp(0, -np.where(y, 1.0, -1.0) * (a @ x)))


# A loss, a start, and bounds: of scalars, of arrays, some active at the optimum.
PROBLEMS = {
    "parabola, all bounds": (lambda x: jnp.sum((x - 3) ** 2), np.zeros(3), -1.0, 2.0),
    "parabola, no bound": (lambda x: jnp.sum((x - 3) ** 2), np.zeros(3), -9.0, 9.0),
    "valley": (valley, np.zeros(4), -2.0, 1.0),
    "valley, one side": (valley, np.zeros(4), None, np.array([9, 1, 9, 1.0])),
    "exponential": (exponential, np.array([1, 0.5, 0.5, 2]), 0.0, None),
    "nonnegative": (nonnegative, np.ones(6), 0.0, None),
    "rosenbrock": (rosenbrock, np.array([-1.2, 0.4]), -1.5, 0.5),
    "rosenbrock, far corner": (rosenbrock, np.array([2.0, 2.0]), 1.5, 3.0),
    "svm": (svm, np.full(12, 0.5), 0.0, 1.0),
    "logistic": (logistic, np.zeros(5), -1.0, 1.0),
    "logistic, fixed": (logistic, np.zeros(5), -np.array([0, 1, 1, 1, 1.0]), 0.0),
}


@each_of(PLAIN | {f"turned-{name}": make for name, make in TURNED.items()})
def test_optima_at_bounds_are_those_of_l_bfgs_b(make, x64):
    for name, (loss, start, lower, upper) in PROBLEMS.items():
        shape = start.shape
        low = np.broadcast_to(-np.inf if lower is None else lower, shape)
        high = np.broadcast_to(np.inf if upper is None else upper, shape)
        peer = minimize(
            jax.jit(jax.value_and_grad(loss)),
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=np.stack([low, high], 1),
            options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 2000},
        )
        ours = fit(
            loss,
            jnp.asarray(start),
            optimizer=in_box(make(), lower, upper),
            max_steps=3000,
            history=False,
        )
        assert np.all((ours.params >= low) & (ours.params <= high)), name
        scale = float(loss(jnp.asarray(start))) - peer.fun
        assert ours.loss - peer.fun < 1e-5 * scale, (name, ours.loss, peer.fun)


def test_a_fit_ends_at_a_bound():
    """A held coordinate counts as arrived, and its gradient as zero."""

    def loss(x):
        return jnp.sum((x - jnp.array([3.0, 0.3])) ** 2)

    optimizer = in_box(rprop(), 0, 2)
    result = fit(loss, jnp.ones(2), optimizer=optimizer, step_tol=1e-3)
    assert result.status is FitStatus.STEP_CONVERGED
    assert result.params[0] == 2
    assert abs(result.params[1] - 0.3) < 2e-3
    assert result.gradient_max < 1e-2  # and not 2, that of the one at its bound
    corner = fit(loss, jnp.ones(2), optimizer=in_box(rprop(), 0.5, 2))
    assert corner.status is FitStatus.STATIONARY
    np.testing.assert_array_equal(corner.params, [2, 0.5])
    assert corner.history.flip_fraction[-1] == 0


def test_a_fit_resumes_and_survives_a_cliff():
    def loss(x):
        return jnp.sum(jnp.where(x > 1.2, jnp.nan, (x - 2) ** 2))

    optimizer = in_box(rprop(1.0), 0.0, jnp.array([5.0, 1.0]))
    start = jnp.array([0.5, 0.5])
    whole = fit(loss, start, optimizer=optimizer, max_steps=60)
    first = fit(loss, start, optimizer=optimizer, max_steps=7)
    rest = fit(loss, start, optimizer=optimizer, max_steps=53, resume=first.last)
    assert_same(whole.last, rest.last)
    assert 1.19 < whole.params[0] <= 1.2
    assert whole.params[1] == 1


def test_lanes_of_vmap_have_boxes_of_their_own():
    def one(upper):
        optimizer = in_box(rprop(), 0.0, upper)
        found = fit(lambda x: (x - 3) ** 2, jnp.array(0.1), optimizer=optimizer)
        return found.params

    uppers = jnp.array([0.5, 2.0, 9.0])
    np.testing.assert_allclose(jax.vmap(one)(uppers), [0.5, 2, 3], atol=1e-3)


@pytest.mark.parametrize("axis_type", ["Auto", "Explicit"])
def test_its_state_lies_like_the_parameters(axis_type):
    mesh = mesh_of(getattr(jax.sharding.AxisType, axis_type))
    spread = NamedSharding(mesh, PartitionSpec("x"))
    params = jax.device_put(jnp.linspace(-1, 1, 16, dtype="float32"), spread)
    tx = in_box(rprop(), -1.0, jax.device_put(jnp.ones(16, "float32"), spread))
    state = tx.init(params)
    updates, after = jax.jit(tx.update)(params, state, params)
    for array in (*jax.tree.leaves((state, after, updates)),):
        if array.ndim:
            assert array.sharding.is_equivalent_to(spread, array.ndim)
    alone = np.linspace(-1, 1, 16, dtype="float32")
    expected = in_box(rprop(), -1.0, np.ones(16))
    np.testing.assert_array_equal(
        updates, expected.update(alone, expected.init(alone), alone)[0]
    )


def test_abstract_parameters_make_an_abstract_state():
    tx = in_box(rprop(), 0.0, None)
    abstract = {"w": jax.ShapeDtypeStruct((3,), jnp.float32)}
    made = jax.eval_shape(tx.init, abstract)
    concrete = tx.init({"w": jnp.ones(3, "float32")})
    assert jax.tree.map(lambda x: (x.shape, x.dtype), made) == jax.tree.map(
        lambda x: (x.shape, x.dtype), concrete
    )
    assert jax.tree.structure(tx.init(abstract)) == jax.tree.structure(concrete)
    assert isinstance(concrete, BoxState)


def test_map_params_works_with_a_tree_of_bounds():
    tx = in_box(rprop(), {"w": 0.0}, {"w": jnp.full(3, 2.0)})
    state = tx.init({"w": jnp.ones(3)})
    doubled = optax.tree_utils.tree_map_params(tx, lambda leaf: leaf + leaf, state)
    np.testing.assert_allclose(rprop_state(doubled).step_sizes["w"], 0.2)


def test_any_transformation_may_be_inside():
    """And each part of a partition may have bounds of its own."""

    def loss(p):
        return (p["a"] - 3) ** 2 + (p["b"] - 3) ** 2

    parts = optax.partition(
        {"box": in_box(rprop(), 0.0, 1.0), "free": optax.sgd(0.1)},
        {"a": "box", "b": "free"},
    )
    start = {"a": jnp.array(0.5), "b": jnp.array(0.5)}
    result = fit(loss, start, optimizer=parts, max_steps=200)
    assert result.params["a"] == 1
    assert abs(result.params["b"] - 3) < 0.1
    sgd = fit(loss, start, optimizer=in_box(optax.sgd(0.3), 0.0, 2.0), max_steps=100)
    assert sgd.params == {"a": 2, "b": 2}


def test_wrong_bounds_are_refused():
    with raises(TypeError, "in_box: inner must be an Optax transformation, got float. "):
        in_box(0.1, 0, 1)
    with raises(
        TypeError,
        "in_box: lower must be a real number, an array of them or a tree of both, got "
        "str at leaf ['a']. None stands for no bound.",
    ):
        in_box(rprop(), {"a": "0"}, 1)
    with raises(
        TypeError,
        "in_box: upper must be a real number, an array of them or a tree of both, got "
        "bool at the only leaf. None stands for no bound.",
    ):
        in_box(rprop(), 0, True)
    with raises(
        ValueError,
        "in_box: upper must not be NaN, got it at leaf [1]. None stands for no bound.",
    ):
        in_box(rprop(), 0, [1.0, np.nan])


def test_bounds_that_do_not_fit_the_parameters_are_refused():
    params = {"a": jnp.zeros(2), "z": jnp.zeros((), "complex64")}
    with raises(
        ValueError,
        "in_box.init: lower must be a number or a tree like the parameters, got "
        "PyTreeDef({'b': *}) for PyTreeDef({'a': *, 'z': *}). One number in the place of "
        "a subtree holds for all of it.",
    ):
        in_box(rprop(), {"b": 0.0}, None).init(params)
    with raises(
        TypeError,
        "in_box.init: a parameter with bounds must be real, got dtype complex64 at leaf "
        "['z']. Complex numbers have no order: set None for it, or make its parts two "
        "parameters.",
    ):
        in_box(rprop(), -1.0, None).init(params)
    with raises(
        ValueError,
        "in_box.init: upper must have the shape of its parameter, got (3,) instead of "
        "(2,) at leaf ['a']. One number holds for all entries.",
    ):
        in_box(rprop(), None, {"a": np.ones(3), "z": None}).init(params)
    with raises(
        ValueError,
        "in_box.init: lower must not exceed upper, got 2 and 1 at leaf ['a']. Where they "
        "are equal, they hold a parameter fast.",
    ):
        in_box(
            rprop(), {"a": np.array([0.0, 2.0]), "z": None}, {"a": 1.0, "z": None}
        ).init(params)
    free = in_box(rprop(), {"a": 0.0, "z": None}, None)
    gradients = {"a": jnp.ones(2), "z": jnp.array(1 - 1j, "complex64")}
    updates, _ = free.update(gradients, free.init(params), params)
    np.testing.assert_array_equal(updates["a"], 0)
    np.testing.assert_array_equal(updates["z"], np.complex64(-0.1 + 0.1j))


def test_a_start_outside_is_refused():
    start = {"a": jnp.array([1.0, 3.0])}
    tx = in_box(rprop(), 0.0, 2.0)
    with raises(
        ValueError,
        "in_box.init: every parameter must start inside its bounds, got 3 above its "
        "upper bound at leaf ['a']. Choose another start, or clip it with jnp.clip.",
    ):
        tx.init(start)

    def loss(p):
        return jnp.sum(p["a"] ** 2)

    with raises(
        ValueError,
        "fit: every parameter must start inside its bounds, got 3 above its upper bound "
        "at leaf ['a']. Choose another start, or clip it with jnp.clip.",
    ):
        fit(loss, start, optimizer=tx)
    with raises(
        ValueError,
        "fit: every parameter must start inside its bounds, got -1 below its lower bound "
        "at leaf ['a']. ",
    ):
        fit(loss, {"a": jnp.array(-1.0)}, optimizer=optax.chain(tx, optax.identity()))


def test_a_traced_start_outside_ends_a_fit():
    """It can't be refused there, but nothing is found from it; the other lane fits."""
    optimizer = in_box(rprop(), None, jnp.array([9.0, 1.0]))

    def lane(start):
        return fit(lambda x: jnp.sum((x - 3) ** 2), start, optimizer=optimizer)

    lanes = jax.vmap(lane)(jnp.array([[0.0, 2.0], [0.0, 0.5]]))
    assert lanes.statuses[0] is FitStatus.NONFINITE
    assert jnp.isinf(lanes.loss[0])
    np.testing.assert_allclose(lanes.best().params, [3, 1], atol=1e-3)


def test_wrong_updates_are_refused():
    tx, x = in_box(rprop(), 0.0, 2.0), jnp.ones(2)
    state = tx.init(x)
    with raises(
        TypeError,
        "in_box.update: params must be the parameters, got None. Where a move meets a "
        "bound depends on where it starts: call update(grads, state, params).",
    ):
        tx.update(x, state)
    with raises(TypeError, "in_box.update: state must be of type BoxState, got tuple. "):
        tx.update(x, state.inner_state, x)
    with raises(
        ValueError,
        "in_box.update: the parameters must have the tree structure of the gradients, "
        "got PyTreeDef([*]). They are what is bounded.",
    ):
        tx.update(x, state, [x])
    with raises(ValueError, "in_box.update: every gradient must have the shape of its "):
        tx.update(jnp.ones(3), state, jnp.ones(3))
    with raises(TypeError, "in_box.update: value must be a real number, got str. "):
        tx.update(x, state, x, value="3")
    with raises(
        ValueError,
        "in_box.update: held of the state must be -1, 0 or 1, got 2 at leaf .held. The "
        "state is what init returned, and then what the last update returned.",
    ):
        tx.update(x, state._replace(held=jnp.array([0, 2], "int8")), x)
    for field, wrong in (("held", "int32"), ("last_moves", "float16")):
        with raises(
            ValueError,
            f"in_box.update: {field} of the state must have the structure, shapes and "
            f"dtypes of what init makes, got {wrong}[2] instead of ",
        ):
            tx.update(x, state._replace(**{field: jnp.zeros(2, wrong)}), x)


def test_bounds_of_turned_axes_are_refused():
    with raises(
        TypeError,
        "in_eigenbasis.init: inner must have no bounds, got in_box. Bounds belong to the "
        "parameters as they are: put in_box around in_eigenbasis.",
    ):
        in_eigenbasis(in_box(rprop(), 0.0, 1.0)).init(jnp.ones(2))
