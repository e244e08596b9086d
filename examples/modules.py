"""Flax Linen, Flax NNX and Equinox
================================

Fit the same curve with a Flax Linen, a Flax NNX and an Equinox network.

`fit` takes a loss of a tree of arrays. In Linen, `init` returns such a tree. Split an NNX
or an Equinox module into its parameters and the rest, and merge the two in the loss.
Needs equinox, flax and matplotlib::

    python examples/modules.py
"""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from flax import nnx

from optax_rprop import fit

HIDDEN, SEED, TARGET = 16, 3, 1e-3

x = jnp.linspace(-1.0, 1.0, 64)[:, None]
y = jnp.sin(3.0 * x)


def mean_squared_error(predicted, y):
    return jnp.mean((predicted - y) ** 2)


# %%
# Flax Linen
# ----------
# The parameters are a tree already.
linen = nn.Sequential([nn.Dense(HIDDEN), nn.tanh, nn.Dense(1)])


def linen_loss(params, x, y):
    return mean_squared_error(linen.apply(params, x), y)


start = linen.init(jax.random.key(SEED), x)
linen_result = fit(linen_loss, start, x, y, target_loss=TARGET)
linen_predicted = linen.apply(linen_result.params, x)

# %%
# Flax NNX
# --------
# Split the module into its graph, its parameters and the rest. Here the rest is empty.
# With Dropout or BatchNorm it has their counters and statistics. These change when the
# layers run, so the loss works on a copy. This loss also returns the prediction. With
# `has_aux`, the result has the prediction of the best parameters.
rngs = nnx.Rngs(SEED)
layers = [nnx.Linear(1, HIDDEN, rngs=rngs), nnx.tanh, nnx.Linear(HIDDEN, 1, rngs=rngs)]
graph, start, rest = nnx.split(nnx.Sequential(*layers), nnx.Param, ...)


def nnx_loss(params, rest, x, y):
    predicted = nnx.merge(graph, params, rest, copy=True)(x)
    return mean_squared_error(predicted, y), predicted


nnx_result = fit(nnx_loss, start, rest, x, y, target_loss=TARGET, has_aux=True)
nnx_predicted = nnx.merge(graph, nnx_result.params, rest)(x)
aux_error = jnp.abs(nnx_result.aux - nnx_predicted).max()
assert aux_error < 1e-5, f"aux should be the prediction, but it is {aux_error} off"

# %%
# Equinox
# -------
# Fit the arrays of floating-point numbers and nothing else.
mlp = eqx.nn.MLP(1, 1, HIDDEN, depth=1, activation=jnp.tanh, key=jax.random.key(SEED))
start, static = eqx.partition(mlp, eqx.is_inexact_array)


def equinox_loss(params, x, y):
    return mean_squared_error(jax.vmap(eqx.combine(params, static))(x), y)


equinox_result = fit(equinox_loss, start, x, y, target_loss=TARGET)
equinox_predicted = jax.vmap(eqx.combine(equinox_result.params, static))(x)

# %%
# The three curves
# ----------------
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.plot(x, y, color="0.75", lw=6, label="sin 3x")
for name, result, predicted in [
    ("Flax Linen", linen_result, linen_predicted),
    ("Flax NNX", nnx_result, nnx_predicted),
    ("Equinox", equinox_result, equinox_predicted),
]:
    print(f"{name:10}  {result.status.name}, {result.num_steps} steps, {result.loss:.1e}")
    assert result.loss <= TARGET, f"{name}: the loss is {result.loss}, above {TARGET}"
    axes.plot(x, predicted, lw=1, label=name)
    error = jnp.abs(predicted - y).max()
    assert error < 0.2, f"{name}: the curve is {error:.3f} off"
axes.set(xlabel="x", ylabel="y")
axes.legend(frameon=False)
plt.show()
print("OK: all three modules follow the curve.")
