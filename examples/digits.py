"""Handwritten digits and their step sizes
=======================================

Train a small Flax network on 1,797 handwritten digits and draw its step sizes.

Rprop has its default settings, and sees all of the training data in every step. The
digits come with scikit-learn. Needs flax, matplotlib and scikit-learn::

    python examples/digits.py [--out picture.png]
"""

import argparse
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax
from jax.flatten_util import ravel_pytree
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from optax_rprop import fit, rprop

SEED, NUM_EPOCHS = 0, 60  # much longer, and float32 rounds the loss to 0
parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path, default="digits.png")
out = parser.parse_args().out

images, digits = load_digits(return_X_y=True)  # a pixel is a number from 0 to 16
split = train_test_split(images / 16, digits, stratify=digits, random_state=SEED)
x, x_held_out, y, y_held_out = map(jnp.asarray, split)
network = nn.Sequential([nn.Dense(64), nn.tanh, nn.Dense(10)])
# Clipping keeps every sign, so it changes no step. It shows how to chain the two.
optimizer = optax.chain(optax.clip_by_global_norm(1.0), rprop())


def loss_and_accuracy(params, x, y):
    logits = network.apply(params, x)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
    return losses.mean(), (logits.argmax(axis=1) == y).mean()


@jax.jit
def look(state):
    loss, training = loss_and_accuracy(state.params, x, y)
    _, held_out = loss_and_accuracy(state.params, x_held_out, y_held_out)
    step_sizes, _ = ravel_pytree(optax.tree.get(state.opt_state, "step_sizes"))
    quantiles = jnp.quantile(step_sizes, jnp.array([0.05, 0.5, 0.95]))
    return loss, training, held_out, *quantiles


# %%
# One epoch at a time
# -------------------
params = network.init(jax.random.key(SEED), x)
last, seen = None, []
one_step = {"optimizer": optimizer, "max_steps": 1, "has_aux": True}
print("epoch      loss  training accuracy  held-out accuracy")
for epoch in range(1, NUM_EPOCHS + 1):
    # An epoch is one step, and `resume` goes on where the last call ended. One call with
    # max_steps=NUM_EPOCHS takes the same steps, but does not show those in between.
    last = fit(loss_and_accuracy, params, x, y, resume=last, **one_step).last
    loss, training, held_out, *quantiles = look(last)
    seen.append((loss, *quantiles))
    if epoch == 1 or epoch % 5 == 0:
        print(f"{epoch:5}  {loss:.2e}  {training:17.4f}  {held_out:17.4f}")

# %%
# Every parameter finds its own scale
# -----------------------------------
epochs = range(1, NUM_EPOCHS + 1)
losses, low, median, high = zip(*seen, strict=True)
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
left.semilogy(epochs, losses, color="#0072B2")
left.set(title="Training loss", xlabel="epoch", ylabel="cross-entropy (nats)")
right.fill_between(epochs, low, high, color="#F7DFAE", lw=0, label="5-95 %")
right.semilogy(epochs, median, color="#B34700", label="median")
right.set(title="Step sizes", xlabel="epoch", ylabel="step size (parameter units)")
right.legend(frameon=False, loc="lower left")
figure.savefig(out, dpi=150)

assert training > 0.99, f"training accuracy should pass 0.99, got {training}"
assert held_out > 0.92, f"held-out accuracy should pass 0.92, got {held_out}"
print(f"OK: {out.name} drawn, held-out accuracy {held_out:.3f}.")
