"""Haiku: a transformed function without a random key."""

import haiku as hk
import jax
import jax.numpy as jnp

from optax_rprop import fit

x = jnp.linspace(-1.0, 1.0, 64)[:, None]
y = jnp.sin(3.0 * x)
network = hk.without_apply_rng(
    hk.transform(lambda x: hk.nets.MLP([16, 1], activation=jnp.tanh)(x))
)


def loss_fn(params, x, y):
    return jnp.mean((network.apply(params, x) - y) ** 2)


start = network.init(jax.random.key(3), x)
result = fit(loss_fn, start, x, y, target_loss=1e-3)
predicted = network.apply(result.params, x)

# Not on the page:
assert result.status.name == "TARGET_REACHED"
assert jnp.abs(predicted - y).max() < 0.2
