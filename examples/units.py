"""Parameters in units of their own
================================

Fit the speed of an enzyme: one parameter is 300, the other 0.00004.

Michaelis and Menten's law has two parameters: a top speed, and the concentration at which
half of it is reached. In the usual units they differ by seven orders of magnitude, so no
first step suits both: 0.1 is far too long for the second and short for the first.
`in_units` measures each parameter in units of its size at the start. Needs matplotlib::

    python examples/units.py
"""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from optax_rprop import fit, in_eigenbasis, in_units

rng = np.random.default_rng(0)
concentration = np.geomspace(2e-6, 5e-4, 20, dtype="float32")  # mol per litre
truth = 300 * concentration / (4e-5 + concentration)
speed = (truth * rng.normal(1, 0.03, 20)).astype("float32")  # molecules per second
start = {"top": jnp.array(100.0), "half": jnp.array(1e-5)}


def law(params, concentration):
    return params["top"] * concentration / (params["half"] + concentration)


def loss_fn(params, concentration, speed):
    return jnp.mean((law(params, concentration) - speed) ** 2)


# %%
# With and without units
# ----------------------
# The two parameters are also correlated, so both fits use `in_eigenbasis`.
optimizers = {
    "in_eigenbasis()": in_eigenbasis(),
    "in_units(in_eigenbasis())": in_units(in_eigenbasis()),
}
results = {}
for name, optimizer in optimizers.items():
    result = results[name] = fit(
        loss_fn, start, concentration, speed, optimizer=optimizer, max_steps=300
    )
    top, half = (float(result.params[key]) for key in ("top", "half"))
    print(f"{name:26} loss {result.loss:10.2f}, top {top:5.1f}, half {half:.2e}")

# %%
# Why it fails without
# --------------------
# The first move takes `half` from 0.00001 to -0.1, where the law is nearly flat. The fit
# goes back to the start after more than ten steps, and halves its step sizes. But on a
# slope that keeps its sign, ten steps make a step size six times as long. With units, the
# first step of each parameter is a tenth of its size.
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
colors = dict(zip(results, ("#D55E00", "#0072B2"), strict=True))
for name, result in results.items():
    left.plot(result.history.loss, color=colors[name], label=name)
    right.plot(
        concentration, law(result.params, concentration), color=colors[name], label=name
    )
right.plot(concentration, speed, ".", color="black", ms=5, label="measured")
left.set(xlabel="step", ylabel="loss", yscale="log")
right.set(xlabel="concentration", ylabel="speed", xscale="log")
left.legend(frameon=False)
plt.show()

units = results["in_units(in_eigenbasis())"]
assert units.loss < 20, "the loss should come down to the noise of the data"
assert jnp.allclose(units.params["half"], 4e-5, rtol=0.1), "it should be near the truth"
assert results["in_eigenbasis()"].loss > 100 * units.loss, "it should need the units"
print("OK: both parameters were found, though they differ by seven orders of magnitude.")
