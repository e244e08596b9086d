"""Equinox: fit the arrays of floating-point numbers and nothing else."""

import equinox as eqx
import jax
import jax.numpy as jnp

from optax_rprop import fit

x = jnp.linspace(-1.0, 1.0, 64)[:, None]
y = jnp.sin(3.0 * x)
model = eqx.nn.MLP(1, 1, 16, depth=1, activation=jnp.tanh, key=jax.random.key(3))
params, static = eqx.partition(model, eqx.is_inexact_array)


def loss_fn(params, x, y):
    model = eqx.combine(params, static)
    return jnp.mean((jax.vmap(model)(x) - y) ** 2)


result = fit(loss_fn, params, x, y, target_loss=1e-3)
model = eqx.combine(result.params, static)

# Not on the page:
assert result.status.name == "TARGET_REACHED"
assert jnp.abs(jax.vmap(model)(x) - y).max() < 0.2
