"""``in_eigenbasis``: against its oracle, its undo, its bases and the paths it takes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from eigenbasis_oracle import EigenbasisOracle
from helpers import (
    assert_same,
    equations,
    every_plain_rule,
    every_rule,
    every_variant,
    random_gradients,
    random_losses,
    rprop_state,
    trajectory,
)

from optax_rprop import VARIANTS, FitStatus, fit, in_eigenbasis, rprop

# One for each, so that tests share what was compiled.
OPTIMIZERS = {variant: in_eigenbasis(rprop(variant=variant)) for variant in VARIANTS}
TURNED = in_eigenbasis(rprop())
EAGER = in_eigenbasis(rprop(), refresh_every=1)
SHAPES = {
    "cube": (2, 1, 3),
    "long": (60,),  # with the smaller ones it would be more than 64
    "matrix": (3, 2),
    "pair": (2,),
    "scalar": (),
    "triple": (3,),
}


@functools.partial(jax.jit, static_argnums=0)
def run(tx, gradients, losses=None):
    """Updates and whole states of every step."""

    def step(state, inputs):
        gradient, loss = inputs
        extra = {} if loss is None else {"value": loss}
        updates, state = tx.update(gradient, state, **extra)
        return state, (updates, state)

    state = tx.init(jax.tree.map(lambda gradient: gradient[0], gradients))
    return jax.lax.scan(step, state, (gradients, losses))[1]


def parts_of_bases(state, name):
    return [
        leaf
        for path, leaf in jax.tree.leaves_with_path(state.bases)
        if jax.tree_util.keystr(path).endswith(f".{name}")
    ]


def directions(state):
    return parts_of_bases(state, "directions")


def distance(these, those):
    """The largest entry by which two bases differ; of stacks of them, one by one."""
    return np.abs(np.asarray(these) - np.asarray(those)).max((-2, -1))


def off_orthogonal(matrices):
    """The largest error of a product of two directions; NaN where they are NaN."""
    product = jnp.einsum(
        "...ki,...kj->...ij", matrices, matrices, precision=jax.lax.Precision.HIGHEST
    )
    identity = jnp.eye(matrices.shape[-1], dtype=matrices.dtype)
    return jnp.max(jnp.abs(product - jnp.broadcast_to(identity, product.shape)))


def waves(seed, num_steps, shape):
    """Smooth gradients of many sizes; float64."""
    rng = np.random.default_rng(seed)
    size, phase = np.exp(rng.normal(size=shape)), rng.uniform(0, 2 * np.pi, shape)
    time = np.arange(num_steps).reshape(-1, *[1] * len(shape))
    return size * np.sin(rng.uniform(0.2, 1.2, shape) * time + phase)


def orthogonal(rng, size):
    return np.linalg.qr(rng.normal(size=(size, size))).Q


def rotation(degrees):
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


# The oracle


@pytest.mark.parametrize(
    ("variant", "settings", "groups"),
    [
        *((variant, {}, [[3, 4, 5], [0], [1], [2]]) for variant in VARIANTS),
        (
            "irprop+",
            {"refresh_every": 7, "decay": 0.8, "max_size": 4},
            [[3, 4], [0], [1], [2], [5]],
        ),
    ],
)
def test_every_step_is_the_oracles(variant, settings, groups, x64):
    num_steps = 60
    gradients = {
        name: waves(seed, num_steps, shape)
        for seed, (name, shape) in enumerate(SHAPES.items())
    }
    gradients["pair"][14, 1] = np.nan  # all gradients of one block are left out
    gradients["matrix"][20:22, 0, 0] = np.nan
    losses = np.random.default_rng(1).normal(size=num_steps)
    losses[[2, 9, 30, 31]] = np.nan
    tx = in_eigenbasis(rprop(variant=variant), **settings)
    updates, states = run(tx, gradients, losses)
    oracle = EigenbasisOracle(variant, list(SHAPES.values()), **settings)
    assert oracle.groups == groups
    num_undone = 0
    for i, loss in enumerate(losses):
        expected = oracle.step([gradients[name][i] for name in SHAPES], loss)
        num_undone += np.isfinite(loss) and sum(map(np.sum, oracle.undone))
        for name, update in zip(SHAPES, expected, strict=True):
            np.testing.assert_allclose(updates[name][i], update, rtol=0, atol=1e-8)
    assert (num_undone > 100) == (variant in ("rprop+", "irprop+"))
    np.testing.assert_array_equal(states.num_updates[-1], num_steps - 4)
    matrices = directions(states)
    assert len(matrices) == sum(map(len, oracle.bases))
    # If the axes stayed as they are, there would be nothing to compare.
    assert all(distance(q, np.eye(q.shape[-1])).max() > 0.1 for q in matrices)


# The inner rule, where the axes stay


def one_change_at_a_time(seed, num_steps, shape, losses):
    """Gradients whose changes have one entry, so that all moments are diagonal.

    They stay the same in the first ten steps. What is not looked at may be anything: the
    gradient at a loss that is not finite, and all of those with a NaN or an infinity.
    """
    rng = np.random.default_rng(seed)
    gradient = random_gradients(seed, shape, np.float32)
    gradient = np.where(np.isfinite(gradient), gradient, 1)
    found = []
    for i in range(num_steps):
        is_special = i % 5 == 3
        if i > 10 and not is_special and np.isfinite(losses[i]):
            at = tuple(rng.integers(n) for n in shape)
            gradient[at] = rng.choice([-0.5, -2, 0, 1]) * gradient[at]
        shown = gradient.copy()
        if is_special:
            shown[tuple(rng.integers(n) for n in shape)] = rng.choice([np.nan, np.inf])
        found.append(shown if np.isfinite(losses[i]) else rng.normal(size=shape))
    return np.array(found, np.float32)


@every_rule
def test_along_the_axes_it_is_the_inner_rule_bit_for_bit(make):
    losses = random_losses(5, 60, np.float32)
    gradients = {
        "matrix": one_change_at_a_time(6, 60, (3, 2), losses),
        "vector": one_change_at_a_time(7, 60, (3,), losses),
    }
    updates, states = run(in_eigenbasis(make()), gradients, losses)
    for found in directions(states):
        identity = np.broadcast_to(np.eye(found.shape[-1]), found.shape)
        np.testing.assert_array_equal(found, identity)
    for moments in parts_of_bases(states, "moment"):
        diagonal = np.einsum("nii->ni", moments)
        assert diagonal[-1].all()
        np.testing.assert_array_equal(np.abs(moments).sum((1, 2)), diagonal.sum(1))
    expected, inner_states = trajectory(make(), gradients, losses)
    assert_same(updates, expected)
    assert_same(jax.jit(jax.vmap(rprop_state))(states), inner_states)


@every_rule
def test_without_bases_it_is_the_inner_rule_bit_for_bit(make):
    losses = random_losses(5, 60, np.float32)
    gradients = {
        name: random_gradients(seed, (60, *shape), np.float32)
        for seed, (name, shape) in enumerate({"m": (3, 2), "s": (), "v": (3,)}.items())
    }
    updates, states = run(in_eigenbasis(make(), max_size=1), gradients, losses)
    assert not directions(states)
    expected, inner_states = trajectory(make(), gradients, losses)
    assert_same(updates, expected)
    assert_same(jax.jit(jax.vmap(rprop_state))(states), inner_states)


# What is undone


def opposed_runs(variant, losses, opposed_from=5):
    """200 runs of random gradients: updates, directions, signs and step sizes per step.

    Of five steps, the fourth refreshes the bases, as long as all losses are finite.
    """
    rng = np.random.default_rng(8)
    gradients = rng.normal(size=(200, 1, 3)) + 0.4 * rng.normal(size=(200, 5, 3))
    gradients[:, opposed_from:] *= -1
    runs = jax.vmap(functools.partial(run, OPTIMIZERS[variant]), in_axes=(0, None))
    updates, states = runs(jnp.asarray(gradients, "float32"), jnp.asarray(losses))
    (bases,), inner = directions(states), rprop_state(states.inner_state)
    arrays = updates, bases, inner.prev_signs, inner.step_sizes
    return [np.asarray(array, np.float64) for array in arrays]


at_and_after_a_refresh = pytest.mark.parametrize("at", [3, 4])


@at_and_after_a_refresh
@pytest.mark.parametrize("variant", ["rprop+", "irprop+"])
def test_an_undo_takes_back_the_step_along_the_directions_it_had(variant, at):
    losses = np.float32([4, 3, 2, 1, 0])
    losses[at:] += 10
    updates, bases, signs, sizes = opposed_runs(variant, losses, opposed_from=at)
    assert np.all(distance(bases[:, 3], bases[:, 2]) > 0.01)
    np.testing.assert_array_equal(bases[:, 4], bases[:, 3])
    old, new = bases[:, at - 1], bases[:, at]
    undone = (signs[:, at - 1] != 0) & (signs[:, at] == 0)
    back = np.where(undone, signs[:, at - 1] * sizes[:, at - 1], 0)
    ahead = -signs[:, at] * sizes[:, at]
    expected = np.einsum("nij,nj->ni", old, back) + np.einsum("nij,nj->ni", new, ahead)
    np.testing.assert_allclose(updates[:, at], expected, rtol=0, atol=1e-6)
    # Where all coordinates are undone, the parameters are where they were.
    whole = undone.all(1) & (distance(bases[:, 3], bases[:, 2]) > 0.1)
    assert 10 < whole.sum() < undone.any(1).sum()
    np.testing.assert_allclose(updates[whole, at], -updates[whole, at - 1], atol=1e-6)


@at_and_after_a_refresh
@every_variant
def test_a_rejected_step_takes_back_the_last_one(variant, at):
    losses = np.float32([4, 3, 2, 1, 0])
    losses[at] = np.nan
    updates, bases, signs, _ = opposed_runs(variant, losses)
    np.testing.assert_array_equal(bases[:, at], bases[:, at - 1])
    # A refresh that was due is in the next step.
    assert np.all(distance(bases[:, 4], bases[:, 2]) > 0.01)
    whole = (signs[:, at - 1] != 0).all(1)  # all coordinates went ahead
    assert whole.sum() > 10
    np.testing.assert_array_equal(signs[:, at], 0)
    np.testing.assert_allclose(updates[whole, at], -updates[whole, at - 1], atol=1e-6)


# Its bases


def rank_one(rng, num_steps):
    wave = np.sin(np.arange(num_steps))[:, None, None]
    return wave * np.outer(rng.normal(size=3), rng.normal(size=3))


def special(rng, value, num_steps, share=0.2):
    gradients = rng.normal(size=(num_steps, 3, 3))
    return np.where(rng.random(gradients.shape) < share, value, gradients)


def test_no_gradients_make_a_basis_that_is_not_orthogonal():
    rng, num_steps = np.random.default_rng(9), 40
    kinds = {
        "zero": np.zeros((num_steps, 3, 3)),
        "constant": np.ones((num_steps, 3, 3)),
        "rank 1": rank_one(rng, num_steps),
        "tiny": 1e-37 * rng.normal(size=(num_steps, 3, 3)),
        "subnormal": 1e-40 * rng.normal(size=(num_steps, 3, 3)),
        "huge": 1e37 * rng.normal(size=(num_steps, 3, 3)),
        "largest": 3e38 * rng.choice([-1, 1], size=(num_steps, 3, 3)),
        "all sizes": 10.0 ** rng.uniform(-36, 36, size=(num_steps, 3, 3)),
        "NaN": special(rng, np.nan, num_steps),
        "infinite": special(rng, np.inf, num_steps),
        "-infinite": special(rng, -np.inf, num_steps),
        "never finite": special(rng, np.nan, num_steps, share=1),
        "one coordinate": np.eye(3) * np.eye(3)[0] * rng.normal(size=(num_steps, 1, 1)),
    }
    matrices = jnp.asarray(np.stack(list(kinds.values())), "float32")
    gradients = {
        "empty": jnp.zeros((len(kinds), num_steps, 0)),
        "empty matrix": jnp.zeros((len(kinds), num_steps, 3, 0)),
        "matrix": matrices,
        "vector": matrices[..., 0],
    }
    updates, states = jax.vmap(functools.partial(run, EAGER))(gradients)
    assert len(directions(states)) == 3
    turned = set()
    for found in directions(states):
        for kind, bases in zip(kinds, found, strict=True):
            # Nine times the rounding of a product of two columns.
            assert off_orthogonal(bases) < 27 * np.finfo(np.float32).eps, kind
            turned |= {kind} if distance(bases[-1], np.eye(3)) > 0.1 else set()
    assert {"rank 1", "tiny", "huge", "all sizes", "NaN", "infinite"} <= turned
    assert not {"zero", "constant", "never finite", "one coordinate"} & turned
    for update in jax.tree.leaves(updates):
        assert np.isfinite(update).all()


def test_a_refresh_that_fails_leaves_the_old_directions():
    gradients = {"m": waves(10, 6, (3, 1)), "v": waves(11, 6, (2,))}
    gradients = jax.tree.map(lambda g: jnp.asarray(g, "float32"), gradients)
    _, states = run(EAGER, gradients)
    state = jax.tree.map(lambda leaf: leaf[-1], states)
    joint, (basis, _), _ = state.bases
    assert distance(basis.directions, np.eye(3)) > 0.1
    update = jax.jit(EAGER.update)
    for bad in (np.nan, np.inf):
        broken = basis._replace(moment=basis.moment.at[1, 1].set(bad))
        _, after = update(
            jax.tree.map(lambda gradient: gradient[1], gradients),
            state._replace(bases=(joint, (broken, None), ())),
        )
        np.testing.assert_array_equal(after.bases[1][0].directions, basis.directions)
        assert distance(after.bases[0].directions, joint.directions) > 1e-4


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "complex64"])
def test_the_directions_are_orthogonal_after_10_000_refreshes(dtype, x64):
    """Each refresh makes them anew, so that no error adds up."""
    params = {"m": jnp.zeros((3, 2), dtype), "v": jnp.zeros(3, dtype)}

    def step(carry, key):
        state, worst, travelled = carry
        keys = jax.tree.unflatten(jax.tree.structure(params), jax.random.split(key))
        grads = jax.tree.map(
            lambda key, p: jax.random.normal(key, p.shape, p.dtype), keys, params
        )
        before = directions(state)
        _, state = EAGER.update(grads, state)
        after = directions(state)
        off = [off_orthogonal(q) for q in after]
        moved = [jnp.max(jnp.abs(q - p)) for p, q in zip(before, after, strict=True)]
        return (state, jnp.maximum(worst, jnp.stack(off)), travelled + jnp.stack(moved))

    @jax.jit
    def all_of_them(keys):
        first = EAGER.init(params)
        nothing = jnp.zeros(len(directions(first)), directions(first)[0].dtype)
        carry = first, nothing, nothing
        return jax.lax.scan(lambda c, k: (step(c, k), None), carry, keys)[0]

    keys = jax.random.split(jax.random.key(12), 10_001)
    state, worst, travelled = all_of_them(keys)
    assert all(travelled > 50)
    expected = "float64" if dtype == "float64" else "float32"
    for found, off in zip(directions(state), worst, strict=True):
        assert found.dtype == expected
        # A Householder step has an error of a few roundings per entry of a column, and
        # there is one step per column.
        size = len(found)
        assert off < 4 * size**2 * np.finfo(expected).eps
        assert off_orthogonal(found) <= off


def test_under_vmap_bases_are_refreshed_only_if_a_lane_is_due():
    params = {"m": jnp.zeros((2, 3, 2)), "v": jnp.zeros((2, 4))}
    states = jax.vmap(TURNED.init)(params)
    jaxpr = jax.make_jaxpr(jax.vmap(TURNED.update))(params, states).jaxpr

    def num_factorisations(jaxpr):
        return sum(e.primitive.name == "qr" for e in equations(jaxpr))

    conditionals = [e for e in equations(jaxpr) if e.primitive.name == "cond"]
    assert [e.invars[0].aval.shape for e in conditionals] == [()] * len(conditionals)
    branches = [branch.jaxpr for e in conditionals for branch in e.params["branches"]]
    found = [n for n in map(num_factorisations, branches) if n]
    assert found == [3, 3]  # if any lane is due, and in there if this one is
    assert num_factorisations(jaxpr) == 3
    # Lane by lane: batched ones can wait for each other's threads for ever on a CPU.
    factorised = [e for e in equations(jaxpr) if e.primitive.name == "qr"]
    assert [e.invars[0].aval.ndim for e in factorised] == [2, 2, 2]


# The paths it takes


def bowl(params, axes, curvatures):
    """Least at 0, with its curvatures along the columns of ``axes``."""
    leaves = jax.tree.leaves(params)
    x = leaves[0] if len(leaves) == 1 else jnp.stack(leaves)
    return jnp.sum(curvatures * (x @ axes) ** 2) / 2


def steps_to_the_ground(start, axes, condition, optimizer=TURNED, scalars=False):
    start, axes = np.asarray(start, "float32"), jnp.asarray(axes, "float32")
    params = {f"{i:02}": jnp.asarray(x) for i, x in enumerate(start)}
    result = fit(
        bowl,
        params if scalars else jnp.asarray(start),
        axes,
        jnp.asarray(np.geomspace(1, condition, len(start)), "float32"),
        optimizer=optimizer,
        target_loss=1e-6,
        history=False,
    )
    assert result.status is FitStatus.TARGET_REACHED
    return int(result.num_steps)


@pytest.mark.parametrize("scalars", [False, True])
@pytest.mark.parametrize(("condition", "degrees"), [(1e3, 30), (1e4, 15), (1e6, 30)])
def test_narrow_valleys_across_the_axes_take_few_steps(condition, degrees, scalars):
    for start in [(3, 1), (-1, 2), (0.3, 0.7), (1, 0), (0, 1)]:
        axes = rotation(degrees)
        steps = steps_to_the_ground(start, axes, condition, scalars=scalars)
        assert steps <= 60, start


@pytest.mark.parametrize("scalars", [False, True])
def test_narrow_valleys_of_20_dimensions_take_few_steps(scalars):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        axes, start = orthogonal(rng, 20), rng.normal(size=20)
        assert steps_to_the_ground(start, axes, 1e4, scalars=scalars) <= 110, seed


@every_plain_rule
def test_every_rule_gets_through_a_narrow_valley(make):
    steps = steps_to_the_ground((3, 1), rotation(15), 1e4, in_eigenbasis(make()))
    assert steps <= 80


@pytest.mark.parametrize(("size", "condition"), [(2, 1e3), (20, 1e4)])
def test_a_turned_problem_takes_about_as_many_steps(size, condition):
    rng = np.random.default_rng(13)
    ratios = []
    for _ in range(20):
        axes, turn = orthogonal(rng, size), orthogonal(rng, size)
        start = rng.normal(size=size)
        steps = steps_to_the_ground(start, axes, condition)
        turned = steps_to_the_ground(turn.T @ start, turn.T @ axes, condition)
        ratios.append(turned / steps)
    assert 0.9 < np.median(ratios) < 1.1
    assert max(np.abs(np.log2(ratios))) < 1


@every_variant
def test_gradients_times_a_power_of_two_change_no_bit(variant):
    losses = np.where(np.arange(40) % 9 == 4, np.nan, np.sin(np.arange(40)))
    losses = jnp.asarray(losses, "float32")
    gradients = {
        "m": jnp.asarray(waves(14, 40, (3, 2)), "float32"),
        "v": jnp.asarray(waves(15, 40, (3,)), "float32"),
    }
    tx = OPTIMIZERS[variant]
    updates, states = run(tx, gradients, losses)
    for exponent in (-60, -1, 3, 90):
        scaled = jax.tree.map(lambda g, n=exponent: g * np.float32(2.0**n), gradients)
        of_scaled, scaled_states = run(tx, scaled, losses)
        assert_same(of_scaled, updates)
        assert_same(directions(scaled_states), directions(states))


# Fits


def valley(params, x, y):
    return jnp.mean((x @ params["w"] + params["b"] - y) ** 2)


rng = np.random.default_rng(16)
X = jnp.asarray(rng.normal(size=(30, 4)) @ np.diag([1, 1, 5, 20]) @ orthogonal(rng, 4))
X = X.astype("float32")
Y = X @ jnp.asarray([1.0, -2.0, 0.5, 3.0], "float32") + 1
START = {"b": jnp.zeros((), "float32"), "w": jnp.zeros(4, "float32")}


def kinked(params):
    """The first parameter has no gradient on one side of a line across the axes."""
    return jax.nn.relu(params[0] + params[1] / 2) ** 2 + (params[1] - 3) ** 2 / 8


def test_the_history_has_step_sizes_and_flips_along_the_directions():
    num_steps, start = 16, jnp.asarray([0.5, 0.0], "float32")
    result = fit(kinked, start, optimizer=TURNED, max_steps=num_steps)
    update = jax.jit(TURNED.update)
    params, state = start, TURNED.init(start)
    flips, means, largest, flips_without_gradient = [], [], [], 0
    for _ in range(num_steps):
        before = np.asarray(rprop_state(state).prev_signs)
        loss, grads = jax.value_and_grad(kinked)(params)
        updates, state = update(grads, state, params, value=loss)
        params = optax.apply_updates(params, updates)
        seen = np.asarray(state.bases[0].directions).T @ np.asarray(grads)
        flips.append(np.mean(before * np.sign(seen) < 0))
        flips_without_gradient += np.any((before * seen < 0) & (np.asarray(grads) == 0))
        sizes = np.asarray(rprop_state(state).step_sizes)
        means.append(np.sqrt(sizes[0] * sizes[1]))
        largest.append(sizes.max())
    assert flips_without_gradient  # those that only the turned gradients tell
    np.testing.assert_array_equal(result.history.flip_fraction, flips)
    np.testing.assert_allclose(result.history.step_size_mean, means, rtol=1e-5)
    np.testing.assert_array_equal(result.history.step_size_max, np.float32(largest))


def test_step_tol_ends_a_fit_that_a_dead_parameter_does_not_hinder():
    def loss(params, x, y):
        return valley(params, x, y) + 0 * params["dead"] + 0 * params["unused"].sum()

    start = START | {"dead": START["b"], "unused": jnp.zeros((3, 2), "float32")}
    result = fit(loss, start, X, Y, optimizer=TURNED, step_tol=1e-4)
    assert result.status is FitStatus.STEP_CONVERGED
    assert result.num_steps < 200
    np.testing.assert_allclose(result.params["w"], [1, -2, 0.5, 3], atol=1e-3)
    np.testing.assert_allclose(result.params["b"], 1, atol=1e-3)
    np.testing.assert_array_equal(result.params["dead"], 0)
    np.testing.assert_array_equal(result.params["unused"], 0)
    # The dead ones have the step sizes of the start; all others are at most step_tol.
    assert result.history.step_size_max[-1] == np.float32(0.1)
    state = rprop_state(result.last.opt_state)
    active = np.append(state.step_sizes["b"], state.step_sizes["w"])
    assert active.max() <= 1e-4
    # One step less, and one of them was not.
    fewer = fit(
        loss, start, X, Y, optimizer=TURNED, step_tol=1e-4, max_steps=result.num_steps - 1
    )
    state = rprop_state(fewer.last.opt_state)
    assert fewer.status is FitStatus.MAX_STEPS
    assert max(state.step_sizes["b"], state.step_sizes["w"].max()) > 1e-4


@pytest.mark.parametrize("first", [3, 14])
def test_a_fit_in_two_parts_is_the_fit_in_one_bit_for_bit(first):
    whole = fit(valley, START, X, Y, optimizer=TURNED, max_steps=40)
    part = fit(valley, START, X, Y, optimizer=TURNED, max_steps=first)
    rest = fit(
        valley, START, X, Y, optimizer=TURNED, max_steps=40 - first, resume=part.last
    )
    assert_same(rest.last, whole.last)
    assert_same(rest.params, whole.params)
    joined = jax.tree.map(lambda *a: np.concatenate(a), part.history, rest.history)
    assert_same(joined, whole.history)


def test_fits_under_vmap_are_those_one_by_one(x64):
    """In float64: a basis of few gradients is that of their rounding too."""
    starts = jnp.asarray(np.random.default_rng(17).normal(size=(5, 4)))
    x, y = X.astype("float64"), Y.astype("float64")

    def fitted(w):
        start = {"b": jnp.zeros(()), "w": w}
        result = fit(valley, start, x, y, optimizer=TURNED, target_loss=1e-6)
        return result.history.loss, result.num_steps, result.params

    losses, num_steps, params = jax.vmap(fitted)(starts)
    assert len(set(num_steps.tolist())) > 1
    for i, start in enumerate(starts):
        loss, steps, found = fitted(start)
        np.testing.assert_allclose(losses[i, :30], loss[:30], rtol=1e-5)
        assert num_steps[i] == steps
        np.testing.assert_allclose(params["w"][i], found["w"], atol=1e-5)


def test_a_derivative_in_the_learning_rate_holds_the_bases_fixed():
    """While no step size meets a bound, all steps are proportional to the first."""
    matrix = jnp.asarray(waves(18, 4, (4,)), "float32")
    start = jnp.asarray([1.0, -1.0, 2.0, 0.5], "float32")

    def loss(params):
        return jnp.sum(jnp.cosh(matrix @ params))

    def end(learning_rate):
        tx = in_eigenbasis(rprop(learning_rate))

        def step(carry, _):
            params, state = carry
            value, grads = jax.value_and_grad(loss)(params)
            updates, state = tx.update(grads, state, params, value=value)
            return (optax.apply_updates(params, updates), state), None

        (params, state), _ = jax.lax.scan(step, (start, tx.init(start)), length=15)
        return params, state

    rate = jnp.asarray(0.05, "float32")
    params, state = jax.jit(end)(rate)
    (basis,) = directions(state)
    assert distance(basis, np.eye(4)) > 0.1
    for jacobian in (jax.jacfwd, jax.jacrev):
        derivative = jax.jit(jacobian(lambda rate: end(rate)[0]))(rate)
        np.testing.assert_allclose(derivative, (params - start) / rate, rtol=1e-3)
