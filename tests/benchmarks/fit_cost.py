"""What ``fit`` costs beside a bare loop of the same optimizer, warm and cold.

    python tests/benchmarks/fit_cost.py

Warm, by the number of parameters and of arrays: 200 steps of ``fit``, with its history,
and of a compiled ``fori_loop`` over ``rprop()`` with ``value=``, which has no stop rule,
no best parameters and no history. Cold: the first call in a fresh process, without any
cache, from tracing to the result, beside a loop in Python over a jitted step and beside
the compiled loop.
"""

import itertools
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from measure import arguments, interleaved, show, show_machine, write

from optax_rprop import fit, rprop

sys.path.append(str(Path(__file__).parents[1]))  # what the tests compile
from programs import bare_loop

# Widths of layers and rows of data; each layer has a matrix and a vector.
NETWORKS = {
    "545 parameters, 4 arrays": ((15, 32, 1), 500),
    "8k parameters, 6 arrays": ((30, 64, 64, 32), 1000),
    "49k parameters, 6 arrays": ((64, 160, 160, 80), 1000),
    "16 arrays": ((8, *(16,) * 7, 1), 500),
}
STEPS = 200
LARGE = 10_000_000
LARGE_NETWORK = (1024, 2600, 2600, 10), 512  # 9.4 million parameters
COLD = "digits", "6 arrays", "100 arrays", "100 scalars in Python"


def network(widths, rows):
    """The loss of a network of tanh layers, its parameters and its data."""
    keys = jax.random.split(jax.random.key(0), len(widths) + 1)
    x = jax.random.normal(keys[0], (rows, widths[0]))
    y = jax.random.normal(keys[1], (rows, widths[-1]))
    pairs = itertools.pairwise(widths)
    params = [
        {"w": jax.random.normal(key, pair) / np.sqrt(pair[0]), "b": jnp.zeros(pair[1])}
        for key, pair in zip(keys[2:], pairs, strict=True)
    ]

    def loss(params, x, y):
        *hidden, last = params
        for layer in hidden:
            x = jnp.tanh(x @ layer["w"] + layer["b"])
        return jnp.mean((x @ last["w"] + last["b"] - y) ** 2)

    return loss, params, x, y


def two_scalars():
    x = jax.random.normal(jax.random.key(0), (100,))

    def loss(params, x, y):
        return jnp.mean((params["w"] * x + params["b"] - y) ** 2)

    return loss, {"w": jnp.array(0.0), "b": jnp.array(0.0)}, x, 2 * x + 3


def one_large():
    """A loss that costs less than its update: what remains is ``fit``'s own."""
    key = jax.random.key(0)

    def loss(params, target):
        return jnp.mean((params - target) ** 2)

    return loss, jnp.zeros(LARGE), jax.random.normal(key, (LARGE,))


def bare(loss, steps):
    """The parameters after so many steps of a loop without all that ``fit`` adds."""
    run = bare_loop(loss, rprop(), steps)
    return jax.jit(lambda *args: run(*args)[0])


def warm(problem, steps, rounds):
    loss, *args = problem
    loop, tx = bare(loss, steps), rprop()
    settings = {"max_steps": steps, "patience": np.inf}
    timings = interleaved(
        {
            "bare": lambda: loop(*args),
            "fit": lambda: fit(loss, *args, optimizer=tx, **settings).params,
        },
        rounds,
    )
    per_step = {name: timing.median / steps for name, timing in timings.items()}
    return {
        "steps": steps,
        **{f"{name}, us a step": 1e6 * seconds for name, seconds in per_step.items()},
        "ratio": per_step["fit"] / per_step["bare"],
    }


def many_scalars(count):
    x = jax.random.normal(jax.random.key(0), (50,))

    def loss(params, x):
        terms = [p * jnp.cos(k * x) for k, p in enumerate(params.values())]
        return jnp.mean((sum(terms) - x) ** 2)

    return loss, {f"p{k}": jnp.array(0.1) for k in range(count)}, x


def cold_problem(name):
    if name == "digits":
        return network((64, 16, 10), 1797)
    if name == "6 arrays":
        return network((15, 32, 32, 1), 500)
    if name == "100 arrays":
        return network((8, *(8,) * 49, 1), 100)
    return many_scalars(100)


def first_call(name, method):
    """Seconds of a first call in this process; the devices are there already."""
    loss, params, *data = cold_problem(name)
    steps = 100
    jax.block_until_ready((params, data))
    began = time.perf_counter()
    if method == "fit":
        fit(loss, params, *data, max_steps=steps, patience=np.inf)
    elif method == "bare loop":
        jax.block_until_ready(bare(loss, steps)(params, *data))
    else:
        tx = rprop()

        @jax.jit
        def step(params, state, *data):
            value, grads = jax.value_and_grad(loss)(params, *data)
            updates, state = tx.update(grads, state, params, value=value)
            return optax.apply_updates(params, updates), state, value

        state = tx.init(params)
        for _ in range(steps):
            params, state, _ = step(params, state, *data)
        jax.block_until_ready(params)
    return time.perf_counter() - began


def cold(name, rounds):
    """The medians of first calls, each in a process of its own."""
    seconds = {"fit": [], "bare loop": [], "Python loop": []}
    environment = {k: x for k, x in os.environ.items() if "COMPILATION_CACHE" not in k}
    for _ in range(rounds):
        for method, found in seconds.items():
            command = [sys.executable, __file__, "--first-call", name, method]
            output = subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True
            )
            found.append(float(output.stdout))
    row = {f"{method}, s": statistics.median(x) for method, x in seconds.items()}
    for other in ("bare loop", "Python loop"):
        row[f"over the {other}"] = row["fit, s"] / row[f"{other}, s"]
    return row


if __name__ == "__main__":
    parser = arguments("fit_cost", __doc__, rounds=15)
    parser.add_argument("--cold-rounds", type=int, default=3)
    parser.add_argument("--first-call", nargs=2, help="for this script alone")
    options = parser.parse_args()
    if options.first_call:
        print(first_call(*options.first_call))
        sys.exit()
    show_machine()
    problems = {
        "two scalars": two_scalars(),
        **{name: network(*sizes) for name, sizes in NETWORKS.items()},
    }
    rows = []
    for name, problem in problems.items():
        rows.append({"problem": name, **warm(problem, STEPS, options.rounds)})
    large = {
        "9M parameters, 6 arrays": network(*LARGE_NETWORK),
        "1e7 in one array": one_large(),
    }
    for name, problem in large.items():
        rows.append({"problem": name, **warm(problem, 20, options.rounds // 3)})
    show("warm", rows)
    tables = {"warm": rows}
    if options.cold_rounds:
        tables["cold"] = [
            {"problem": name, **cold(name, options.cold_rounds)} for name in COLD
        ]
        show("cold", tables["cold"])
    write(options, tables)
