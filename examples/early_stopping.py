"""Early stopping
==============

Stop before a network memorises its training data.

A network of 64 units has 4,810 parameters and sees 300 of scikit-learn's handwritten
digits. Its loss on them falls to nothing. The loss on held-out digits falls too, but then
rises again. The fit runs two steps at a time, and takes the same steps as in one piece.
It ends when the held-out loss no longer falls. Needs matplotlib and scikit-learn::

    python examples/early_stopping.py
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax
from sklearn.datasets import load_digits

from optax_rprop import fit, rprop

STRIDE, PATIENCE = 2, 10
images, digits = load_digits(return_X_y=True)
images = jnp.asarray(images / 16, "float32")
train, held_out = (images[:300], digits[:300]), (images[300:], digits[300:])


def logits(params, x):
    return jnp.tanh(x @ params["w0"] + params["b0"]) @ params["w1"] + params["b1"]


@jax.jit
def loss_fn(params, x, y):
    losses = optax.softmax_cross_entropy_with_integer_labels(logits(params, x), y)
    return jnp.mean(losses)


glorot = jax.nn.initializers.glorot_uniform()
keys = jax.random.split(jax.random.key(0))
params = {
    "w0": glorot(keys[0], (64, 64)),
    "b0": jnp.zeros(64),
    "w1": glorot(keys[1], (64, 10)),
    "b1": jnp.zeros(10),
}
settings = {"optimizer": rprop(0.01), "history": False}

# %%
# A few steps at a time
# ---------------------
lowest, best_params, since, last = jnp.inf, params, 0, None
curve = []
while since < PATIENCE:
    result = fit(loss_fn, params, *train, max_steps=STRIDE, resume=last, **settings)
    last = result.last
    loss = loss_fn(last.params, *held_out)
    curve.append((int(last.num_steps), loss_fn(last.params, *train), loss))
    since = 0 if loss < lowest else since + 1
    if loss < lowest:
        lowest, best_params = loss, last.params
        stopped_at = int(last.num_steps)
whole = fit(loss_fn, params, *train, max_steps=300, **settings)

# %%
# Early or to the end
# -------------------
print("                     steps  training loss  held-out loss  held-out accuracy")
found = {"early": (stopped_at, best_params), "to the end": (300, whole.params)}
held_out_losses, accuracies = [], []
for name, (steps, fitted) in found.items():
    x, y = held_out
    held_out_losses.append(float(loss_fn(fitted, x, y)))
    accuracies.append(float((logits(fitted, x).argmax(1) == y).mean()))
    print(
        f"{name:20} {steps:5}  {loss_fn(fitted, *train):13.5f}  "
        f"{held_out_losses[-1]:13.3f}  {accuracies[-1]:17.3f}"
    )
steps, training, validation = zip(*curve, strict=True)
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.semilogy(steps, training, color="#0072B2", label="training loss")
axes.semilogy(steps, validation, color="#D55E00", label="held-out loss")
axes.axvline(stopped_at, color="0.5", ls="--", lw=1, label="the parameters kept")
axes.set(xlabel="step", ylabel="cross-entropy (nats)")
axes.legend(frameon=False)
plt.show()

assert held_out_losses[0] < 0.8 * held_out_losses[1]
assert accuracies[0] > 0.85
print("OK: the held-out loss is lowest long before the training loss is.")
