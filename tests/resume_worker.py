"""A fit that saves every few steps and goes on from what it finds; run to be killed.

    python resume_worker.py DIRECTORY OUT RULE DEVICES

It prints a line after every save, and writes its last state to OUT. With several DEVICES
the parameters are sharded over them.
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from orbax.checkpoint import v1 as ocp

import optax_rprop

directory, out, rule, devices = sys.argv[1:]
NUM_STEPS, EVERY = 60, 3
SHAPE = (2**17,)
if rule == "in_eigenbasis":
    SHAPE = (2**13, 16)  # its rows are too many to turn them


def optimizer():
    if rule == "in_eigenbasis":
        return optax_rprop.in_eigenbasis(optax_rprop.rprop(variant="irprop+"))
    return getattr(optax_rprop, rule)()


def loss_fn(params):
    scale = jnp.linspace(0.1, 3.0, params["w"].size).reshape(SHAPE)
    waves = jnp.sin(3 * params["w"]) + scale * (params["w"] - scale) ** 2
    return waves.mean() + (params["b"] - 0.7) ** 2


mesh = jax.make_mesh((int(devices),), ("x",), axis_types=(AxisType.Auto,))
params = jax.device_put(
    {"w": jnp.zeros(SHAPE, "float32"), "b": jnp.zeros((), "float32")},
    {"w": NamedSharding(mesh, P("x")), "b": NamedSharding(mesh, P())},
)
settings = {"optimizer": optimizer(), "max_steps": EVERY}

# The first steps are the target, too, into which a checkpoint is restored: it has the
# structure, shapes, dtypes and shardings.
state = optax_rprop.fit(loss_fn, params, **settings).last
with ocp.training.Checkpointer(
    pathlib.Path(directory),
    preservation_policy=ocp.training.preservation_policies.LatestN(2),
) as checkpoints:
    if checkpoints.latest is None:
        step = EVERY
        checkpoints.save(step, state)
    else:
        step = checkpoints.latest.step
        state = checkpoints.load(step, state)
    print("began at", step, flush=True)
    while step < NUM_STEPS:
        state = optax_rprop.fit(loss_fn, params, resume=state, **settings).last
        step += EVERY
        checkpoints.save(step, state)
        print("saved", step, flush=True)

assert state.params["w"].sharding.is_equivalent_to(params["w"].sharding, len(SHAPE))
np.savez(out, *map(np.asarray, jax.tree.leaves(state)))
