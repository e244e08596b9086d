"""Other hardware: what can be checked without having it, and what can't."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import PLATFORMS, assert_same, every_rule, every_variant, regression
from jax import export
from oracle import Oracle

from optax_rprop import fit, rprop, rprop_8bit


def shapes():
    params = {"w": (4, 3), "v": (3,)}
    return [
        jax.tree.map(
            lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32),
            tree,
            is_leaf=lambda leaf: isinstance(leaf, tuple),
        )
        for tree in (params, (8, 4), (8,))
    ]


@every_rule
@pytest.mark.parametrize("history", [True, False])
def test_a_fit_lowers_for_every_platform(make, history):
    tx = make()

    def run(params, x, y):
        return fit(
            regression,
            params,
            x,
            y,
            optimizer=tx,
            max_steps=200,
            target_loss=1e-3,
            step_tol=1e-5,
            patience=20,
            history=history,
        )

    exported = export.export(jax.jit(run), platforms=PLATFORMS)(*shapes())
    assert exported.platforms == PLATFORMS
    assert "stablehlo.while" in exported.mlir_module()
    assert "callback" not in exported.mlir_module()


def test_an_exported_update_takes_the_same_step():
    tx = rprop()
    params, *_ = shapes()
    state = jax.eval_shape(tx.init, params)
    exported = export.export(jax.jit(tx.update), platforms=PLATFORMS)(params, state)
    grads = jax.tree.map(lambda p: jnp.full(p.shape, -2.0, p.dtype), params)
    state = tx.init(grads)
    for _ in range(3):
        updates, expected = tx.update(grads, state)
        found_updates, state = exported.call(grads, state)
        assert_same((found_updates, state), (updates, expected))


def gpu():
    try:
        return jax.devices("gpu")[0]
    except RuntimeError:
        return None


needs_gpu = pytest.mark.skipif(gpu() is None, reason="needs a GPU, and there is none")


@needs_gpu
@every_variant
def test_a_gpu_takes_the_steps_of_the_oracle(variant):
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(20, 100)).astype("float32")
    losses = rng.normal(size=20)
    tx, oracle = rprop(variant=variant), Oracle(variant, 100, "float32")
    with jax.default_device(gpu()):
        state = tx.init(jnp.zeros(100))
        for gradient, loss in zip(gradients, losses, strict=True):
            updates, state = jax.jit(tx.update)(gradient, state, value=loss)
            np.testing.assert_array_equal(updates, oracle.step(gradient, loss))


@needs_gpu
@pytest.mark.parametrize("tx", [rprop(), rprop_8bit()], ids=["rprop", "8bit"])
def test_a_gpu_makes_one_kernel_of_an_update(tx):
    params = jax.device_put(jnp.zeros(2**20), gpu())
    compiled = jax.jit(tx.update).lower(params, tx.init(params)).compile()
    assert compiled.as_text().count(" fusion(") == 1
