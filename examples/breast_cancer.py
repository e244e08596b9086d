"""Benign or malignant, five times
===============================

Fit a small Flax network to 569 biopsies: is a tumour malignant or benign?

The data come with scikit-learn. Nobody has to say how many steps to take: `patience` ends
the fit when the loss no longer falls. Five seeds give five splits of the data and five
initial networks. Needs flax, matplotlib and scikit-learn::

    python examples/breast_cancer.py
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from optax_rprop import FitStatus, fit

NUM_SEEDS, PENALTY = 5, 0.003
network = nn.Sequential([nn.Dense(16), nn.tanh, nn.Dense(1)])


def loss_fn(params, x, y):
    logits = network.apply(params, x)[:, 0]
    # Without a penalty on the weights, the network memorises its training data.
    weights = [p for p in jax.tree.leaves(params) if p.ndim > 1]
    penalty = PENALTY * sum(jnp.sum(w**2) for w in weights)
    return optax.sigmoid_binary_cross_entropy(logits, y).mean() + penalty


def accuracy(params, x, y):
    return float(((network.apply(params, x)[:, 0] > 0) == y).mean())


# %%
# The fits
# --------
features, benign = load_breast_cancer(return_X_y=True)
print("seed  status   steps    loss  training accuracy  held-out accuracy")
held_out_accuracies = []
for seed in range(NUM_SEEDS):
    x, x_held_out, y, y_held_out = train_test_split(
        features, benign, stratify=benign, random_state=seed
    )
    scaler = StandardScaler().fit(x)  # of the training data alone: held out is held out
    x, x_held_out = jnp.asarray(scaler.transform(x)), scaler.transform(x_held_out)
    params = network.init(jax.random.key(seed), x)

    # Data of the same shapes: only the first of these calls compiles.
    result = fit(loss_fn, params, x, y, max_steps=2000, patience=30)

    training = accuracy(result.params, x, y)
    held_out = accuracy(result.params, x_held_out, y_held_out)
    print(
        f"{seed:4}  {result.status.name:7}  {result.num_steps:5}  {result.loss:.4f}"
        f"  {training:17.3f}  {held_out:17.3f}"
    )
    held_out_accuracies.append(held_out)
    assert result.status == FitStatus.STALLED, f"seed {seed} ended with {result.status!r}"
    assert training > 0.97, f"seed {seed}: training accuracy {training:.3f}"
    assert held_out > 0.92, f"seed {seed}: held-out accuracy {held_out:.3f}"
print(f"{result.status.name} means: {result.status.advice}")

# %%
# The last of them
# ----------------
result.history.plot()
plt.show()

mean = sum(held_out_accuracies) / NUM_SEEDS
assert mean > 0.95, f"mean held-out accuracy should pass 0.95, got {mean:.3f}"
print(
    f"OK: {mean:.1%} of the held-out biopsies right, on average over {NUM_SEEDS} seeds."
)
