"""Rprop in Flax's two training states; both ways to hand the loss on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import every_rule, every_variant, rprop_state

from optax_rprop import rprop

pytest.importorskip("flax", reason="flax is not installed")
from flax import linen, nnx
from flax.training import train_state

# Flax promotes where x64 is enabled.
pytestmark = pytest.mark.usefixtures("relaxed")
INPUTS = jnp.linspace(-1.0, 1.0, 16, dtype="float32")[:, None]
TARGETS = 2 * INPUTS + 3


class TrainStateWithValue(train_state.TrainState):
    """A TrainState whose ``apply_gradients`` hands the loss to the optimizer."""

    def apply_gradients(self, *, grads, value, **kwargs):
        updates, opt_state = self.tx.update(
            grads, self.opt_state, self.params, value=value
        )
        params = jax.tree.map(jnp.add, self.params, updates)
        return self.replace(
            step=self.step + 1, params=params, opt_state=opt_state, **kwargs
        )


def linen_state(kind, variant):
    model = linen.Dense(1)
    params = model.init(jax.random.key(0), INPUTS)["params"]
    return kind.create(apply_fn=model.apply, params=params, tx=rprop(variant=variant))


def linen_loss(state):
    def loss(params):
        return jnp.mean((state.apply_fn({"params": params}, INPUTS) - TARGETS) ** 2)

    return jax.value_and_grad(loss)(state.params)


@every_variant
def test_linen_train_state_with_value(variant):
    @jax.jit
    def step(state):
        value, gradients = linen_loss(state)
        return state.apply_gradients(grads=gradients, value=value), value

    state = linen_state(TrainStateWithValue, variant)
    losses = []
    for _ in range(30):
        state, value = step(state)
        losses.append(value)
    assert losses[-1] < 0.2 * losses[0]
    assert rprop_state(state.opt_state).prev_value == losses[-1]


def test_linen_train_state_as_it_comes():
    """Without ``value``: fine for three rules, and a worded error for irprop+."""
    state = linen_state(train_state.TrainState, "irprop-")
    value, gradients = linen_loss(state)
    assert linen_loss(state.apply_gradients(grads=gradients))[0] < value
    state = linen_state(train_state.TrainState, "irprop+")
    with pytest.raises(TypeError, match="value must be the loss when variant is 'irprop"):
        state.apply_gradients(grads=gradients)


@every_rule
def test_nnx_optimizer_with_value(make):
    model = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, make(), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        def loss(model):
            return jnp.mean((model(INPUTS) - TARGETS) ** 2)

        value, gradients = nnx.value_and_grad(loss)(model)
        optimizer.update(model, gradients, value=value)
        return value

    losses = np.asarray([step(model, optimizer) for _ in range(30)])
    assert losses[-1] < 0.2 * losses[0]
    state = optimizer.opt_state
    state = state.inner_state if hasattr(state, "inner_state") else state
    assert jax.tree.leaves(state[0].prev_value) == [losses[-1]]
