"""Flax NNX: a module with BatchNorm, split into what is fitted and the rest."""

import jax.numpy as jnp
from flax import nnx

from optax_rprop import fit

x = jnp.linspace(-1.0, 1.0, 64)[:, None]
y = jnp.sin(3.0 * x)
rngs = nnx.Rngs(0)
model = nnx.Sequential(
    nnx.Linear(1, 16, rngs=rngs),
    nnx.BatchNorm(16, momentum=0.0, rngs=rngs),
    nnx.tanh,
    nnx.Dropout(0.05, rngs=rngs),
    nnx.Linear(16, 1, rngs=rngs),
)
model.set_attributes(nnx.Dropout, deterministic=True)
graphdef, params, rest = nnx.split(model, nnx.Param, ...)


def loss_fn(params, rest, x, y):
    model = nnx.merge(graphdef, params, rest, copy=True)
    return jnp.mean((model(x) - y) ** 2), nnx.state(model, nnx.BatchStat)


result = fit(loss_fn, params, rest, x, y, target_loss=1e-3, has_aux=True)
nnx.update(model, result.params, result.aux)
model.eval()

# Not on the page:
assert result.status.name == "TARGET_REACHED"
assert jnp.mean((model(x) - y) ** 2) < 2e-3
