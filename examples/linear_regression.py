"""A line through 100 points
=========================

Fit a line, y = w*x + b, to 100 noisy points.

This is the usual Optax training loop, with Rprop as the optimizer and all of the points
in every step. The points lie around y = 2x + 3. The result is printed next to that of
least squares, which has a formula for the best line. Needs matplotlib::

    python examples/linear_regression.py
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import optax_rprop

TRUE_W, TRUE_B, NUM_POINTS, NUM_EPOCHS = 2.0, 3.0, 100, 200

rng = np.random.default_rng(0)
x = rng.uniform(-2.0, 2.0, NUM_POINTS).astype(np.float32)
y = TRUE_W * x + TRUE_B + rng.normal(0.0, 0.1, NUM_POINTS).astype(np.float32)


def mean_squared_error(params):
    return jnp.mean((params["w"] * x + params["b"] - y) ** 2)


params = {"w": jnp.array(0.0), "b": jnp.array(0.0)}
# The learning rate is only the size of the first step. After it, w and b each have a step
# size of their own, which grows and shrinks as needed.
optimizer = optax_rprop.rprop(learning_rate=0.01)
state = optimizer.init(params)


@jax.jit
def step(params, state):
    loss, grads = jax.value_and_grad(mean_squared_error)(params)
    updates, state = optimizer.update(grads, state)
    return optax.apply_updates(params, updates), state, loss


# %%
# The training loop
# -----------------
for epoch in range(NUM_EPOCHS):
    if epoch % 20 == 0:
        print(f"epoch {epoch:3}  loss {mean_squared_error(params):.6f}")
    params, state, _ = step(params, state)
print(f"epoch {NUM_EPOCHS:3}  loss {mean_squared_error(params):.6f}")

# %%
# Beside least squares
# --------------------
w, b = float(params["w"]), float(params["b"])
best_w, best_b = np.polyfit(x, y, deg=1)
print(f"Rprop          w = {w:.5f}  b = {b:.5f}")
print(f"least squares  w = {best_w:.5f}  b = {best_b:.5f}")
print(f"the truth      w = {TRUE_W:.5f}  b = {TRUE_B:.5f}")

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.plot(x, y, ".", color="black", ms=4, label="points")
ends = np.array([-2.0, 2.0])
axes.plot(ends, w * ends + b, color="#0072B2", label="Rprop")
axes.set(xlabel="x", ylabel="y")
axes.legend(frameon=False)
plt.show()

assert abs(w - TRUE_W) < 0.05, f"w should be within 0.05 of {TRUE_W}, but it is {w}"
assert abs(b - TRUE_B) < 0.05, f"b should be within 0.05 of {TRUE_B}, but it is {b}"
print("OK: w and b are within 0.05 of the truth.")
