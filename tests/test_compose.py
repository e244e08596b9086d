"""Rprop among Optax's other transformations, wrappers and JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import (
    assert_same,
    descend,
    every_plain_rule,
    every_rule,
    every_turned_rule,
    every_variant,
    quadratic,
    rprop_state,
    trajectory,
)

from optax_rprop import fit, in_eigenbasis, rprop


@pytest.mark.parametrize(
    "before",
    [optax.clip(0.01), optax.clip_by_global_norm(1e-3), optax.zero_nans()],
    ids=["clip", "clip_by_global_norm", "zero_nans"],
)
@every_plain_rule
def test_clipping_before_changes_no_bit(make, before, relaxed):
    params, _, loss = quadratic()
    plain, _ = descend(make(), loss, params, 60)
    clipped, _ = descend(optax.chain(before, make()), loss, params, 60)
    np.testing.assert_array_equal(clipped, plain)


@every_turned_rule
def test_clipping_leads_a_turned_basis_down_as_well(make, relaxed):
    """Entry by entry it bends the gradient, before the basis as inside of it."""
    params, target, loss = quadratic()
    inside = in_eigenbasis(optax.chain(optax.clip(0.5), make.args[0]()))
    for tx in (optax.chain(optax.clip(0.5), make()), inside):
        path, _ = descend(tx, loss, params, 200)
        np.testing.assert_allclose(path[-1], target, atol=1e-3)


def test_zero_nans_before_it_does_what_rprop_does_anyway():
    gradients = jnp.asarray([[1.0], [jnp.nan], [1.0], [1.0]])
    plain, _ = trajectory(rprop(), gradients)
    zeroed, _ = trajectory(optax.chain(optax.zero_nans(), rprop()), gradients)
    np.testing.assert_array_equal(zeroed, plain)
    np.testing.assert_allclose(plain[:, 0], [-0.1, 0.0, -0.1, -0.12])


def test_clipping_after_caps_the_move_and_an_undo_alike():
    """So a capped move is taken back by a capped undo, as long as the cap holds both."""
    capped = optax.chain(rprop(learning_rate=0.5, variant="rprop+"), optax.clip(0.2))
    updates, states = trajectory(capped, jnp.asarray([[1.0], [1.0], [-1.0]]))
    np.testing.assert_allclose(updates[:, 0], [-0.2, -0.2, 0.2])
    np.testing.assert_allclose(states.step_sizes[:, 0], [0.5, 0.6, 0.3])


@every_rule
def test_weight_decay_before_pulls_the_minimum_towards_zero(make, relaxed):
    params, target, loss = quadratic()
    tx = optax.chain(optax.add_decayed_weights(0.1), make())
    path, _ = descend(tx, loss, params, 300)
    # The gradient of the loss plus 0.05 * params**2, of curvature 2 * scale.
    expected = 2 * jnp.asarray([1.0, 30.0, 0.1]) * target
    expected /= 2 * jnp.asarray([1.0, 30.0, 0.1]) + 0.1
    np.testing.assert_allclose(path[-1], expected, atol=1e-3)


def test_weight_decay_after_is_decoupled():
    """Added to the step, in proportion to the parameters, whatever the gradient."""
    decay = optax.add_decayed_weights(-0.01)  # updates are to be added by now
    tx = optax.chain(rprop(), decay)
    params = jnp.asarray([10.0, -10.0])
    updates, _ = tx.update(jnp.asarray([1.0, 0.0]), tx.init(params), params)
    np.testing.assert_allclose(updates, [-0.1 - 0.1, 0.1], rtol=1e-6)


def multi_steps(tx, k):
    """``optax.MultiSteps`` as a transformation that hands ``value`` on."""
    wrapper = optax.MultiSteps(tx, every_k_schedule=k)
    return optax.GradientTransformationExtraArgs(wrapper.init, wrapper.update)


@every_variant
def test_multi_steps_accumulates_to_the_full_batch(variant, relaxed):
    """Two half batches a step give the step of the whole, with the loss of the whole.

    ``MultiSteps`` hands on the ``value`` of the last half alone, so irprop+ needs the
    mean of both there: its rule is not that of the full batch without.
    """
    rng = np.random.default_rng(0)
    gradients = jnp.asarray(rng.normal(size=(40, 2, 3)), "float32")
    losses = jnp.asarray(rng.normal(size=(40, 2)), "float32")
    tx = rprop(variant=variant)

    def halves(losses):
        flat = gradients.reshape(80, 3), losses.reshape(80)
        updates, _ = trajectory(multi_steps(tx, 2), *flat)
        np.testing.assert_array_equal(updates[::2], 0.0)
        return updates[1::2]

    mean = (gradients[:, 0] + gradients[:, 1]) / 2
    whole, _ = trajectory(tx, mean, losses.mean(axis=1))
    running_mean = jnp.stack([losses[:, 0], losses.mean(axis=1)], axis=1)
    np.testing.assert_array_equal(halves(running_mean), whole)
    as_they_come = np.abs(halves(losses) - whole).max()
    assert (as_they_come > 0) == (variant == "irprop+")


def test_multi_steps_around_a_turned_basis(relaxed):
    rng = np.random.default_rng(0)
    gradients = jnp.asarray(rng.normal(size=(20, 2, 3)), "float32")
    tx = in_eigenbasis(rprop())
    halves, _ = trajectory(multi_steps(tx, 2), gradients.reshape(40, 3))
    whole, _ = trajectory(tx, (gradients[:, 0] + gradients[:, 1]) / 2)
    np.testing.assert_array_equal(halves[::2], 0.0)
    np.testing.assert_allclose(halves[1::2], whole, atol=1e-6)


def test_a_nan_microbatch_stops_multi_steps_unless_it_is_kept_out(relaxed):
    gradients = jnp.asarray([1.0, jnp.nan, 1.0, 1.0, 1.0, 1.0])[:, None]

    def moves(tx):
        return np.count_nonzero(trajectory(tx, gradients)[0][1::2])

    zeroing = optax.chain(optax.zero_nans(), rprop())
    assert moves(multi_steps(zeroing, 2)) == 0  # the mean is NaN for good
    outside = optax.chain(optax.zero_nans(), multi_steps(rprop(), 2))
    assert moves(outside) == 3


@every_rule
def test_masked_passes_the_raw_gradient_on(make):
    """It is no way to freeze a leaf: adding the gradient leads uphill."""
    params = {"w": jnp.ones(2), "frozen": jnp.ones(2)}
    tx = optax.masked(make(0.25), {"w": True, "frozen": False})
    updates, state = tx.update(params, tx.init(params), params, value=1.0)
    np.testing.assert_array_equal(updates["w"], -0.25)
    np.testing.assert_array_equal(updates["frozen"], params["frozen"])
    assert jax.tree.leaves(rprop_state(state).step_sizes["frozen"]) == []


@every_rule
def test_partition_freezes_a_leaf(make):
    params = {"w": jnp.ones(2), "frozen": jnp.ones(2)}
    tx = optax.partition(
        {"train": make(0.25), "freeze": optax.set_to_zero()},
        {"w": "train", "frozen": "freeze"},
    )
    updates, state = tx.update(params, tx.init(params), params, value=1.0)
    np.testing.assert_array_equal(updates["w"], -0.25)
    np.testing.assert_array_equal(updates["frozen"], 0.0)
    assert jax.tree.leaves(rprop_state(state).step_sizes["frozen"]) == []


@every_variant
def test_groups_of_parameters_have_settings_of_their_own(variant):
    params = {"slow": jnp.ones(2), "fast": jnp.ones(2)}
    tx = optax.multi_transform(
        {
            name: rprop(size, variant=variant)
            for name, size in [("slow", 0.01), ("fast", 1)]
        },
        {"slow": "slow", "fast": "fast"},
    )
    updates, _ = tx.update(params, tx.init(params), params, value=1.0)
    np.testing.assert_allclose(updates["slow"], -0.01)
    np.testing.assert_allclose(updates["fast"], -1.0)


@every_variant
def test_apply_if_finite_goes_round_it(variant, relaxed):
    """The wrapper drops a bad gradient whole; Rprop never sees it."""
    gradients = jnp.asarray([[1.0, 1.0], [jnp.nan, 1.0], [1.0, 1.0]])
    tx = optax.apply_if_finite(rprop(variant=variant), max_consecutive_errors=3)
    updates, _ = trajectory(tx, gradients, jnp.zeros(3))
    np.testing.assert_allclose(updates[:, 0], [-0.1, 0.0, -0.12])
    np.testing.assert_allclose(updates[:, 1], [-0.1, 0.0, -0.12])


def test_apply_if_finite_goes_round_a_turned_basis(relaxed):
    gradients = jnp.asarray([[1.0, 1.0], [jnp.nan, 1.0], [1.0, 1.0]])
    tx = optax.apply_if_finite(in_eigenbasis(rprop()), max_consecutive_errors=3)
    updates, _ = trajectory(tx, gradients, jnp.zeros(3))
    np.testing.assert_allclose(updates, [[-0.1, -0.1], [0.0, 0.0], [-0.12, -0.12]])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "complex64"])
def test_inject_hyperparams_takes_parameters_of_every_dtype(dtype, relaxed):
    """Optax casts the numbers to the dtype of the parameters, unless told otherwise."""
    params = jnp.ones(1, dtype)
    tx = optax.inject_hyperparams(rprop, hyperparam_dtype=jnp.float32)()
    injected, plain = tx.init(params), rprop().init(params)
    for _ in range(25):
        _, injected = tx.update(params, injected)
        _, plain = rprop().update(params, plain)
    assert_same(rprop_state(injected), rprop_state(plain))
    as_optax_casts = optax.inject_hyperparams(rprop)()
    as_optax_casts.update(params, as_optax_casts.init(params))


def test_inject_hyperparams_can_change_a_factor_on_the_way():
    tx = optax.inject_hyperparams(rprop)()
    params = jnp.ones(1)
    state = tx.init(params)
    for factor in (1.2, 1.2, 2.0):
        state.hyperparams["eta_plus"] = jnp.asarray(factor)
        _, state = jax.jit(tx.update)(params, state)
    np.testing.assert_allclose(rprop_state(state).step_sizes, 0.1 * 1.2 * 2.0, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_inject_hyperparams_takes_those_of_a_turned_basis(dtype, relaxed):
    params, _, loss = quadratic(dtype)
    injected = optax.inject_hyperparams(in_eigenbasis, static_args="max_size")
    tx = injected(rprop(), refresh_every=4, decay=0.5)
    path, state = descend(tx, loss, params, 20)
    plain, _ = descend(
        in_eigenbasis(rprop(), refresh_every=4, decay=0.5), loss, params, 20
    )
    np.testing.assert_allclose(path, plain, atol=1e-3)
    assert set(state.hyperparams) == {"refresh_every", "decay"}


def test_a_decay_that_changes_on_the_way():
    """A decay of 0 forgets what came before."""
    injected = optax.inject_hyperparams(in_eigenbasis, static_args="max_size")
    tx = injected(rprop(), decay=0.5)
    params = jnp.ones(2)
    state, update = tx.init(params), jax.jit(tx.update)
    for gradient, decay in (([1, 0], 0.5), ([3, 0], 0.5), ([3, 4], 0.0)):
        state.hyperparams["decay"] = jnp.asarray(decay, params.dtype)
        _, state = update(jnp.asarray(gradient, params.dtype), state)
    joint, _ = state.inner_state.bases
    np.testing.assert_allclose(joint.moment, [[0, 0], [0, 4]], atol=1e-6)


def valley(params):
    across = params["w"].sum() + params["b"].sum() - 2
    away = sum(jnp.sum((leaf - 1) ** 2) for leaf in params.values())
    return 100 * across**2 + away


def test_flatten_inside_and_outside():
    """Outside of it, all parameters are one vector; inside, the rule sees one."""
    params = {"w": jnp.zeros((3, 2)), "b": jnp.zeros(2)}
    least = valley(
        {"w": jnp.full((3, 2), 1 - 600 / 801), "b": jnp.full(2, 1 - 600 / 801)}
    )
    for tx in (optax.flatten(in_eigenbasis(rprop())),
               in_eigenbasis(optax.flatten(rprop()))):  # fmt: skip
        path, _ = descend(tx, valley, params, 200)
        np.testing.assert_allclose(
            valley(jax.tree.map(lambda x: x[-1], path)), least, 1e-3
        )
    alike = fit(valley, params, optimizer=tx, max_steps=200)
    np.testing.assert_allclose(alike.loss, least, rtol=1e-3)


def test_adam_in_a_turned_basis_descends(relaxed):
    params, target, loss = quadratic()
    path, _ = descend(in_eigenbasis(optax.adam(0.1)), loss, params, 300, with_value=False)
    np.testing.assert_allclose(path[-1], target, atol=0.05)
    result = fit(loss, params, optimizer=in_eigenbasis(optax.adam(0.1)), max_steps=300)
    assert result.loss < 0.05


def test_adam_in_the_basis_of_the_axes_is_adam(relaxed):
    params, _, loss = quadratic()
    plain, _ = descend(optax.adam(0.1), loss, params, 20)
    for settings in (
        {"max_size": 0},
        {"max_size": 2},
        {"refresh_every": 1, "decay": 0.0},
    ):
        tx = in_eigenbasis(optax.adam(0.1), **settings)
        steps = 20 if "max_size" in settings else 1  # there is no change at first
        path, _ = descend(tx, loss, params, steps)
        np.testing.assert_allclose(path, plain[:steps], rtol=1e-6)


@every_rule
def test_vmap_over_restarts_equals_one_by_one(make):
    _, _, loss = quadratic()
    starts = jax.random.normal(jax.random.key(0), (5, 3), "float32")
    together, states = jax.vmap(lambda start: descend(make(), loss, start, 40))(starts)
    for i, start in enumerate(starts):
        path, state = descend(make(), loss, start, 40)
        # Batched arithmetic may round the loss otherwise, but not what Rprop does of it.
        np.testing.assert_allclose(together[i], path, rtol=1e-5, atol=1e-6)
        assert rprop_state(state).prev_value.shape == ()
    assert jax.vmap(rprop_state)(states).prev_value.shape == (5,)


@every_rule
def test_donated_buffers_are_reused(make):
    params, _, loss = quadratic()
    tx = make()

    def step(params, state):
        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = tx.update(gradient, state, params, value=value)
        return optax.apply_updates(params, updates), state

    donating = jax.jit(step, donate_argnums=(0, 1))
    expected = jax.jit(step)(params, tx.init(params))
    given = params + 0.0, jax.tree.map(jnp.copy, tx.init(params))
    got = donating(*given)
    assert_same(got, expected)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(given))


@every_rule
def test_no_two_leaves_share_a_buffer(make):
    """Nor does one with a hyperparameter: a donated buffer is gone."""
    learning_rate = jnp.asarray(0.25)
    params = {name: jnp.zeros(()) for name in "abc"}
    params |= {
        "v": jnp.zeros((2, 2)),
        "w": jnp.zeros((2, 2)),
        "long": jnp.zeros((300, 1)),
    }
    tx = make(learning_rate)
    donating = jax.jit(lambda g, s: tx.update(g, s, value=0.0)[1], donate_argnums=1)
    state = donating(params, tx.init(params))
    assert rprop_state(state).step_sizes["a"] == learning_rate


@pytest.mark.parametrize("variant", ["rprop-", "irprop-"])
def test_differentiable_in_the_initial_step_size(variant):
    """While signs hold still, x after n steps is x0 - D * (1 + 1.2 + ...)."""

    def end(learning_rate):
        tx = rprop(learning_rate, variant=variant)
        x = jnp.asarray(10.0)
        state = tx.init(x)
        for _ in range(4):
            updates, state = tx.update(2 * x, state)
            x = optax.apply_updates(x, updates)
        return x

    slope = jax.grad(end)(0.1)
    np.testing.assert_allclose(slope, -(1 + 1.2 + 1.2**2 + 1.2**3), rtol=1e-6)
    eager = (end(0.1001) - end(0.0999)) / 0.0002
    np.testing.assert_allclose(slope, eager, rtol=1e-2)


@every_variant
def test_one_step_under_grad_with_an_undo(variant):
    """Through a sign change and a rejection too, and without a NaN."""

    def end(learning_rate):
        gradients = jnp.asarray([1.0, 1.0, -1.0, -1.0, -1.0])
        values = jnp.asarray([1.0, 0.5, 2.0, jnp.nan, 1.0])
        tx = rprop(learning_rate, variant=variant)
        state = tx.init(0.0)

        def step(state, inputs):
            updates, state = tx.update(inputs[0], state, value=inputs[1])
            return state, updates

        return jax.lax.scan(step, state, (gradients, values))[1].sum()

    # The sum of the moves is proportional to the first step size: clamps are far away.
    np.testing.assert_allclose(jax.grad(end)(0.1), end(0.1) / 0.1, rtol=1e-5)


def test_named_chain_hands_value_on():
    params, _, loss = quadratic()
    tx = optax.named_chain(("clip", optax.clip(1.0)), ("rprop", rprop(variant="irprop+")))
    path, _ = descend(tx, loss, params, 30)
    plain, _ = descend(rprop(variant="irprop+"), loss, params, 30)
    np.testing.assert_array_equal(path, plain)
