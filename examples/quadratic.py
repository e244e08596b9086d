"""Down a parabola, step by step
=============================

Follow Rprop down x**2, and compare it with a plain loop.

The loop in this file is iRprop-, the default rule of optax_rprop, for a single number.
The script runs both from x = 5 for 50 steps, and checks that they are equal bit for bit.
Needs matplotlib::

    python examples/quadratic.py
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import optax_rprop

# Python uses 64 bits. JAX uses 32 unless this is set, before anything else.
jax.config.update("jax_enable_x64", True)

START, INITIAL_STEP_SIZE, NUM_STEPS = 5.0, 0.1, 50


def f(x):
    return x**2


def plain_irprop_minus(x, step_size, num_steps):
    """Every x that iRprop- visits on its way down ``x**2``, and the step size there."""
    path = []
    last_sign = 0.0  # 0: nothing to compare with
    for _ in range(num_steps):
        sign = np.sign(2 * x)  # all that Rprop uses of the gradient
        if sign * last_sign > 0:  # the same direction: go faster
            step_size = min(step_size * 1.2, 50.0)
        elif sign * last_sign < 0:  # jumped over the minimum: go slower,
            step_size = max(step_size * 0.5, 1e-6)
            sign = 0.0  # and stand still for one step
        x = x - sign * step_size
        last_sign = sign
        path.append((x, step_size))
    return path


def optax_rprop_path(x, step_size, num_steps):
    """The same path, by the library."""
    optimizer = optax_rprop.rprop(learning_rate=step_size)

    @jax.jit
    def step(x, state):
        updates, state = optimizer.update(jax.grad(f)(x), state)
        return optax.apply_updates(x, updates), state

    x = jnp.asarray(x)
    state = optimizer.init(x)
    path = []
    for _ in range(num_steps):
        x, state = step(x, state)
        path.append((float(x), float(optax.tree.get(state, "step_sizes"))))
    return path


# %%
# Both paths
# ----------
plain = plain_irprop_minus(START, INITIAL_STEP_SIZE, NUM_STEPS)
ours = optax_rprop_path(START, INITIAL_STEP_SIZE, NUM_STEPS)

print(f"{'step':>4}  {'x':>12}  {'step size':>12}")
for i, (x, step_size) in enumerate(ours, start=1):
    print(f"{i:4}  {x:12.8f}  {step_size:12.8f}")

# %%
# The step grows while the sign stays, and halves where x jumps over the minimum
# ------------------------------------------------------------------------------
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
left.plot([START] + [x for x, _ in ours], ".-", color="#0072B2")
left.axhline(0, color="0.5", lw=1)
left.set(title="Down to the minimum", xlabel="step", ylabel="x")
right.semilogy(range(1, NUM_STEPS + 1), [size for _, size in ours], ".-", color="#B34700")
right.set(title="Step size", xlabel="step")
plt.show()

for i, (expected, got) in enumerate(zip(plain, ours, strict=True), start=1):
    assert got == expected, f"step {i}: the loop has {expected}, optax_rprop has {got}"
assert f(ours[-1][0]) < 1e-4, f"x should be near 0 by now, but it is {ours[-1][0]}"
print(f"OK: all {NUM_STEPS} steps equal the plain loop exactly, bit for bit.")
