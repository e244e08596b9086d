"""A curve with bounds
===================

Fit a decay whose three parameters may not be negative.

A signal decays towards a floor, but only its beginning was measured. So the data can
hardly tell the floor from the rate, and noise makes the best floor negative. `in_box`
does not let it become negative. The fit ends exactly at the bound, and the other two
parameters are the best ones for it. Needs matplotlib::

    python examples/bounds.py
"""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from optax_rprop import fit, in_box, in_eigenbasis, rprop

rng = np.random.default_rng(2)
t = np.linspace(0.0, 0.6, 30, dtype="float32")
y = 5 * np.exp(-2 * t) + rng.normal(0, 0.15, t.shape).astype("float32")
start = {"height": jnp.array(1.0), "rate": jnp.array(1.0), "floor": jnp.array(0.5)}


def curve(params, t):
    return params["height"] * jnp.exp(-params["rate"] * t) + params["floor"]


def loss_fn(params, t, y):
    return jnp.mean((curve(params, t) - y) ** 2)


# %%
# Without and with the bound
# --------------------------
# Rate and floor are strongly correlated, so both fits use `in_eigenbasis`.
inner = in_eigenbasis(rprop())
results = {}
for name, optimizer in {"free": inner, "in a box": in_box(inner, 0.0, None)}.items():
    result = results[name] = fit(loss_fn, start, t, y, optimizer=optimizer, step_tol=1e-5)
    fitted = {key: round(float(p), 3) for key, p in result.params.items()}
    print(f"{name:8}  {result.status.name}, loss {result.loss:.5f}, {fitted}")
print(f"truth     loss {np.mean((5 * np.exp(-2 * t) - y) ** 2):.5f}, height 5, rate 2")

# %%
# What the bound changes
# ----------------------
# Where there are measurements, the two curves agree. Beyond them the free one turns
# negative.
later = np.linspace(0.0, 2.0, 200)
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.plot(t, y, ".", color="black", ms=4, label="measured")
axes.plot(later, 5 * np.exp(-2 * later), color="0.75", lw=6, label="truth")
axes.plot(later, curve(results["free"].params, later), color="#D55E00", label="free")
axes.plot(
    later, curve(results["in a box"].params, later), color="#0072B2", label="in a box"
)
axes.axhline(0, color="0.5", lw=1)
axes.set(xlabel="time", ylabel="signal")
axes.legend(frameon=False)
plt.show()

assert results["free"].params["floor"] < -0.5, "noise should pull the floor below zero"
assert results["in a box"].params["floor"] == 0, "the floor should be at its bound"
print("OK: the floor is exactly at its bound.")
