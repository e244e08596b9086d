"""Several processes
=================

Train on several processes, each of which loads only its own part of the data.

The model is a linear classifier of scikit-learn's 1,797 handwritten digits. The rows lie
on all devices of all processes, and every step of `fit` sees every row. So more devices
change only the run time, up to rounding. Without arguments the script is one process.
This runs two processes on one machine::

    python examples/multi_host.py --coordinator 127.0.0.1:9876 --processes 2 --process 0 &
    python examples/multi_host.py --coordinator 127.0.0.1:9876 --processes 2 --process 1

On a cluster JAX finds the processes by itself, for example under Slurm or on a TPU pod::

    srun python examples/multi_host.py --cluster [--out parameters.npz]
"""

import argparse
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from sklearn.datasets import load_digits

from optax_rprop import FitStatus, fit

PENALTY = 0.001  # on the parameters: without it the loss has no minimum
parser = argparse.ArgumentParser()
parser.add_argument("--cluster", action="store_true", help="let JAX find the processes")
parser.add_argument("--coordinator", help="address and port of process 0")
parser.add_argument("--processes", type=int, help="how many there are")
parser.add_argument("--process", type=int, help="which of them this is, from 0")
parser.add_argument("--out", help="where process 0 writes the parameters")
options = parser.parse_args()
if options.cluster or options.coordinator:  # before JAX computes anything
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # for CPUs
    jax.distributed.initialize(options.coordinator, options.processes, options.process)

# %%
# Each process loads its own rows
# -------------------------------
# A large data set would be many files, and every process would open its own.
images, digits = load_digits(return_X_y=True)  # a pixel is a number from 0 to 16
mine = slice(jax.process_index(), None, jax.process_count())
local = {"x": images[mine] / 16, "y": digits[mine], "weight": np.ones_like(digits[mine])}
# All devices hold the same number of rows. Some rows are empty and have a weight of 0, so
# the mean is exact for any number of rows and devices.
rows_per_device = -(-len(images) // jax.device_count())
missing = rows_per_device * jax.local_device_count() - len(local["x"])
local = {k: np.pad(v, [(0, missing), (0, 0)][: v.ndim]) for k, v in local.items()}

mesh = jax.make_mesh((jax.device_count(),), ("rows",), axis_types=(AxisType.Auto,))
data = jax.make_array_from_process_local_data(NamedSharding(mesh, P("rows")), local)
w = 0.01 * jax.random.normal(jax.random.key(0), (64, 10))  # the same in each process
params = {"w": w, "b": jnp.zeros(10)}
params = jax.device_put(params, NamedSharding(mesh, P()))  # all of them on every device


def loss_fn(params, data):
    logits = data["x"] @ params["w"] + params["b"]
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, data["y"])
    penalty = PENALTY * sum(jnp.sum(p**2) for p in jax.tree.leaves(params))
    return jnp.average(losses, weights=data["weight"]) + penalty


# %%
# One fit
# -------
# Every process has to do the same. So there is no `progress`, which looks at the clock.
result = fit(loss_fn, params, data, step_tol=1e-4)

multihost_utils.assert_equal(result.params, "the processes have different parameters")
fitted = jax.tree.map(np.asarray, result.params)  # each process has all of them
checksum = zlib.crc32(fitted["w"].tobytes() + fitted["b"].tobytes())
print(f"process {jax.process_index()} of {jax.process_count()}: checksum {checksum:08x}")
if jax.process_index() == 0:
    print(f"{result.status.name}, {result.num_steps} steps, loss {result.loss:.6f}")
    if options.out:
        np.savez(options.out, **fitted)
    right = (images / 16 @ fitted["w"] + fitted["b"]).argmax(axis=1) == digits
    assert result.status == FitStatus.STEP_CONVERGED, f"it ended with {result.status!r}"
    assert right.mean() > 0.97, f"it should know 97 % of the digits, not {right.mean()}"
    print(f"OK: {right.mean():.1%} right with {jax.device_count()} device(s).")
jax.distributed.shutdown()
