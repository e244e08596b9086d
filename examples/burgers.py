"""Burgers' equation
=================

Train a small network to be the solution of a differential equation.

A sine wave steepens to a front: `u_t + u u_x = 0.05 u_xx`. The loss is the mean square of
the residual at 231 points. The points stay the same from step to step, so the loss has no
noise. But its parameters are strongly correlated: plain Rprop is slow here, and
`in_eigenbasis(rprop())` is not. The result is compared with the exact solution, an
integral found by Cole and by Hopf. Needs matplotlib::

    python examples/burgers.py
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from optax_rprop import fit, in_eigenbasis, rprop

VISCOSITY, WIDTH, TARGET = 0.05, 12, 3e-4


def init(key, sizes=(2, WIDTH, WIDTH, 1)):
    glorot = jax.nn.initializers.glorot_normal()
    keys = jax.random.split(key, len(sizes) - 1)
    shapes = zip(keys, sizes, sizes[1:], strict=False)
    return [(glorot(key, (n, m)), jnp.zeros(m)) for key, n, m in shapes]


def u(layers, x, t):
    """Zero at both walls and exact at the start, for any network."""
    hidden = jnp.stack([x, t])
    for weights, bias in layers[:-1]:
        hidden = jnp.tanh(hidden @ weights + bias)
    weights, bias = layers[-1]
    free = (hidden @ weights + bias)[0]
    return -jnp.sin(jnp.pi * x) + t * (1 - x**2) * free


def loss_fn(layers, x, t):
    def residual(x, t):
        u_x, u_t = jax.grad(u, argnums=(1, 2))(layers, x, t)
        u_xx = jax.grad(jax.grad(u, argnums=1), argnums=1)(layers, x, t)
        return u_t + u(layers, x, t) * u_x - VISCOSITY * u_xx

    return jnp.mean(jax.vmap(residual)(x, t) ** 2)


def exact(x, t):
    """The integral of Cole and Hopf, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite.hermgauss(64)
    y = x[:, None] - np.sqrt(4 * VISCOSITY * t) * nodes
    mass = weights * np.exp(-np.cos(np.pi * y) / (2 * np.pi * VISCOSITY))
    return -(mass * np.sin(np.pi * y)).sum(axis=1) / mass.sum(axis=1)


# %%
# The fits
# --------
x, t = map(jnp.ravel, jnp.meshgrid(jnp.linspace(-1, 1, 21), jnp.linspace(0, 0.5, 11)))
start = init(jax.random.key(0))
optimizers = {"Rprop": rprop(), "in the eigenbasis": in_eigenbasis(rprop())}
results = {
    name: fit(loss_fn, start, x, t, optimizer=tx, target_loss=TARGET, max_steps=1000)
    for name, tx in optimizers.items()
}
for name, result in results.items():
    print(f"{name:18} {result.status.name}, {result.num_steps} steps, {result.loss:.1e}")

# %%
# The solution
# ------------
best = results["in the eigenbasis"]
line = np.linspace(-1, 1, 201)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for color, (name, result) in zip(["#0072B2", "#7A0000"], results.items(), strict=True):
    left.loglog(result.history.loss, color=color, label=name)
left.set(title="Mean squared residual", xlabel="step")
left.legend(frameon=False)
errors = []
for time, color in (0.0, "#56B4E9"), (0.25, "#0072B2"), (0.5, "#7A0000"):
    found = jax.vmap(lambda x, time=time: u(best.params, x, time))(line)
    right.plot(line, exact(line, time), color="0.8", lw=6)
    right.plot(line, found, color=color, label=f"t = {time}")
    errors.append(float(np.abs(found - exact(line, time)).max()))
right.set(title="The network, over the exact solution", xlabel="x", ylabel="u")
right.legend(frameon=False)
plt.show()

print(f"largest errors: {', '.join(f'{error:.3f}' for error in errors)}")
assert best.status.name == "TARGET_REACHED", f"it ended with {best.status!r}"
assert max(errors) < 0.05, f"the solution should be within 0.05, not {max(errors)}"
print("OK: the network solves the equation.")
