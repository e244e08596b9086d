"""What programs are compiled for: one chip or many of them, none of which is here.

XLA's compilers for NVIDIA GPUs and for TPUs run on any machine, ahead of time.
"""

import logging
import os

import numpy as np

# What each family of targets needs in an environment of its own, beside jax and optax:
# the two compilers must not meet. Nothing of CUDA is needed but ptxas, in the last one.
PACKAGES = {
    "gpu": [
        "jax==0.10.2",
        "jaxlib==0.10.2",
        "jax-cuda12-plugin==0.10.2",
        "jax-cuda12-pjrt==0.10.2",
        "nvidia-cuda-nvcc-cu12==12.9.86",
    ],
    "tpu": ["jax==0.10.2", "jaxlib==0.10.2", "libtpu==0.0.42.1"],
}
FAMILIES = {"h100": "gpu", "v5e": "tpu", "v5p": "tpu", "v6e": "tpu"}
# The topology of so many chips. One chip is the first of the smallest one.
TOPOLOGIES = {
    "h100": {1: "1x1x1", 8: "1x1x8"},
    "v5e": {1: "v5e:2x2", 8: "v5e:2x4", 256: "v5e:16x16"},
    "v5p": {1: "v5p:2x2x1", 8: "v5p:2x2x2", 256: "v5p:8x8x4"},
    "v6e": {1: "v6e:2x2", 8: "v6e:2x4", 256: "v6e:16x16"},
}
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
# What libtpu would ask of a machine that has one. Set before jax looks for its backends.
TPU_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
}


class Target:
    """A kind of chip, by the name of one of ``FAMILIES``."""

    def __init__(self, name):
        self.name = name
        self.is_gpu = FAMILIES[name] == "gpu"

    def devices(self, count=1):
        """The first ``count`` chips of the smallest topology that has as many."""
        import jax
        from jax.experimental import topologies

        jax.config.update("jax_platforms", "cpu")  # not to look for one
        topology = TOPOLOGIES[self.name][count]
        if self.is_gpu:
            from jax._src import xla_bridge

            logging.disable(logging.ERROR)  # the plugin is found twice
            xla_bridge.discover_pjrt_plugins()
            described = topologies.get_topology_desc(
                platform="cuda",
                topology_name=topology,
                topology=topology,
                target_config=H100,
            )
        else:
            os.environ |= TPU_ENVIRONMENT
            described = topologies.get_topology_desc(
                platform="tpu", topology_name=topology
            )
        return described.devices[:count]

    def place(self):
        """On one chip."""
        from jax.sharding import SingleDeviceSharding

        return SingleDeviceSharding(self.devices()[0])

    def mesh(self, count):
        """A mesh of ``count`` chips with one axis, ``"x"``."""
        from jax.sharding import AxisType, Mesh

        return Mesh(np.array(self.devices(count)), ("x",), axis_types=(AxisType.Auto,))
