"""Diffrax: a differential equation in the loss."""

import diffrax
import jax.numpy as jnp

from optax_rprop import fit, rprop

times = jnp.linspace(0.0, 1.0, 20)


def solve(params, times):  # y' = growth y^2: grows without bound at 1 / (growth y(0))
    return diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, growth: growth * y**2),
        diffrax.Tsit5(),
        t0=times[0],
        t1=times[-1],
        dt0=None,
        y0=params["y0"],
        args=params["growth"],
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.PIDController(rtol=1e-5, atol=1e-5),
        max_steps=256,
        throw=False,  # a solve that fails fills the rest with inf
    ).ys


def loss_fn(params, times, measured):
    return jnp.mean((solve(params, times) - measured) ** 2)


measured = 1 / (2 - 0.5 * times)  # y(0) = 0.5, growth 0.5
start = {"y0": jnp.array(0.1), "growth": jnp.array(0.1)}
result = fit(loss_fn, start, times, measured, optimizer=rprop(1.0), target_loss=1e-8)

# Not on the page:
losses = result.history.loss[: result.num_steps]
assert not jnp.isfinite(losses).all(), "no solve failed: nothing to take back"
assert result.status.name == "TARGET_REACHED"
assert jnp.allclose(result.params["y0"], 0.5, atol=1e-2)
assert jnp.allclose(result.params["growth"], 0.5, atol=1e-2)
