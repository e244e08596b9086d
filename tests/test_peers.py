"""What the documentation says of optax.rprop and torch.optim.Rprop, a test a claim.

Each test holds this package to the right answer and its peer to the other one. Where a
release later than the one the claim was made of no longer does it, the test is skipped
and says so: then mend the claim.
"""

import importlib.metadata
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import trajectory
from oracle import Oracle
from packaging.version import Version

from optax_rprop import rprop

CLAIMED_OF = {"optax": (0, 2, 8), "torch": (2, 13, 0)}


def assert_peer(peer, does):
    version = Version(importlib.metadata.version(peer))
    if not does and version.release > CLAIMED_OF[peer]:
        pytest.skip(f"{peer} {version} no longer does this: mend the claim")
    assert does


def oracle(gradients, **settings):
    """What is right for irprop-: the updates, and the last step sizes."""
    run = Oracle("irprop-", gradients.shape[1], gradients.dtype, **settings)
    return np.array([run.step(gradient) for gradient in gradients]), np.array(run.delta)


def run(tx, gradients):
    """The updates of every step, and the last state."""

    def step(state, gradient):
        updates, state = tx.update(gradient, state)
        return state, updates

    state = tx.init(jnp.zeros_like(gradients[0]))
    state, updates = jax.jit(lambda s: jax.lax.scan(step, s, gradients))(state)
    return np.asarray(updates), state


def gradients_of(*rows, dtype="float32"):
    """A row a coordinate, as one writes them; a row a step, as they are taken."""
    return np.array(rows, dtype).T


def test_optax_emits_the_update_of_the_step_before():
    gradients = gradients_of([1, 1, 1, 1, 1], [-1, -1, 0, -1, -1])
    right, _ = oracle(gradients)
    np.testing.assert_array_equal(run(rprop(), jnp.asarray(gradients))[0], right)
    theirs, _ = run(optax.rprop(0.1), jnp.asarray(gradients))
    late = np.concatenate([np.zeros((1, 2)), right[:-1]])
    assert right[0].all()
    assert_peer("optax", np.allclose(theirs, late))


def test_optax_never_takes_the_step_before_a_sign_change():
    gradients = gradients_of([1, 1, 1, -1, 1])
    right, _ = oracle(gradients)
    np.testing.assert_array_equal(run(rprop(), jnp.asarray(gradients))[0], right)
    np.testing.assert_allclose(right[:, 0], [-0.1, -0.12, -0.144, 0, -0.072], rtol=1e-6)
    theirs, _ = run(optax.rprop(0.1), jnp.asarray(gradients))
    assert_peer("optax", np.allclose(theirs[:, 0], [0, -0.1, -0.12, 0, 0]))


def test_a_nan_gradient_poisons_the_parameters_of_optax_for_good():
    gradients = gradients_of([1, np.nan, 1, 1, 1])
    ours, _ = run(rprop(), jnp.asarray(gradients))
    np.testing.assert_array_equal(ours, oracle(gradients)[0])
    np.testing.assert_allclose(ours[:, 0], [-0.1, 0, -0.1, -0.12, -0.144], rtol=1e-6)
    theirs, _ = run(optax.rprop(0.1), jnp.asarray(gradients))
    parameters = np.cumsum(theirs[:, 0])
    assert_peer("optax", np.isnan(parameters[2:]).all())


def test_optax_refuses_complex_parameters(relaxed):
    gradients = jnp.asarray([1 - 1j, 2 + 1j, -1 + 1j], "complex64")
    parts = np.stack([gradients.real, gradients.imag], axis=-1)
    ours, _ = run(rprop(), gradients)
    np.testing.assert_array_equal(np.stack([ours.real, ours.imag], -1), oracle(parts)[0])
    try:
        run(optax.rprop(0.1), gradients)
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = ""
    assert_peer("optax", "complex" in refusal)


def test_optax_accepts_an_eta_minus_that_grows_the_steps():
    with pytest.raises(ValueError, match="rprop: eta_minus must lie strictly between 0"):
        rprop(eta_minus=2.0)
    _, state = run(optax.rprop(0.1, eta_minus=2.0), jnp.asarray([1.0, -1.0]))
    assert_peer("optax", np.allclose(state[0].step_sizes, 0.2))


def test_the_first_five_arguments_are_those_of_optax():
    ours, theirs = (inspect.signature(f).parameters for f in (rprop, optax.rprop))
    first_five = "learning_rate eta_minus eta_plus min_step_size max_step_size".split()
    assert list(ours)[:5] == first_five
    assert list(theirs)[:5] == first_five
    assert all(ours[name].default is not inspect.Parameter.empty for name in ours)
    assert all(ours[name].default == theirs[name].default for name in first_five[1:])
    # By position or by name: every call of theirs is one of ours.
    assert all(ours[name].kind == theirs[name].kind for name in first_five)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="a claim about torch")


def run_torch(torch, gradients, start=None, **settings):
    """The parameters and the step sizes after every step."""
    start = np.zeros_like(gradients[0]) if start is None else start
    parameters = torch.from_numpy(start.copy())
    optimizer = torch.optim.Rprop([parameters], **settings)
    path = []
    for gradient in gradients:
        parameters.grad = torch.from_numpy(gradient)
        optimizer.step()
        sizes = optimizer.state[parameters]["step_size"]
        path.append((parameters.numpy().copy(), sizes.numpy().copy()))
    return map(np.array, zip(*path, strict=True))


@pytest.mark.parametrize(("dtype", "small"), [("float32", 1e-23), ("float16", 1e-4)])
def test_torch_never_grows_a_step_where_gradients_are_small(torch, dtype, small):
    gradients = gradients_of([small] * 10, [1] * 10, dtype=dtype)
    assert gradients.all()
    _, states = trajectory(rprop(), jnp.asarray(gradients))
    _, right = oracle(gradients.astype("float32"))
    np.testing.assert_array_equal(states.step_sizes[-1], right)
    np.testing.assert_allclose(right, 0.1 * 1.2**9, rtol=1e-5)
    _, sizes = run_torch(torch, gradients, lr=0.1)
    assert (sizes[-1, 1] > 0.5).all()
    assert_peer("torch", (sizes[:, 0] == sizes[0, 0]).all())


@pytest.mark.parametrize(("rate", "snapped"), [(100.0, 50.0), (1e-8, 1e-6)])
def test_torch_snaps_a_learning_rate_into_the_bounds(torch, rate, snapped):
    with pytest.raises(ValueError, match="rprop: learning_rate must lie between min_"):
        rprop(learning_rate=rate)
    _, sizes = run_torch(torch, gradients_of([1]), lr=rate)
    assert_peer("torch", np.allclose(sizes, snapped, rtol=1e-6, atol=0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_is_irprop_minus_bit_for_bit_where_products_do_not_underflow(
    torch, dtype, x64
):
    rng = np.random.default_rng(0)
    shape = (50, 3000)
    signs = np.cumprod(rng.choice([1, -1], shape, p=[0.7, 0.3]), axis=0)
    zeros = rng.choice([1, 0], shape, p=[0.95, 0.05])
    gradients = (signs * zeros * 10.0 ** rng.uniform(-15, 15, shape)).astype(dtype)
    start = rng.normal(size=shape[1]).astype(dtype)
    path, sizes = run_torch(
        torch, gradients, start, lr=0.1, etas=(0.7, 1.3), step_sizes=(0.01, 2.0)
    )
    updates, states = trajectory(rprop(0.1, 0.7, 1.3, 0.01, 2.0), jnp.asarray(gradients))
    assert path.dtype == updates.dtype == dtype
    # One rounded addition after the other, as in apply_updates.
    ours = np.cumsum(np.concatenate([start[None], updates]), axis=0, dtype=dtype)[1:]
    np.testing.assert_array_equal(ours, path)
    np.testing.assert_array_equal(states.step_sizes, sizes)
    assert {sizes.min(), sizes.max()} == set(np.array([0.01, 2.0], dtype))
