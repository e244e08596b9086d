"""Tutorial
========

This page goes from a line to a small network. Every block of code runs when the page is
made, and below it you see what it prints and draws. `examples/tutorial.py` has the same
code as a script. It needs matplotlib and the package: see :doc:`/start`.

A line
------

Rprop looks at all of the data in every step. Write the loss as a function of the
parameters and of the data. The parameters are a tree of arrays, such as a dict. `fit`
does the rest.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

from optax_rprop import fit, in_eigenbasis


def line_loss(params, x, y):
    return jnp.mean((params["w"] * x + params["b"] - y) ** 2)


x = jnp.linspace(-1.0, 1.0, 100)
y = 2 * x + 3
start = {"w": jnp.zeros(()), "b": jnp.zeros(())}
result = fit(line_loss, start, x, y, target_loss=1e-8)
print(result)

# %%
# The first line says why the fit ended, and the second what that means. You did not
# choose a learning rate. The step sizes started at 0.1, and each parameter adapted its
# own. The parameters of the result are the best that the fit has seen:

print(f"w = {result.params['w']:.4f}, b = {result.params['b']:.4f}")

# %%
# A network
# ---------
# A network works the same way: its loss is a function of its parameters and of the data.
# This one has a hidden layer of 16 units, and is fitted to a noisy curve. Modules of Flax
# and Equinox work too: see :doc:`/gallery/modules`.


def network(params, x):
    hidden = jnp.tanh(x[:, None] * params["w0"] + params["b0"])
    return hidden @ params["w1"] + params["b1"]


def network_loss(params, x, y):
    return jnp.mean((network(params, x) - y) ** 2)


keys = jax.random.split(jax.random.key(0), 3)
y = jnp.sin(4 * x) + 0.1 * jax.random.normal(keys[0], x.shape)
start = {
    "w0": 2 * jax.random.normal(keys[1], (16,)),
    "b0": jnp.zeros(16),
    "w1": 0.3 * jax.random.normal(keys[2], (16,)),
    "b1": jnp.zeros(()),
}
result = fit(network_loss, start, x, y, max_steps=150)
print(result)

# %%
# Here is the curve before and after:

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.plot(x, y, ".", color="black", ms=4, label="data")
axes.plot(x, network(start, x), color="0.6", label="at the start")
axes.plot(x, network(result.params, x), color="#0072B2", label="fitted")
axes.legend(frameon=False)
plt.show()

# %%
# Why it stopped
# --------------
# `MAX_STEPS` means that the fit took all the steps that it was given, and
# `result.advice` says what to do next:

print(result.status.name)
print(result.advice)

# %%
# A fit can also end by itself. Use `target_loss` if you know which loss is good enough.
# Use `step_tol` if you know how exact the parameters should be: the fit ends when every
# step size is that small. `patience` ends the fit when the loss no longer improves.
# :ref:`Why it stops <why-it-stops>` has all the rules.
#
# Plot the step sizes
# -------------------
# `result.history` has one entry per step, and `plot` draws it. On the left is the loss.
# On the right are the step sizes of the 49 parameters: the maximum, the geometric mean,
# and a band that holds about nine in ten of them. They start at 0.1 and spread out,
# because every parameter adapts its own.

result.history.plot()
plt.show()

# %%
# Resume
# ------
# `resume=result.last` goes on where the last fit ended. The steps are the same as in one
# piece, bit for bit:

rest = fit(network_loss, start, x, y, max_steps=150, resume=result.last)
whole = fit(network_loss, start, x, y, max_steps=300)
print(f"after 150 steps {result.loss:.6f}, after 300 {rest.loss:.6f}")
print("the same in one piece:", rest.loss == whole.loss)

# %%
# The loss still falls, but slowly, because the weights of a network are correlated. In
# such a case try `in_eigenbasis`, which runs Rprop along directions that follow the
# curvature:

turned = fit(network_loss, start, x, y, optimizer=in_eigenbasis(), max_steps=150)
print(f"after 150 steps in the eigenbasis {turned.loss:.6f}")

# %%
# From here
# ---------
# * :doc:`/choose` says when Rprop is the right method, and which settings matter.
# * :doc:`/fit` has all that a fit can do: restarts, stop rules of your own, progress.
# * :doc:`/compose` adds bounds, units, frozen parameters and weight decay.
# * :doc:`/start` shows the training loop of Optax, for those who write their own.
# * :doc:`/gallery/index` has a script for most of it.

assert result.status.name == "MAX_STEPS"
assert rest.loss == whole.loss
assert turned.loss <= result.loss
print("OK: a line, a network, and the same network in two parts.")
