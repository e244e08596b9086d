"""Flax Linen: `init` returns the tree that is fitted."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from optax_rprop import fit

x = jnp.linspace(-1.0, 1.0, 64)[:, None]
y = jnp.sin(3.0 * x)
model = nn.Sequential([nn.Dense(16), nn.tanh, nn.Dense(1)])


def loss_fn(params, x, y):
    return jnp.mean((model.apply(params, x) - y) ** 2)


start = model.init(jax.random.key(3), x)
result = fit(loss_fn, start, x, y, target_loss=1e-3)
predicted = model.apply(result.params, x)

# Not on the page:
assert result.status.name == "TARGET_REACHED"
assert jnp.abs(predicted - y).max() < 0.2
