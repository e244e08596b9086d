r"""The kernels of one step of a fit, as compiled for an H100 and for a TPU v5e.

The compilers are on PyPI and need no device. Each wants an environment of its own:

    python -m venv h100 && h100/bin/pip install . jax==0.10.2 jaxlib==0.10.2 \
        jax-cuda12-plugin==0.10.2 jax-cuda12-pjrt==0.10.2 nvidia-cuda-nvcc-cu12
    h100/bin/python tests/accelerators/kernels.py h100

    python -m venv v5e && v5e/bin/pip install . jax==0.10.2 jaxlib==0.10.2 \
        libtpu==0.0.42.1
    v5e/bin/python tests/accelerators/kernels.py v5e

A GPU takes some microseconds to launch a kernel, so a small fit is as fast as it has few.
Counted are the fusions and copies in the innermost loop: of a bare ``fori_loop`` with
``value=``, and of ``fit`` with its history. What only a refresh of the bases does is in a
conditional of its own, and not counted.
"""

import itertools
import logging
import os
import re
import sys

import jax
import jax.numpy as jnp
import optax
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from optax_rprop import fit, in_eigenbasis, rprop

TARGETS = "h100", "v5e"
# The figures of NVIDIA's data sheet and programming guide for compute capability 9.0.
H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  memory_bandwidth: 3352320000000
  device_memory_size: 84978434048
  l2_cache_size: 52428800
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  threads_per_warp: 32
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
NETWORKS = (32, 8), (32, 32, 8), (32, *[32] * 7, 8)  # 2, 4 and 16 arrays
ROWS, STEPS = 256, 500


def device(target):
    """A device of the target, to compile for."""
    jax.config.update("jax_platforms", "cpu")  # not to look for one
    if target == "v5e":
        os.environ |= {
            "TPU_SKIP_MDS_QUERY": "1",
            "TPU_ACCELERATOR_TYPE": "v5litepod-4",
            "TPU_WORKER_HOSTNAMES": "localhost",
            "TPU_WORKER_ID": "0",
        }
        topology = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2")
    else:
        from jax._src import xla_bridge

        logging.disable(logging.ERROR)  # the plugin is found twice
        xla_bridge.discover_pjrt_plugins()
        topology = topologies.get_topology_desc(
            platform="cuda", topology_name="1x1x1", topology="1x1x1", target_config=H100
        )
    return topology.devices[0]


def compiled(function, args, device):
    place = SingleDeviceSharding(device)
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), args
    )
    return jax.jit(function).lower(*shapes).compile()


def kernels(program):
    """The fusions and the copies in the innermost loop of a compiled program."""
    text = re.sub(r"/\*.*?\*/", "", program.as_text())
    bodies = set(re.findall(r"body=%?([\w.\-]+)", text))
    computations = dict(
        re.findall(r"\n%?([\w.\-]+) \([^\n]*\{\n(.*?)\n\}", text, re.DOTALL)
    )
    inner = (computations[name] for name in bodies if name in computations)
    operations = [
        re.findall(r" (fusion|copy)\(", body) for body in inner if " while(" not in body
    ]
    return len(max(operations, key=len))


def network(widths):
    """The loss of a network of tanh layers, and the shapes of its arguments."""
    shape = jax.ShapeDtypeStruct
    params = []
    for pair in itertools.pairwise(widths):
        params += [shape(pair, jnp.float32), shape(pair[1:], jnp.float32)]

    def loss(params, x, y):
        for weight, bias in zip(params[:-2:2], params[1:-2:2], strict=True):
            x = jnp.tanh(x @ weight + bias)
        return jnp.mean((x @ params[-2] + params[-1] - y) ** 2)

    data = (shape((ROWS, width), jnp.float32) for width in (widths[0], widths[-1]))
    return loss, (params, *data)


def bare(loss, tx):
    def run(params, *data):
        def body(_, carry):
            params, state = carry
            value, grads = jax.value_and_grad(loss)(params, *data)
            updates, state = tx.update(grads, state, params, value=value)
            return optax.apply_updates(params, updates), state

        return jax.lax.fori_loop(0, STEPS, body, (params, tx.init(params)))

    return run


def fitted(loss, tx):
    return lambda params, *data: fit(loss, params, *data, optimizer=tx, max_steps=STEPS)


if __name__ == "__main__":
    if sys.argv[1:] not in [[target] for target in TARGETS]:
        sys.exit(f"usage: kernels.py {'|'.join(TARGETS)}")
    target = device(sys.argv[1])
    optimizers = {"rprop": rprop(), "in_eigenbasis": in_eigenbasis(rprop())}
    print("arrays  optimizer      bare loop  fit")
    for widths in NETWORKS:
        loss, args = network(widths)
        for name, tx in optimizers.items():
            counts = [
                kernels(compiled(make(loss, tx), args, target)) for make in (bare, fitted)
            ]
            print(
                f"{len(args[0]):6}  {name:13}  {counts[0]:9}  {counts[1]:3}", flush=True
            )
