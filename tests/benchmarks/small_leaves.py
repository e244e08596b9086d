"""300 small leaves: tracing, lowering and compiling an update, and running it.

    python tests/benchmarks/small_leaves.py

A large model of small arrays is where the overhead of a transformation shows. Nothing is
cached: every round traces and compiles from the start.
"""

import time

import jax
import jax.numpy as jnp
import optax
from measure import arguments, in_turn, interleaved, show, show_machine, timing, write

import optax_rprop

SHAPES = [
    (),
    (8,),
    (16,),
    (64,),
    (1, 32),
    (8, 8),
    (16, 8),
    (32, 16),
    (3, 3, 4),
    (2, 3, 5),
]
LEAVES = 300
TRANSFORMATIONS = {
    "optax.rprop": optax.rprop(0.1),
    "optax.adam": optax.adam(1e-3),
    "rprop": optax_rprop.rprop(),
}
if hasattr(optax_rprop, "rprop_8bit"):
    TRANSFORMATIONS["rprop_8bit"] = optax_rprop.rprop_8bit()


def leaves(seed):
    shapes = [SHAPES[i % len(SHAPES)] for i in range(LEAVES)]
    keys = jax.random.split(jax.random.key(seed), LEAVES)
    pairs = zip(keys, shapes, strict=True)
    return {f"leaf {i}": jax.random.normal(*pair) for i, pair in enumerate(pairs)}


def jitted_step(transformation):
    def step(params, state, gradient):
        updates, state = transformation.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    return jax.jit(step, donate_argnums=(0, 1))


def stages(transformation, params, gradient):
    """A function that makes the program anew, and returns the seconds of each stage."""
    state = transformation.init(params)

    def run():
        jax.clear_caches()
        times = [time.perf_counter()]
        traced = jitted_step(transformation).trace(params, state, gradient)
        times.append(time.perf_counter())
        lowered = traced.lower()
        times.append(time.perf_counter())
        lowered.compile()
        times.append(time.perf_counter())
        names = ("trace", "lower", "compile")
        pairs = zip(times[1:], times[:-1], names, strict=True)
        return {name: end - begin for end, begin, name in pairs}

    return run


def jitted(transformation, params, gradient):
    step = jitted_step(transformation)
    params = jax.tree.map(jnp.copy, params)  # to be donated
    state = transformation.init(params)

    def run():
        nonlocal params, state
        params, state = step(params, state, gradient)
        return params

    return run


def eager(transformation, params, gradient):
    state = transformation.init(params)

    def run():
        nonlocal state
        updates, state = transformation.update(gradient, state, params)
        return updates

    return run


def main(rounds):
    params, gradient = leaves(0), leaves(1)

    def each(case):
        return {name: case(t, params, gradient) for name, t in TRANSFORMATIONS.items()}

    built = in_turn(each(stages), rounds, discard=2)
    timings = {
        stage: {name: timing(s[stage] for s in built[name]) for name in built}
        for stage in ("trace", "lower", "compile")
    }
    timings["run, jitted"] = interleaved(each(jitted), rounds)
    timings["update, eager"] = interleaved(each(eager), rounds)
    return {
        stage: [
            {
                "case": name,
                **of[name].row(),
                **{f"x {p}": of[name].median / of[p].median for p in PEERS},
            }
            for name in of
        ]
        for stage, of in timings.items()
    }


PEERS = ("optax.rprop", "optax.adam")

if __name__ == "__main__":
    options = arguments("small_leaves", __doc__, rounds=15).parse_args()
    jax.config.update("jax_enable_compilation_cache", False)
    show_machine()
    tables = main(options.rounds)
    for stage, rows in tables.items():
        show(stage, rows)
    write(options, tables)
