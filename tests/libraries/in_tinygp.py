"""tinygp: the hyperparameters of a Gaussian process, as logarithms."""

import jax
import jax.numpy as jnp
from tinygp import GaussianProcess, kernels

from optax_rprop import fit, rprop

jax.config.update("jax_enable_x64", True)
x = jnp.linspace(0.0, 10.0, 60)
y = jnp.sin(x) + 0.1 * jax.random.normal(jax.random.key(0), x.shape)


def loss_fn(log_params, x, y):
    p = jax.tree.map(jnp.exp, log_params)
    kernel = p["height"] ** 2 * kernels.ExpSquared(p["scale"])
    return -GaussianProcess(kernel, x, diag=p["noise"] ** 2).log_probability(y)


start = dict.fromkeys(["height", "scale", "noise"], jnp.zeros(()))
result = fit(loss_fn, start, x, y, step_tol=1e-5)

# Not on the page:
assert result.status.name == "STEP_CONVERGED"
assert result.gradient_max < 0.01
assert 0.08 < jnp.exp(result.params["noise"]) < 0.12
# A first step of 4 makes each parameter 55 times as large or as small.
boldly = fit(loss_fn, start, x, y, optimizer=rprop(4.0), step_tol=1e-5)
assert jnp.allclose(boldly.loss, result.loss)
