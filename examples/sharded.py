"""Parameters and data over eight devices
======================================

Shard parameters and data over eight devices, and fit as on one.

The model classifies scikit-learn's 1,797 handwritten digits. The rows of the data and the
rows of every weight matrix lie on different devices ("fully sharded data parallel").
The loss and `fit` are the same as on one device. XLA gathers weights where they are
needed, and reduces the gradient. The state of Rprop lies where its parameter lies, so
updates need no communication. Without an accelerator the devices are threads of the CPU.
Needs matplotlib and scikit-learn::

    python examples/sharded.py
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from sklearn.datasets import load_digits

from optax_rprop import fit

NUM_DEVICES, NUM_HIDDEN, NUM_STEPS = 8, 64, 40
jax.config.update("jax_num_cpu_devices", NUM_DEVICES)

images, digits = load_digits(return_X_y=True)  # a pixel is a number from 0 to 16
rows = len(images) // NUM_DEVICES * NUM_DEVICES  # an equal number on every device
data = np.float32(images[:rows] / 16), np.int32(digits[:rows])
keys = jax.random.split(jax.random.key(0))
glorot = jax.nn.initializers.glorot_uniform()
params = {
    "hidden": glorot(keys[0], (64, NUM_HIDDEN)),
    "hidden_bias": jnp.zeros(NUM_HIDDEN),
    "out": glorot(keys[1], (NUM_HIDDEN, 10)),
    "out_bias": jnp.zeros(10),
}


def loss_fn(params, x, y):
    hidden = jnp.tanh(x @ params["hidden"] + params["hidden_bias"])
    logits = hidden @ params["out"] + params["out_bias"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


# %%
# Which rows lie where
# --------------------
mesh = jax.make_mesh((NUM_DEVICES,), ("rows",), axis_types=(AxisType.Auto,))
by_row, everywhere = NamedSharding(mesh, P("rows")), NamedSharding(mesh, P())
sharding = {key: by_row if p.ndim == 2 else everywhere for key, p in params.items()}

# %%
# On eight devices, and on one
# ----------------------------
sharded = fit(
    loss_fn,
    jax.device_put(params, sharding),
    *jax.device_put(data, by_row),
    max_steps=NUM_STEPS,
)
alone = fit(loss_fn, params, *data, max_steps=NUM_STEPS)

state = optax.tree.get(sharded.last.opt_state, "step_sizes")
print("                 on a device    of all")
for name, tree in (("parameters", sharded.params), ("step sizes", state)):
    one = sum(p.addressable_shards[0].data.nbytes for p in jax.tree.leaves(tree))
    print(f"{name:15} {one:8} bytes  {sum(p.nbytes for p in jax.tree.leaves(tree)):6}")
print(f"loss            {sharded.loss:.5f} on {NUM_DEVICES}, {alone.loss:.5f} on one")

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.semilogy(alone.history.loss, color="0.75", lw=6, label="one device")
axes.semilogy(sharded.history.loss, color="#0072B2", label="eight devices")
axes.set(xlabel="step", ylabel="cross-entropy (nats)")
axes.legend(frameon=False)
plt.show()

for step_sizes, of in zip(jax.tree.leaves(state), sharding.values(), strict=True):
    assert step_sizes.sharding.is_equivalent_to(of, step_sizes.ndim)
early = slice(0, 20)  # later, rounding changes the sign of a gradient near zero
np.testing.assert_allclose(
    sharded.history.loss[early], alone.history.loss[early], rtol=1e-3
)
assert sharded.loss < 0.01, f"the loss should fall below 0.01, got {sharded.loss}"
print("OK: the fit on eight devices is that on one.")
