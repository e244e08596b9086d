"""What several test files share: cases, problems, runs and comparisons."""

import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

from optax_rprop import (
    VARIANTS,
    Rprop8bitState,
    RpropState,
    in_eigenbasis,
    rprop,
    rprop_8bit,
)

every_variant = pytest.mark.parametrize("variant", VARIANTS)


def turned(factory, *args, **settings):
    return in_eigenbasis(factory(*args, **settings))


# What makes a transformation: four rules, twice, and some of them in a turned basis.
PLAIN = {
    f"{name}{variant}": functools.partial(factory, variant=variant)
    for name, factory in (("", rprop), ("8bit-", rprop_8bit))
    for variant in VARIANTS
}
TURNED = {
    f"turned-{name}": functools.partial(turned, PLAIN[name])
    for name in ("irprop-", "irprop+", "8bit-irprop-")
}
# Those whose step sizes are floats.
FLOAT = {name: make for name, make in (PLAIN | TURNED).items() if "8bit" not in name}
# Where a test takes long to compile, one of those in a turned basis has to do.
ONE = {"turned-irprop+": TURNED["turned-irprop+"]}


def name_of(make):
    """The name of one of ``PLAIN``."""
    return next(name for name, other in PLAIN.items() if other is make)


def each_of(rules):
    return pytest.mark.parametrize("make", rules.values(), ids=rules)


every_rule = each_of(PLAIN | TURNED)
every_plain_rule = each_of(PLAIN)
every_turned_rule, one_turned_rule = each_of(TURNED), each_of(ONE)
every_float_rule = each_of(FLOAT)
every_plain_rule_and_a_turned_one = each_of(PLAIN | ONE)

# What a program is lowered for.
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def raises(kind, message):
    """Expect an error of this ``kind`` whose text contains ``message``."""
    return pytest.raises(kind, match=re.escape(message))


def assert_same(this, that):
    """Compare two trees of arrays, bit for bit."""
    jax.tree.map(np.testing.assert_array_equal, this, that)


def mesh_of(axis_type, size=8):
    return jax.make_mesh((size,), ("x",), axis_types=(axis_type,))


def bowl(params):
    """A loss of two parameters, least at 1 and -2."""
    return jnp.sum((params - jnp.asarray([1.0, -2.0], params.dtype)) ** 2)


def regression(params, x, y):
    return jnp.mean((jnp.tanh(x @ params["w"]) @ params["v"] - y) ** 2)


def random_gradients(seed, shape, dtype):
    """Many magnitudes; runs of equal signs, changes, zeros, NaN and infinities."""
    rng = np.random.default_rng(seed)
    signs = np.cumprod(rng.choice([1, -1], size=shape, p=[0.7, 0.3]), axis=0)
    gradients = signs * 10.0 ** rng.uniform(-36, 36, size=shape)
    special = rng.choice(
        [1.0, 0.0, np.nan, np.inf], size=shape, p=[0.9, 0.06, 0.02, 0.02]
    )
    return (gradients * special).astype(dtype)


def random_losses(seed, num_steps, dtype):
    rng = np.random.default_rng(seed)
    losses = rng.normal(size=num_steps).astype(dtype)
    losses[rng.random(num_steps) < 0.1] = np.nan
    losses[rng.random(num_steps) < 0.05] = np.inf
    return losses


def rprop_state(state):
    """The state of Rprop inside that of a chain or a wrapper, decoded if it is 8-bit."""

    def is_rprop(state):
        return isinstance(state, RpropState | Rprop8bitState)

    (found,) = filter(is_rprop, jax.tree.leaves(state, is_leaf=is_rprop))
    return found.decode() if isinstance(found, Rprop8bitState) else found


def trajectory(tx, gradients, values=None):
    """Updates and states of every step: trees of arrays with a leading axis of steps."""
    first = jax.tree.map(lambda gradient: gradient[0], gradients)
    return _trajectory(tx, gradients, values, tx.init(first))


@functools.partial(jax.jit, static_argnums=0)
def _trajectory(tx, gradients, values, state):
    def step(state, inputs):
        gradient, value = inputs
        extra = {} if value is None else {"value": value}
        updates, state = tx.update(gradient, state, **extra)
        return state, (updates, rprop_state(state))

    return jax.lax.scan(step, state, (gradients, values))[1]


def quadratic(dtype="float32"):
    """A badly scaled bowl with its minimum away from 0; its start and its gradient."""
    scale = jnp.asarray([1.0, 30.0, 0.1], dtype)
    target = jnp.asarray([1.0, -2.0, 0.5], dtype)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        target = target * jnp.asarray(1 - 1j, dtype)

    def loss(params):
        distance = params - target
        return jnp.sum(scale.real * (distance * distance.conj()).real)

    return jnp.zeros(3, dtype), target, loss


def descend(tx, loss, params, num_steps, with_value=True):
    """The parameters after each of ``num_steps`` compiled steps, and the last state."""
    tx = optax.with_extra_args_support(tx)

    def step(carry, _):
        params, state = carry
        value, gradient = jax.value_and_grad(loss)(params)
        # JAX's gradient of a complex parameter is the conjugate of the direction up.
        gradient = jax.tree.map(jnp.conj, gradient)
        extra = {"value": value} if with_value else {}
        updates, state = tx.update(gradient, state, params, **extra)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    run = jax.jit(lambda carry: jax.lax.scan(step, carry, length=num_steps))
    (_, state), path = run((params, tx.init(params)))
    return path, state


def oracle_run(oracle, gradients, values):
    """What the oracle says of every step: its updates, step sizes and signs.

    ``values`` is None where no losses are given.
    """
    rows = []
    for i, gradient in enumerate(gradients):
        updates = oracle.step(gradient, None if values is None else values[i])
        rows.append((updates, list(oracle.delta), list(oracle.sign)))
    dtypes = (oracle.dtype, oracle.dtype, np.int8)
    columns = zip(*rows, strict=True)
    return [np.array(c, dtype) for c, dtype in zip(columns, dtypes, strict=True)]


def assert_equal_runs(tx, oracle, gradients, values):
    """Compare every step of ``tx`` with the oracle's, bit for bit; the states of it."""
    expected = oracle_run(oracle, gradients, values)
    given = None if values is None else jnp.asarray(values)
    updates, states = trajectory(tx, jnp.asarray(gradients), given)
    found = (updates, states.step_sizes, states.prev_signs)
    for got, want in zip(found, expected, strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
    return states


def assert_equal_for_all_signs(tx, new_oracle, needs_losses):
    """Compare runs of every sequence of five signs, without losses and with some."""
    symbols = [1.0, -1.0, 0.0, np.nan]
    gradients = np.array(list(itertools.product(symbols, repeat=5)), np.float32).T
    losses = np.array([3, 2, 2, 4, 1], np.float32)
    for values in [losses] if needs_losses else [None, losses]:
        assert_equal_runs(tx, new_oracle(gradients.shape[1]), gradients, values)


def equations(jaxpr):
    """Every equation in it and in what it calls."""
    for equation in jaxpr.eqns:
        yield equation
        for value in jax.tree.leaves(
            equation.params, is_leaf=lambda v: isinstance(v, ClosedJaxpr | Jaxpr)
        ):
            if isinstance(value, ClosedJaxpr | Jaxpr):
                yield from equations(getattr(value, "jaxpr", value))


def entry(prev, step_size):
    """What torch remembers of one parameter."""
    return {"step": 3.0, "prev": np.asarray(prev), "step_size": np.asarray(step_size)}


def torch_group(indices, **entries):
    """A group of parameters with torch's settings."""
    defaults = {"lr": 0.25, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50)}
    return {"params": indices} | defaults | entries


def torch_state(*entries, names=None):
    """As torch writes it; ``None`` for a parameter that was never updated."""
    groups = [torch_group([i]) for i in range(len(entries))]
    for group, name in zip(groups, names or [], strict=names is not None):
        group["param_names"] = [name]
    return {
        "state": {i: e for i, e in enumerate(entries) if e is not None},
        "param_groups": groups,
    }


# What a tree of results may be mapped to.
MAPPED = (
    np.shape,
    lambda x: None,
    lambda x: "text",
    lambda x: [x],
    lambda x: np.full(np.shape(x), 99),
    lambda x: np.asarray(x) + 0.5,
    lambda x: 1j * np.asarray(x),
    np.isfinite,
    lambda x: np.stack([x, x]),
    lambda x: np.array(["text", None]),
    lambda x: np.zeros((2, 0)),
    jax.typeof,
    np.mean,
)
