"""What a step would cost for 1e9 to 1e12 parameters: compiled, counted, multiplied.

    python tests/benchmarks/scale.py [--tokens 4e6] [--utilisation 0.4]

Nothing is timed. The bytes come from programs compiled here for a CPU, for one device and
for eight; the speeds from data sheets. `--memory`, `--bandwidth`, `--flops`, `--link`,
`--group` and `--network` take their place for all accelerators.
"""

import argparse
import math
import os
import re
from pathlib import Path
from typing import NamedTuple

# Before jax is imported.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
import optax
from figures import look, plt, save
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from measure import RESULTS, show, show_machine, write

import optax_rprop

N, WIDTH, BATCHES = 2**22, 512, 8  # what is compiled here
PARAMETERS = (1e9, 1e10, 1e11, 1e12)
DEVICES = (1, 10, 100, 1000, 10_000)
OPTIMIZERS = {
    "rprop": optax_rprop.rprop(),
    "rprop_8bit": optax_rprop.rprop_8bit(),
    "optax.adam": optax.adam(1e-3),
    "optax.sgd": optax.sgd(1e-2),
}


class Accelerator(NamedTuple):
    """What its data sheet says; in bytes, and bytes a second in one direction."""

    memory: float
    bandwidth: float  # of that memory
    flops: float  # a second, dense bfloat16
    link: float  # from a device to the others of its group
    group: int  # devices with such links
    network: float  # of a device, between groups


ACCELERATORS = {
    # NVIDIA's data sheets of the H100 SXM (80 GB, 3.35 TB/s, 1,979 TFLOP/s with sparsity,
    # of which half are dense, NVLink 900 GB/s both ways) and of the DGX H100 (8 of them
    # and 8 network ports of 400 Gbit/s).
    "H100 SXM": Accelerator(80e9, 3.35e12, 989e12, 450e9, 8, 50e9),
    # Google's page on the Cloud TPU v5e (16 GB, 819 GB/s, 197 TFLOP/s, links of 1,600
    # Gbit/s; a pod of 256 chips shares a network of 6.4 Tbit/s).
    "TPU v5e": Accelerator(16e9, 819e9, 197e12, 200e9, 256, 6.4e12 / 8 / 256),
}


class Cost(NamedTuple):
    """Bytes a parameter."""

    state: float
    kept: float  # parameter, gradient and state
    least: float  # that an update moves: parameter and state in and out, gradient in
    compiled: float  # that the program for the CPU moves
    arguments: float
    outputs: float
    temporaries: float


def updated(optimizer, params, state, gradients):
    updates, state = optimizer.update(gradients, state, params)
    return optax.apply_updates(params, updates), state


def update_cost(optimizer, dtype):
    def step(params, state, gradients):
        return updated(optimizer, params, state, gradients)

    params = jax.ShapeDtypeStruct((N,), dtype)
    state = jax.eval_shape(optimizer.init, params)
    lowered = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, params)
    program = lowered.compile()
    memory = program.memory_analysis()
    of_params = params.dtype.itemsize
    arrays = [leaf for leaf in jax.tree.leaves(state) if leaf.ndim]  # a scalar is nothing
    of_state = sum(leaf.size * leaf.dtype.itemsize for leaf in arrays) / N
    return Cost(
        state=of_state,
        kept=2 * of_params + of_state,
        least=3 * of_params + 2 * of_state,
        compiled=program.cost_analysis()["bytes accessed"] / N,
        arguments=memory.argument_size_in_bytes / N,
        outputs=memory.output_size_in_bytes / N,
        temporaries=memory.temp_size_in_bytes / N,
    )


def loss_fn(params, x):
    for w in params:
        x = jnp.tanh(x @ w)
    return jnp.mean(jnp.square(x), dtype=jnp.float32)


def summed(params, batches):
    """The loss and its gradient, summed over batches."""

    def add(total, x):
        return jax.tree.map(jnp.add, total, jax.value_and_grad(loss_fn)(params, x)), None

    first = jax.value_and_grad(loss_fn)(params, batches[0])
    return jax.lax.scan(add, first, batches[1:])[0]


def all_at_once(params, batches, mesh):
    return jax.value_and_grad(loss_fn)(params, batches.reshape(-1, WIDTH))


def batches_in_jit(params, batches, mesh):
    return summed(params, batches)


def batches_in_shard_map(params, batches, mesh):
    def local(params, batches):  # every device sums its own, and then all of them do
        params = jax.lax.pcast(params, "data", to="varying")
        return jax.lax.psum(summed(params, batches), "data")

    specs = (P(), P(None, "data"))
    return jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=P())(params, batches)


def reduced_bytes(optimizer, dtype, gradient):
    """Bytes a parameter that a data-parallel step reduces over its devices."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))

    def step(params, state, batches):
        loss, gradients = gradient(params, batches, mesh)
        return *updated(optimizer, params, state, gradients), loss

    def arrays(tree, spec):
        sharding = NamedSharding(mesh, spec)
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
        )

    params = [jax.ShapeDtypeStruct((WIDTH, WIDTH), dtype)] * 4
    state = jax.eval_shape(optimizer.init, params)
    batches = jax.ShapeDtypeStruct((BATCHES, 64, WIDTH), dtype)
    spec = P("data") if gradient is all_at_once else P(None, "data")
    lowered = jax.jit(step, donate_argnums=(0, 1)).lower(
        arrays(params, P()), arrays(state, P()), arrays(batches, spec)
    )
    return all_reduced(lowered.compile().as_text()) / (4 * WIDTH**2)


def all_reduced(program):
    """The bytes of all reductions in a compiled program; in a loop, of all its rounds."""
    total, entry = 0, False
    for line in program.splitlines():
        if not line.startswith(" "):  # where a computation begins
            entry = line.startswith("ENTRY")
        found = re.search(r"= (.*) all-reduce(-start)?\(", line)
        others = "all-gather(", "all-to-all(", "reduce-scatter(", "collective-permute("
        assert not any(f" {name}" in line for name in others), line
        for dtype, shape in re.findall(r"(\w+)\[([\d,]*)\]", found[1] if found else ""):
            size = math.prod(int(n) for n in shape.split(",") if n)
            rounds = 1 if entry else BATCHES - 1  # the one loop of these programs
            total += rounds * size * jnp.dtype(NAMES[dtype]).itemsize
    return total


NAMES = {"f32": "float32", "bf16": "bfloat16"}


def reduction_seconds(n_bytes, devices, accelerator):
    """Within the groups, between them a part for each device, and within them again."""
    group = min(devices, accelerator.group)
    groups = -(-devices // group)
    within = 2 * (group - 1) / group * n_bytes / accelerator.link
    between = 2 * (groups - 1) / groups * n_bytes / group / accelerator.network
    return within + between


def compute_seconds(parameters, tokens, devices, accelerator, utilisation):
    """Forward and backward: 2 and 4 operations a parameter and token."""
    return 6 * parameters * tokens / (devices * accelerator.flops * utilisation)


def steps(accelerator, costs, options):
    """Seconds of a step with float32 parameters, and the update's share of it."""
    rows = []
    for parameters in PARAMETERS:
        for devices in DEVICES:
            compute = compute_seconds(
                parameters, options.tokens, devices, accelerator, options.utilisation
            )
            reduction = reduction_seconds(4 * parameters, devices, accelerator)
            row = {"parameters": f"{parameters:.0e}", "devices": devices}
            row |= {"compute s": compute, "reduction s": reduction}
            for how, share in (("sharded", devices), ("replicated", 1)):
                for name in ("rprop", "rprop_8bit", "optax.adam"):
                    cost = costs[name]
                    update = cost.least * parameters / share / accelerator.bandwidth
                    fits = cost.kept * parameters / share <= accelerator.memory
                    percent = 100 * update / (compute + reduction + update)
                    row[f"{name}, {how} %"] = percent if fits else None
            rows.append(row)
    return rows


def whole_epochs(accelerator, costs, options):
    """A step over all the data, on the largest number of devices."""
    rows = []
    for parameters in PARAMETERS:
        tokens, devices = options.tokens_a_parameter * parameters, DEVICES[-1]
        compute = compute_seconds(
            parameters, tokens, devices, accelerator, options.utilisation
        )
        reduction = reduction_seconds(4 * parameters, devices, accelerator)
        update = costs["rprop"].least * parameters / devices / accelerator.bandwidth
        row = {"parameters": f"{parameters:.0e}", "tokens": f"{tokens:.0e}"}
        row |= {"compute h": compute / 3600, "reduction s": reduction}
        rows.append(row | {"rprop, sharded ms": 1000 * update})
    return rows


def draw(title, parameters, rows):
    """The update's share of a step over the number of devices."""
    figure, axes = plt.subplots(figsize=(7, 3.6))
    rows = [row for row in rows if row["parameters"] == parameters]
    for name in ("optax.adam", "rprop", "rprop_8bit"):
        for how, linestyle in (("replicated", "-"), ("sharded", ":")):
            percents = [row[f"{name}, {how} %"] or math.nan for row in rows]
            style = look(name, marker=True) | {"linestyle": linestyle}
            style |= {"label": f"{name}, {how}"}
            axes.loglog([row["devices"] for row in rows], percents, **style)
    axes.set(title=title, xlabel="devices", ylabel="update, % of a step")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, "scale")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "scale.json")
    parser.add_argument("--tokens", type=float, default=4e6, help="in a step")
    parser.add_argument(
        "--tokens-a-parameter", type=float, default=20, help="in the data"
    )
    parser.add_argument("--utilisation", type=float, default=0.4, help="of the FLOP/s")
    for field in Accelerator._fields:
        parser.add_argument(f"--{field}", type=float, help="instead of the data sheets'")
    options = parser.parse_args()
    given = {x: y for x in Accelerator._fields if (y := getattr(options, x)) is not None}
    accelerators = {name: a._replace(**given) for name, a in ACCELERATORS.items()}
    show_machine()

    costs = {
        dtype: {name: update_cost(tx, dtype) for name, tx in OPTIMIZERS.items()}
        for dtype in ("float32", "bfloat16")
    }
    singles = costs["float32"]
    tables = {
        "bytes a parameter": [
            {"dtype": dtype, "optimizer": name} | cost._asdict()
            for dtype, every in costs.items()
            for name, cost in every.items()
        ],
        "bytes a parameter that a step reduces, 8 devices": [
            {"dtype": dtype, "gradient": gradient.__name__}
            | {n: reduced_bytes(tx, dtype, gradient) for n, tx in OPTIMIZERS.items()}
            for dtype in costs
            for gradient in (all_at_once, batches_in_jit, batches_in_shard_map)
        ],
        "GB of float32 state a device, sharded (1 device: replicated)": [
            {"parameters": f"{parameters:.0e}", "devices": devices}
            | {n: c.state * parameters / devices / 1e9 for n, c in singles.items()}
            for parameters in PARAMETERS
            for devices in DEVICES
        ],
        "data sheets": [
            {"accelerator": n} | a._asdict() for n, a in accelerators.items()
        ],
        "ms of an update of 1e9 float32 parameters on a device": [
            {"accelerator": name, "bytes": bytes_of}
            | {
                n: 1000 * 1e9 * getattr(cost, bytes_of) / accelerator.bandwidth
                for n, cost in singles.items()
            }
            for name, accelerator in accelerators.items()
            for bytes_of in ("least", "compiled")
        ],
    }
    for name, accelerator in accelerators.items():
        tables[f"{name}: fewest devices that hold parameters, gradients and state"] = [
            {"dtype": dtype, "parameters": f"{parameters:.0e}"}
            | {
                n: math.ceil(cost.kept * parameters / accelerator.memory)
                for n, cost in every.items()
            }
            for dtype, every in costs.items()
            for parameters in PARAMETERS
        ]
        rows = steps(accelerator, singles, options)
        tables[f"{name}: a step over {options.tokens:.0e} tokens"] = rows
        tables[f"{name}: a step over all the data, {DEVICES[-1]} devices"] = whole_epochs(
            accelerator, singles, options
        )
        if name == "H100 SXM":
            draw(f"Derived: {name}, 1e9 parameters", "1e+09", rows)
    for title, rows in tables.items():
        show(title, rows)
    write(options, tables)
