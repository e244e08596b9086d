"""Checkpoints and a crash
=======================

Save a fit every few steps, and go on after a crash as though there had been none.

The model is a logistic regression on scikit-learn's breast cancer data. Orbax writes
numbered checkpoints, and a new one never touches the one before. So a crash during a save
loses only that save. If the newest cannot be read, the fit goes on from the one before.
Run it, kill it, and run it again with the same folder. Needs matplotlib, orbax-checkpoint
and scikit-learn::

    python examples/checkpoint.py [--folder checkpoints]
"""

import argparse
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from orbax.checkpoint import v1 as ocp
from sklearn.datasets import load_breast_cancer

from optax_rprop import fit

NUM_STEPS, EVERY = 200, 20
parser = argparse.ArgumentParser()
parser.add_argument("--folder", type=Path, help="a temporary one if not given")
folder = parser.parse_args().folder

x, y = load_breast_cancer(return_X_y=True)
x = jnp.asarray((x - x.mean(axis=0)) / x.std(axis=0), "float32")
y = jnp.asarray(y, "float32")
params = {"w": jnp.zeros(x.shape[1]), "b": jnp.zeros(())}


def loss_fn(params, x, y):
    logits = x @ params["w"] + params["b"]
    penalty = 0.01 * jnp.sum(params["w"] ** 2)
    return optax.sigmoid_binary_cross_entropy(logits, y).mean() + penalty


# %%
# The loop that saves
# -------------------
def run(folder, until):
    """Fit from the last checkpoint in ``folder`` until a step; return the state."""
    # A checkpoint is restored into the state of the first steps, which has the same
    # structure, shapes, dtypes and shardings. Without such a target Orbax returns dicts.
    state, step = fit(loss_fn, params, x, y, max_steps=EVERY).last, EVERY
    keep = ocp.training.preservation_policies.LatestN(2)
    with ocp.training.Checkpointer(folder, preservation_policy=keep) as checkpoints:
        if checkpoints.latest is not None:
            step = checkpoints.latest.step
            try:
                state = checkpoints.load(step, state)
            except Exception as error:
                print(f"step {step} cannot be read: {error}")
                step = checkpoints.checkpoints[-2].step
                state = checkpoints.load(step, state)
            print(f"went on from step {step}")
        while step < until:
            state = fit(loss_fn, params, x, y, max_steps=EVERY, resume=state).last
            step += EVERY
            # Returns when the step is safe on disk. Overwrites one that cannot be read.
            checkpoints.save(step, state, overwrite=True)
    return state


# %%
# A run that stops half way, and one that goes on
# -----------------------------------------------
with tempfile.TemporaryDirectory() as temporary:
    folder = (folder or Path(temporary) / "checkpoints").absolute()
    run(folder, NUM_STEPS // 2)
    state = run(folder, NUM_STEPS)

# %%
# Compared with a fit in one piece
# --------------------------------
result = fit(loss_fn, params, x, y, max_steps=NUM_STEPS)
whole = result.last
print(f"loss {state.best_loss:.6f}, and {whole.best_loss:.6f} without a stop")
same = jax.tree.map(np.array_equal, state, whole)
assert all(jax.tree.leaves(same)), "a fit in two parts should be that in one, bit for bit"
result.history.plot()
plt.show()
accuracy = jnp.mean((x @ state.best_params["w"] + state.best_params["b"] > 0) == y)
assert accuracy > 0.97, f"accuracy should pass 0.97, got {accuracy}"
print(f"OK: bit for bit the same, accuracy {accuracy:.3f}.")
