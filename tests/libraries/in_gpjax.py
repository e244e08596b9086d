"""GPJax: its own fit and this one."""

import equinox as eqx
import gpjax
import jax
import jax.numpy as jnp

from optax_rprop import fit, rprop

jax.config.update("jax_enable_x64", True)
x = jnp.linspace(0.0, 10.0, 60)[:, None]
y = jnp.sin(x) + 0.1 * jax.random.normal(jax.random.key(0), x.shape)
data = gpjax.Dataset(X=x, y=y)
mean = gpjax.mean_functions.Zero()
prior = gpjax.gps.Prior(mean_function=mean, kernel=gpjax.kernels.RBF())
posterior = prior * gpjax.likelihoods.Gaussian()


def objective(posterior, data):
    return -gpjax.objectives.conjugate_mll(posterior, data)


# Inside GPJax: it returns the last parameters and the loss of every step.
fitted, losses = gpjax.fit(
    model=posterior,
    objective=objective,
    train_data=data,
    optim=rprop(),
    num_iters=200,
    verbose=False,
)

# With fit: it stops by itself and returns the best parameters.
params, static = eqx.partition(posterior, eqx.is_inexact_array)


def loss_fn(params, x, y):
    return objective(eqx.combine(params, static), gpjax.Dataset(X=x, y=y))


result = fit(loss_fn, params, x, y, step_tol=1e-5)
posterior = eqx.combine(result.params, static)

# Not on the page:
assert result.status.name == "STEP_CONVERGED"
assert result.gradient_max < 0.01
assert jnp.allclose(objective(posterior, data), result.loss)
assert jnp.allclose(losses[-1], result.loss)
assert jnp.allclose(fitted.likelihood.obs_stddev.unwrap(), 0.1, atol=0.03)
boldly = fit(loss_fn, params, x, y, optimizer=rprop(4.0), step_tol=1e-5)
assert jnp.allclose(boldly.loss, result.loss)
