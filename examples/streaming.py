"""Data larger than memory
=======================

Fit to data that is larger than the memory of the device, one pass per step.

The data is a file, mapped into memory. Batches are read, moved to the device and freed.
`streaming_fit` adds up their losses and gradients, so Rprop sees the gradient of all of
the data. The result is like that of `fit`: why it stopped, the best parameters, history.
The rows are scikit-learn's 1,797 handwritten digits and copies shifted by a pixel. The
network tells whether a digit is odd. Needs matplotlib and scikit-learn::

    python examples/streaming.py [--copies 9]
"""

import argparse
import itertools
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_digits

from optax_rprop import streaming_fit

BATCH, NUM_EPOCHS = 1000, 100
parser = argparse.ArgumentParser()
parser.add_argument("--copies", type=int, default=9, help="rows are 1,797 times this")
num_copies = parser.parse_args().copies


def write(file):
    """Write the digits, and copies shifted by up to a pixel each way, to disk."""
    images, digits = load_digits(return_X_y=True)
    images = np.float32(images.reshape(-1, 8, 8) / 16)
    shape = (num_copies, len(images), 65)
    rows = np.lib.format.open_memmap(file, "w+", "float32", shape)
    shifts = itertools.cycle(itertools.product([0, -1, 1], repeat=2))
    for copy, shift in zip(range(num_copies), shifts, strict=False):
        rows[copy, :, :64] = np.roll(images, shift, axis=(1, 2)).reshape(-1, 64)
        rows[copy, :, 64] = digits % 2
    rows.flush()


def batches(file):
    """From disk, BATCH rows at a time; the last batch is smaller."""
    rows = np.load(file, mmap_mode="r").reshape(-1, 65)
    for begin in range(0, len(rows), BATCH):
        seen.append(sum(array.nbytes for array in jax.live_arrays()))
        batch = rows[begin : begin + BATCH]
        yield batch[:, :64], batch[:, 64]


def loss_fn(params, x, y):
    hidden = jnp.tanh(x @ params["hidden"] + params["hidden_bias"])
    return optax.sigmoid_binary_cross_entropy(hidden @ params["out"], y).mean()


# %%
# One pass per step
# -----------------
glorot = jax.nn.initializers.glorot_uniform()
params = {
    "hidden": glorot(jax.random.key(0), (64, 32)),
    "hidden_bias": jnp.zeros(32),
    "out": jnp.zeros(32),
}
seen = []
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "rows.npy"
    write(file)
    result = streaming_fit(loss_fn, params, lambda: batches(file), max_steps=NUM_EPOCHS)
    size = file.stat().st_size

for epoch in (1, *range(10, NUM_EPOCHS + 1, 10)):
    print(f"epoch {epoch:3}  loss {result.history.loss[epoch - 1]:.4f}")
print(result)
result.history.plot()
plt.show()

print(f"{size / 1e6:.1f} MB on disk, at most {max(seen) / 1e6:.2f} MB on the device.")
assert max(seen) < 4 * BATCH * 65 * 4, "two batches and a few parameters should be all"
assert result.loss < 0.2, f"the loss should fall below 0.2, got {result.loss}"
print("OK: every step saw all of the data.")
