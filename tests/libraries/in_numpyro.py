"""NumPyro: a MAP estimate inside SVI, and an ELBO with one fixed key."""

import jax
import jax.numpy as jnp
import numpyro
from numpyro.distributions import HalfNormal, Normal
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoDelta, AutoNormal

from optax_rprop import fit, rprop

x = jnp.linspace(-1.0, 1.0, 100)
y = 2 * x + 3 + 0.5 * jax.random.normal(jax.random.key(0), x.shape)


def model(x, y):
    slope = numpyro.sample("slope", Normal(0, 10))
    offset = numpyro.sample("offset", Normal(0, 10))
    noise = numpyro.sample("noise", HalfNormal(1))
    numpyro.sample("y", Normal(slope * x + offset, noise), obs=y)


# A MAP estimate: this loss has no noise, and SVI passes it on as `value=`.
svi = SVI(model, AutoDelta(model), rprop(variant="irprop+"), Trace_ELBO())
estimate = svi.run(jax.random.key(1), 200, x, y, progress_bar=False).params

# An ELBO: one key for all steps makes it a fixed average over 100 particles.
svi = SVI(model, AutoNormal(model), rprop(), Trace_ELBO(num_particles=100))
state = svi.init(jax.random.key(1), x, y)


def loss_fn(params, key, x, y):
    return svi.loss.loss(key, svi.constrain_fn(params), model, svi.guide, x, y)


result = fit(loss_fn, svi.get_params(state), jax.random.key(2), x, y, step_tol=1e-4)

# Not on the page:
assert jnp.allclose(estimate["slope_auto_loc"], 2.0, atol=0.1)
assert jnp.allclose(estimate["offset_auto_loc"], 3.0, atol=0.1)
assert jnp.allclose(estimate["noise_auto_loc"], 0.5, atol=0.1)
assert result.status.name == "STEP_CONVERGED"
least_squares = jnp.polyfit(x, y, 1)
found = svi.constrain_fn(result.params)
assert jnp.allclose(found["slope_auto_loc"], least_squares[0], atol=0.02)
assert jnp.allclose(found["offset_auto_loc"], least_squares[1], atol=0.02)


def elbo(params):  # with another key, and many particles
    loss = Trace_ELBO(num_particles=1000).loss
    return loss(jax.random.key(3), svi.constrain_fn(params), model, svi.guide, x, y)


assert jnp.allclose(elbo(result.params), result.loss, rtol=0.01)


# One particle with a fixed key: the guide fits that one draw, and nothing else.
def one_loss(params, key, x, y):
    loss = Trace_ELBO(num_particles=1).loss
    return loss(key, svi.constrain_fn(params), model, svi.guide, x, y)


one = fit(one_loss, svi.get_params(state), jax.random.key(2), x, y)
assert elbo(one.params) > 1000 * elbo(result.params)


# A step to where the loss is NaN: `update` takes it back, `stable_update` never does.
def gamma():
    p = numpyro.param("p", 20.0)
    numpyro.factor("log_density", 3 * jnp.log(p) - p)


for stable in False, True:
    svi = SVI(gamma, lambda: None, rprop(30.0), Trace_ELBO())
    run = svi.run(jax.random.key(0), 60, progress_bar=False, stable_update=stable)
    assert jnp.isnan(run.losses[1])
    assert jnp.isnan(run.losses[1:]).all() == stable
    assert jnp.allclose(run.params["p"], 3.0, atol=0.01) != stable
