"""What Optax's own shared tests ask of an optimizer, asked of every rule.

From Optax's ``alias_test`` and ``contrib/_common_test``: it optimizes a parabola and
Rosenbrock's function, real and complex; ``map_params`` works; a second call does not
compile again; unknown extra arguments are accepted; ``inject_hyperparams`` changes
nothing; updates have the dtype of the gradients; the state keeps shapes and dtypes
through ``lax.cond``, in six dtypes; ``MultiSteps`` accumulates (in test_compose.py).
From its ``float64_test``: leaves of mixed precision keep their own. From its
``sharding_test``: abstract init; the rest is in test_sharding.py.
"""

import functools
import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import (
    assert_same,
    descend,
    every_float_rule,
    every_plain_rule,
    every_rule,
    every_turned_rule,
    every_variant,
    quadratic,
    rprop_state,
)

from optax_rprop import RpropState, rprop, scale_by_rprop

every_dtype = pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
)


def rosenbrock(dtype):
    """Rosenbrock's valley, with its minimum at a and a squared."""
    a = jnp.asarray(1 + 1j if jnp.issubdtype(dtype, jnp.complexfloating) else 1, dtype)

    def square(z):
        return (z * z.conj()).real

    def loss(params):
        x, y = params
        return square(a - x) + 100.0 * square(y - x * x)

    return jnp.zeros(2, dtype), jnp.stack([a, a * a]), loss


@pytest.mark.parametrize(
    ("problem", "num_steps"), [(quadratic, 100), (rosenbrock, 10000)]
)
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@every_rule
def test_it_optimizes_within_a_budget_of_steps(make, dtype, problem, num_steps):
    params, target, loss = problem(dtype)
    path, _ = descend(make(), loss, params, num_steps)
    np.testing.assert_allclose(path[-1], target, rtol=3e-2, atol=3e-2)


@every_dtype
@every_rule
def test_the_state_and_the_updates_keep_their_types(make, dtype, x64):
    params, _, loss = quadratic(dtype)
    tx = make()
    state = tx.init(params)

    @jax.jit
    def step(params, state, really):
        value, gradient = jax.value_and_grad(loss)(params)
        # A loss of another precision must not change the state's.
        value = value.astype("float32" if dtype == "float16" else "float16")
        updates, state = jax.lax.cond(
            really,
            lambda: tx.update(gradient.conj(), state, params, value=value),
            lambda: (jnp.zeros_like(params), state),
        )
        return updates, state

    updates, new_state = step(params, state, True)
    assert updates.dtype == params.dtype
    assert jax.tree.map(jax.typeof, new_state) == jax.tree.map(jax.typeof, state)


@every_dtype
@every_variant
def test_the_state_has_the_promised_dtypes(variant, dtype, x64):
    params, _, _ = quadratic(dtype)
    wide = dtype in ("float64", "complex128")
    parts = 2 if jnp.issubdtype(dtype, jnp.complexfloating) else 1
    for init in (rprop(variant=variant).init, jax.jit(rprop(variant=variant).init)):
        state = rprop_state(init(params))
        step_sizes, prev_signs = map(jax.tree.leaves, state[:2])
        assert len(step_sizes) == len(prev_signs) == parts
        for size, sign in zip(step_sizes, prev_signs, strict=True):
            assert size.dtype == ("float64" if wide else "float32")
            assert sign.dtype == "int8"
            assert size.shape == sign.shape == (3,)
        assert state.prev_value.shape == ()
        assert not any(leaf.weak_type for leaf in jax.tree.leaves(state))


def test_the_state_takes_five_bytes_a_float32_parameter():
    state = rprop_state(rprop().init(jnp.zeros((100, 10), "float32")))
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(state[:2])) == 5 * 1000


@every_rule
def test_init_and_update_agree_on_types_eager_and_compiled(make):
    params = {"w": jnp.ones((2, 3), "bfloat16"), "b": 1.0}
    tx = make()
    eager, compiled = tx.init(params), jax.jit(tx.init)(params)
    _, updated = tx.update(params, eager, value=1.0)
    _, compiled_update = jax.jit(tx.update)(params, compiled, value=1.0)
    types = [
        jax.tree.map(jax.typeof, s) for s in (eager, compiled, updated, compiled_update)
    ]
    assert types[0] == types[1] == types[2] == types[3]


@every_rule
def test_init_takes_abstract_parameters(make):
    tx = make()
    shapes = {
        "a": jax.ShapeDtypeStruct((2, 3), "float16"),
        "c": jax.ShapeDtypeStruct((), "complex64"),
    }
    params = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    assert_same(tx.init(shapes), tx.init(params))


@every_float_rule
def test_map_params_works(make):
    tx = make()
    state = tx.init({"w": jnp.zeros(3)})
    same = optax.tree_utils.tree_map_params(tx, lambda leaf: leaf, state)
    assert_same(same, state)
    doubled = optax.tree_utils.tree_map_params(tx, lambda leaf: leaf + leaf, state)
    np.testing.assert_allclose(rprop_state(doubled).step_sizes["w"], 0.2)
    assert rprop_state(doubled).prev_value == rprop_state(state).prev_value


@every_turned_rule
def test_map_params_leaves_the_bases_alone(make):
    """They belong to axes, not to parameters."""
    tx = make()
    params = {"w": jnp.ones((3, 2)), "b": jnp.ones(2), "long": jnp.ones(300)}
    _, state = jax.jit(tx.update)(params, tx.init(params), value=1.0)
    doubled = optax.tree_utils.tree_map_params(
        tx, lambda leaf, param: leaf + leaf, state, params
    )
    assert_same(doubled.bases, state.bases)
    assert doubled.num_updates == 1
    assert_same(doubled.prev_grads["w"], 2 * params["w"])
    assert not doubled.prev_grads["long"].any()  # it is not turned


def test_tree_get_finds_every_field():
    state = optax.chain(optax.clip(1.0), rprop()).init(jnp.zeros(3))
    for field in RpropState._fields:
        found = optax.tree_utils.tree_get(state, field)
        np.testing.assert_array_equal(found, getattr(rprop_state(state), field))


@every_rule
def test_a_second_call_does_not_compile_again(make):
    params, _, loss = quadratic()
    tx = make()
    traces = []

    @jax.jit
    def step(params, state):
        traces.append(None)
        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = tx.update(gradient, state, params, value=value)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for _ in range(3):
        params, state = step(params, state)
    assert len(traces) == 1


@every_rule
def test_unknown_extra_arguments_are_accepted(make):
    tx = make(0.125)
    params = jnp.ones(3)
    updates, _ = jax.jit(tx.update)(params, tx.init(params), value=1.0, unheard_of=2.0)
    np.testing.assert_array_equal(updates, -0.125)


@every_variant
def test_inject_hyperparams_changes_no_bit(variant):
    params, _, loss = quadratic()
    plain, _ = descend(rprop(variant=variant), loss, params, 30)
    injected = optax.inject_hyperparams(rprop)(variant=variant, learning_rate=0.1)
    path, state = descend(injected, loss, params, 30)
    np.testing.assert_array_equal(path, plain)
    assert set(state.hyperparams) == set(list(inspect.signature(rprop).parameters)[:5])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_array_hyperparameters_change_no_dtype(dtype, x64):
    wide = [jnp.asarray(h, "float64") for h in (0.1, 0.5, 1.2, 1e-6, 50.0)]
    params = jnp.ones(3, dtype)
    tx, plain = rprop(*wide), rprop()
    state = tx.init(params)
    for _ in range(2):
        updates, state = tx.update(params, state)
    assert jax.tree.map(jax.typeof, state) == jax.tree.map(jax.typeof, plain.init(params))
    assert updates.dtype == dtype


@every_float_rule
def test_leaves_of_mixed_precision_keep_their_own(make, x64):
    params = {"half": jnp.ones(2, "float16"), "double": jnp.ones(2, "float64")}
    tx = make()
    updates, state = jax.jit(tx.update)(params, tx.init(params), value=0.0)
    assert updates["half"].dtype == "float16"
    assert updates["double"].dtype == "float64"
    assert rprop_state(state).step_sizes["half"].dtype == "float32"
    assert rprop_state(state).step_sizes["double"].dtype == "float64"


@every_turned_rule
def test_the_state_of_a_turned_basis_takes_what_its_docstring_says(make):
    tx, inner = make(), make.args[0]()
    params = jnp.zeros((100, 10), "float32")
    state = tx.init(params)

    def nbytes(tree):
        return sum(leaf.nbytes for leaf in jax.tree.leaves(tree) if leaf.ndim)

    beside = nbytes(state) - nbytes(state.inner_state)
    assert beside == 4 * 1000 + 8 * (100**2 + 10**2)
    assert nbytes(state.inner_state) == nbytes(inner.init(params))


@every_rule
def test_none_and_empty_leaves_pass_through(make):
    params = {"w": jnp.ones(2), "frozen": None, "empty": jnp.zeros((0, 3))}
    tx = make()
    updates, state = tx.update(params, tx.init(params), value=0.0)
    assert updates["frozen"] is None
    assert updates["empty"].shape == (0, 3)
    assert rprop_state(state).step_sizes["frozen"] is None
    assert tx.update({}, tx.init({}), value=0.0)[0] == {}


@every_dtype
@every_plain_rule
def test_scaling_the_gradients_changes_no_bit(make, dtype, x64):
    """By any factor that keeps them in the normal range of their dtype."""
    rng = np.random.default_rng(5)
    gradients = rng.choice([-1.0, 1.0, 0.0], p=[0.45, 0.45, 0.1], size=(30, 8))
    tx = make()
    update = jax.jit(functools.partial(_updates, tx))
    scales = (1e-4, 1e4) if dtype == "float16" else (1e-37, 1e37)
    plain, small, large = (
        update(jnp.asarray(gradients * scale, dtype)) for scale in (1.0, *scales)
    )
    np.testing.assert_array_equal(small, plain)
    np.testing.assert_array_equal(large, plain)
    assert np.any(np.asarray(plain) != np.asarray(plain[0]))


@pytest.mark.parametrize("dtype", ["float16", "float32", "complex64"])
@every_turned_rule
def test_scaling_by_a_power_of_two_changes_no_bit_in_a_turned_basis(make, dtype):
    """By other factors the products are rounded otherwise."""
    gradients = jnp.asarray(np.random.default_rng(5).normal(size=(30, 4)), "float32")
    tx = make()
    update = jax.jit(functools.partial(_updates, tx))
    small, plain, large = (
        update((gradients.astype("float16") * scale).astype(dtype))
        for scale in jnp.asarray([2**-4, 1, 2**4], "float16")
    )
    np.testing.assert_array_equal(small, plain)
    np.testing.assert_array_equal(large, plain)
    assert np.unique(np.abs(plain)).size > 10  # it has turned


def _updates(tx, gradients):
    def step(state, gradient):
        updates, state = tx.update(
            gradient, state, value=gradient.real.astype("float32")[0]
        )
        return state, updates

    return jax.lax.scan(step, tx.init(gradients[0]), gradients)[1]


@every_plain_rule
def test_complex_parameters_are_pairs_of_real_ones(make):
    params, _, loss = quadratic("complex64")

    def loss_of_pair(pair):
        return loss(jax.lax.complex(pair[..., 0], pair[..., 1]))

    tx = make()
    as_complex, _ = descend(tx, loss, params, 40)
    as_pairs, _ = descend(tx, loss_of_pair, jnp.zeros((3, 2), "float32"), 40)
    np.testing.assert_array_equal(as_complex.real, as_pairs[..., 0])
    np.testing.assert_array_equal(as_complex.imag, as_pairs[..., 1])


@every_turned_rule
def test_complex_parameters_are_turned_like_real_ones_of_their_parts(make):
    """A vector like one that is twice as long, a matrix like a pair of them."""
    tx = make()
    for shape, of_parts in (((3,), (6,)), ((3, 2), (3, 2, 2))):
        size = math.prod(shape)
        target = jnp.linspace(-1.0, 1.0, size, dtype="float32").reshape(shape)

        def loss(params, target=target):
            distance = params - jax.lax.complex(target, 2 * target)
            return jnp.abs(jnp.sum(distance)) ** 2 + jnp.sum(jnp.abs(distance) ** 2)

        def loss_of_parts(parts, loss=loss, shape=shape):
            parts = parts.reshape(*shape, 2)
            return loss(jax.lax.complex(parts[..., 0], parts[..., 1]))

        as_complex, _ = descend(tx, loss, jnp.zeros(shape, "complex64"), 20)
        as_real, _ = descend(tx, loss_of_parts, jnp.zeros(of_parts, "float32"), 20)
        parts = jnp.stack([as_complex.real, as_complex.imag], axis=-1)
        np.testing.assert_allclose(parts.reshape(as_real.shape), as_real, atol=1e-3)


@every_variant
def test_scale_by_rprop_is_rprop_not_negated(variant):
    params = jnp.asarray([1.0, -1.0, 0.0])
    tx, scaled = rprop(variant=variant), scale_by_rprop(variant=variant)
    down, _ = tx.update(params, tx.init(params), value=0.0)
    up, state = scaled.update(params, scaled.init(params), value=0.0)
    np.testing.assert_array_equal(down, -up)
    assert isinstance(state, RpropState)


def test_half_precision_parameters_keep_exact_step_sizes():
    """A bfloat16 step size could not grow by 1.2 twelve times and come back."""
    params = jnp.zeros(1, "bfloat16")
    tx = rprop(learning_rate=0.1, max_step_size=jnp.inf)
    state = tx.init(params)
    expected = np.float32(0.1)
    for step in range(12):
        updates, state = tx.update(jnp.ones(1, "bfloat16"), state)
        expected = expected * np.float32(1.2) if step else expected
    assert rprop_state(state).step_sizes[0] == expected
    assert updates[0] == -jnp.bfloat16(expected)


def test_no_leaf_is_read_from_the_device_between_two_updates():
    """The compiled update has no callback and no transfer in it."""
    tx = rprop(variant="irprop+")
    params = {"w": jnp.ones(3), "b": jnp.ones(())}
    program = str(jax.make_jaxpr(tx.update)(params, tx.init(params), value=1.0))
    assert "callback" not in program
    assert "reduce_" not in program  # no test of the state's values, as eager calls make
    assert "pjit" not in program  # inlined: nothing stands between a user's jit and it
