"""A turned valley
===============

Walk down a narrow valley that lies across the axes, with four optimizers.

Rprop adapts one step size per parameter. That is enough in a valley along the axes. In a
turned valley, every step that is long along the valley is too long across it.
`in_eigenbasis` runs the same rule along directions that it learns from the changes of the
gradient. Adam has the best of five rates here. Needs matplotlib::

    python examples/turned_valley.py
"""

import functools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from optax_rprop import in_eigenbasis, rprop

CONDITION, ANGLE, TARGET, NUM_STEPS = 1000.0, np.radians(30), 1e-6, 4000
START = jnp.array([1.0, 0.5])
axis = np.array([np.cos(ANGLE), np.sin(ANGLE)], "float32")


def valley(p):
    along, across = axis @ p, axis @ jnp.array([p[1], -p[0]])
    return 0.5 * (along**2 + CONDITION * across**2)


@functools.partial(jax.jit, static_argnums=0)
def walk(optimizer):
    """Every point on the way, and the loss there."""

    def step(carry, _):
        p, state = carry
        value, grad = jax.value_and_grad(valley)(p)
        updates, state = optimizer.update(
            grad, state, p, value=value, grad=grad, value_fn=valley
        )
        return (optax.apply_updates(p, updates), state), (p, value)

    return jax.lax.scan(step, (START, optimizer.init(START)), length=NUM_STEPS)[1]


def steps_of(losses):
    reached = losses <= TARGET
    return int(reached.argmax()) if reached.any() else NUM_STEPS


# %%
# Steps to a loss of 1e-6
# -----------------------
# A step of L-BFGS evaluates the loss several times, in its line search.
rates = [0.01, 0.03, 0.1, 0.3, 1.0]
adams = [walk(optax.with_extra_args_support(optax.adam(rate))) for rate in rates]
walks = {
    "Rprop": walk(rprop()),
    "Rprop in the eigenbasis": walk(in_eigenbasis(rprop())),
    "Adam": min(adams, key=lambda found: steps_of(found[1])),
    "L-BFGS": walk(optax.lbfgs()),
}
for name, (_, losses) in walks.items():
    print(f"{name:24} {steps_of(losses):5} steps")

# %%
# The paths
# ---------
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
grid = np.meshgrid(np.linspace(-0.4, 1.2, 161), np.linspace(-0.4, 0.9, 131))
heights = jax.vmap(jax.vmap(valley))(jnp.stack(grid, axis=-1))
left.contour(*grid, heights, np.geomspace(0.01, 300, 9), colors="0.8", linewidths=0.8)
colors = ["#0072B2", "#7A0000", "#D55E00", "#009E73"]
for color, (name, (points, losses)) in zip(colors, walks.items(), strict=True):
    end = steps_of(losses) + 1
    left.plot(*points[:end].T, ".-", color=color, lw=0.8, ms=3)
    right.loglog(range(1, end + 1), losses[:end], color=color, label=name)
left.set(title="The first steps and the rest", xlim=(-0.4, 1.2), ylim=(-0.4, 0.9))
left.set_aspect("equal")
right.set(title="Loss", xlabel="step", ylim=(TARGET / 10, None))
figure.legend(frameon=False, loc="outside lower center", ncols=4)
plt.show()

plain, turned = (steps_of(walks[name][1]) for name in list(walks)[:2])
assert turned < 80, f"the eigenbasis should need some 40 steps, not {turned}"
assert plain > 10 * turned, f"plain Rprop should be lost here, not take {plain} steps"
print("OK: in its eigenbasis Rprop walks along the valley.")
