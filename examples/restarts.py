"""The best of 256 starts
======================

Restart one small network 256 times, all at once, and keep the best.

The problem is parity: five inputs are +1 or -1, and a network of four hidden units has to
tell whether their product is +1 or -1. From most starts Rprop ends in a local minimum or
on a plateau. So `jax.vmap` runs many fits side by side, each until it reaches the target.
Needs matplotlib::

    python examples/restarts.py [--out picture.png]
"""

import argparse
import functools
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from optax_rprop import FitStatus, fit

NUM_STARTS, NUM_INPUTS, NUM_HIDDEN = 256, 5, 4
MAX_STEPS, TARGET = 500, 0.01
parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path, default="restarts.png")
out = parser.parse_args().out

x = jnp.array(list(itertools.product([-1.0, 1.0], repeat=NUM_INPUTS)))
y = x.prod(axis=1)


def init(key):
    shapes = {"w": (NUM_INPUTS, NUM_HIDDEN), "b": (NUM_HIDDEN,), "v": (NUM_HIDDEN,)}
    keys = dict(zip(shapes, jax.random.split(key, len(shapes)), strict=True))
    return {k: 0.5 * jax.random.normal(keys[k], shape) for k, shape in shapes.items()}


def predict(params, x):
    return jnp.tanh(jnp.tanh(x @ params["w"] + params["b"]) @ params["v"])


def loss_fn(params, x, y):
    return jnp.mean((predict(params, x) - y) ** 2)


# %%
# All starts side by side
# -----------------------
starts = jax.vmap(init)(jax.random.split(jax.random.key(0), NUM_STARTS))
fit_one = functools.partial(fit, loss_fn, target_loss=TARGET, max_steps=MAX_STEPS)
# Every leaf of the result has one more axis in front, with one entry per start.
results = jax.vmap(fit_one, in_axes=(0, None, None))(starts, x, y)

num_reached = int((results.status == FitStatus.TARGET_REACHED).sum())
best = results.best()
num_right = int((jnp.sign(predict(best.params, x)) == y).sum())
print(f"{num_reached} of {NUM_STARTS} starts reached a loss of {TARGET}")
print(f"median loss {jnp.median(results.loss):.4f}, best {best.loss:.4f}")
print(f"the best has {num_right} of {len(y)} right in {best.num_steps} steps")

# %%
# Where they end
# --------------
figure, (curves, spread) = plt.subplots(
    1, 2, sharey=True, width_ratios=[2, 1], figsize=(8, 3.4), layout="constrained"
)
curves.plot(results.history.loss.T, color="0.5", lw=0.4, alpha=0.4)
label = f"the best of {NUM_STARTS}"
curves.plot(best.history.loss, color="#D55E00", lw=2, label=label)
curves.set(title="Every start", xlabel="step", ylabel="mean squared error", ylim=(0, 0.6))
curves.legend(frameon=False)
bins = np.linspace(0, 0.6, 61)  # the first one ends at TARGET
spread.hist(results.loss, bins, orientation="horizontal", color="#0072B2")
spread.set(title="Where they end", xlabel="number of starts")
spread.text(num_reached + 3, 0.008, "at the target")
figure.savefig(out, dpi=150)

assert num_right == len(y), f"the best start has {num_right} of {len(y)} right"
assert best.loss <= TARGET, f"its loss is {best.loss}, above {TARGET}"
assert 3 <= num_reached < 128, f"a few should reach the target, not {num_reached}"
print(f"OK: {out.name} drawn, the best of {NUM_STARTS} starts has every sign right.")
