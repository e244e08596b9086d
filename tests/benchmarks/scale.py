"""What a step would cost for 1e9 to 1e12 parameters: compiled, counted, multiplied.

    python tests/benchmarks/scale.py [--tokens 4e6] [--utilisation 0.4]

Nothing is timed. The bytes of the CPU come from programs compiled here, for one device
and for eight; those of the accelerators from what `tests/accelerators/run.py` read; the
speeds from data sheets. `--memory`, `--bandwidth`, `--flops`, `--link`, `--group` and
`--network` take their place for all accelerators.
"""

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import NamedTuple

# Before jax is imported.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
sys.path.append(
    str(Path(__file__).parents[1])
)  # what the tests compile and how they read

import jax
import optax
from figures import look, plt, save
from gradients import (
    all_at_once,
    batches_in_jit,
    batches_in_shard_map,
    data_parallel,
    reduced_bytes,
)
from jax.sharding import AxisType
from measure import RESULTS, show, show_machine, write
from program_reader import Program
from programs import step_of

import optax_rprop

N = 2**22  # parameters of the update that is compiled here
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

    target: str  # what programs are compiled for
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
    "H100 SXM": Accelerator("h100", 80e9, 3.35e12, 989e12, 450e9, 8, 50e9),
    # Google's page on the Cloud TPU v5e (16 GB, 819 GB/s, 197 TFLOP/s, links of 1,600
    # Gbit/s; a pod of 256 chips shares a network of 6.4 Tbit/s).
    "TPU v5e": Accelerator("v5e", 16e9, 819e9, 197e12, 200e9, 256, 6.4e12 / 8 / 256),
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


def update_cost(optimizer, dtype):
    params = jax.ShapeDtypeStruct((N,), dtype)
    state = jax.eval_shape(optimizer.init, params)
    step = jax.jit(step_of(optimizer), donate_argnums=(0, 1))
    program = step.lower(params, state, params).compile()
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


class Compiled(NamedTuple):
    """What was read of the program of an update that was compiled for an accelerator."""

    bytes: float  # a parameter
    estimate: float | None  # the compiler's, in ms, for 1e9 parameters


def compiled_for(target, dtype):
    """By optimizer; from the tables of ``tests/accelerators/run.py``."""
    tables = json.loads((RESULTS / "accelerators.json").read_text())["tables"]
    names = {"irprop-": "rprop", "8bit-irprop-": "rprop_8bit"}
    return {
        names.get(row["optimizer"], row["optimizer"]): Compiled(
            row["bytes"], row["estimate, ms for 1e9"]
        )
        for row in tables["update"] + tables["others"]
        if (row["target"], row["dtype"]) == (target, dtype) and not row.get("value")
    }


def reduced(optimizer, dtype, gradient):
    """Bytes a parameter that a step reduces over eight devices of the CPU."""
    mesh = jax.make_mesh((8,), ("x",), axis_types=(AxisType.Auto,))
    lowered, num_params = data_parallel(optimizer, dtype, gradient, mesh)
    return reduced_bytes(Program(lowered.compile())) / num_params


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
    moved = compiled_for(accelerator.target, "float32")
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
                    n_bytes = moved[name].bytes * parameters / share
                    update = n_bytes / accelerator.bandwidth
                    fits = cost.kept * parameters / share <= accelerator.memory
                    percent = 100 * update / (compute + reduction + update)
                    row[f"{name}, {how} %"] = percent if fits else None
            rows.append(row)
    return rows


def whole_epochs(accelerator, options):
    """A step over all the data, on the largest number of devices."""
    moved = compiled_for(accelerator.target, "float32")["rprop"].bytes
    rows = []
    for parameters in PARAMETERS:
        tokens, devices = options.tokens_a_parameter * parameters, DEVICES[-1]
        compute = compute_seconds(
            parameters, tokens, devices, accelerator, options.utilisation
        )
        reduction = reduction_seconds(4 * parameters, devices, accelerator)
        update = moved * parameters / devices / accelerator.bandwidth
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
    for field in Accelerator._fields[1:]:
        parser.add_argument(f"--{field}", type=float, help="instead of the data sheets'")
    options = parser.parse_args()
    given = {
        x: y for x in Accelerator._fields[1:] if (y := getattr(options, x)) is not None
    }
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
            | {n: reduced(tx, dtype, gradient) for n, tx in OPTIMIZERS.items()}
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
        "bytes a parameter of an update, compiled for accelerators": [
            {"accelerator": name, "dtype": dtype}
            | {
                n: compiled.bytes
                for n, compiled in compiled_for(accelerator.target, dtype).items()
                if n in OPTIMIZERS
            }
            for name, accelerator in accelerators.items()
            for dtype in costs
        ],
        "ms of an update of 1e9 float32 parameters on a device": [
            {"accelerator": name, "from": source}
            | {
                n: compiled.estimate
                if source == "the compiler's estimate"
                else 1000 * 1e9 * compiled.bytes / accelerator.bandwidth
                for n, compiled in compiled_for(accelerator.target, "float32").items()
                if n in OPTIMIZERS
            }
            for name, accelerator in accelerators.items()
            for source in ("compiled bytes", "the compiler's estimate")
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
            accelerator, options
        )
        if name == "H100 SXM":
            draw(f"Derived: {name}, 1e9 parameters", "1e+09", rows)
    for title, rows in tables.items():
        show(title, rows)
    write(options, tables)
