"""One update, applied: ours, the peers, and a stream of the same bytes.

    python tests/benchmarks/update.py [--sizes 1e4 2e5 1e7] [--only single|loop]

Every update and its ``apply_updates`` are one jitted program with donated parameters and
state, over one float32 array: first a program of a single update, then one of 20 updates
in a ``lax.while_loop``, as in ``fit``. Four random gradients take turns.
"""

import jax
import jax.numpy as jnp
import optax
from measure import arguments, cores, endless, interleaved, show, show_machine, write

import optax_rprop

try:
    import torch
except ImportError:
    torch = None

STEPS = 20
LOSSES = (1.0, 3.0, 2.0, 4.0)  # one for every gradient; irprop+ sees them rise and fall

#: Bytes a parameter that a stream moves, and the state it has: one array of each dtype.
STREAMS = {"stream 22 B": (jnp.float32, jnp.int8), "stream 14 B": (jnp.uint8,)}
#: The same state, where the byte comes from the gradient, as any remembered sign does: a
#: backend that makes a pass for each output, as XLA's for the CPU, reads it once more.
TWICE = {"stream 22 + 4 B": (jnp.float32, jnp.int8), "stream 14 + 4 B": (jnp.uint8,)}


def transformations():
    """Name, transformation, whether it is given the loss, and the stream to compare."""
    ours, rprop = "stream 22 B", optax_rprop.rprop
    yield "rprop", rprop(), False, ours
    for variant in optax_rprop.VARIANTS:
        yield f"{variant}, value", rprop(variant=variant), True, ours
    for variant in ("rprop-", "rprop+"):
        yield variant, rprop(variant=variant), False, ours
    if hasattr(optax_rprop, "rprop_8bit"):
        yield "rprop_8bit", optax_rprop.rprop_8bit(), False, "stream 14 B"
        yield "rprop_8bit, value", optax_rprop.rprop_8bit(), True, "stream 14 B"
    yield "optax.rprop", optax.rprop(0.1), False, None
    yield "optax.adam", optax.adam(1e-3), False, None
    yield "optax.lion", optax.lion(1e-4), False, None
    yield "optax.sgd", optax.sgd(1e-2), False, None


def stepper(transformation, with_value):
    def step(params, state, gradient, value):
        extra = {"value": value} if with_value else {}
        updates, state = transformation.update(gradient, state, params, **extra)
        return optax.apply_updates(params, updates), state

    return step


def stream(params, state, gradient, value):
    """Read the gradient once, and read and write all else once."""
    del value
    return params - gradient, jax.tree.map(jnp.negative, state)


def stream_twice(params, state, gradient, value):
    """The same, with the gradient read for the parameters and for the byte."""
    params, (*others, byte) = stream(params, state, gradient, value)
    return params, [*others, byte + (gradient > 0).astype(byte.dtype)]


def in_loop(step):
    """20 steps in one program; the gradients and losses are stacked."""

    def steps(params, state, gradients, values):
        def body(carry):
            i, params, state = carry
            now = i % len(values)
            return i + 1, *step(params, state, gradients[now], values[now])

        start = (0, params, state)
        return jax.lax.while_loop(lambda carry: carry[0] < STEPS, body, start)[1:]

    return steps


def jax_case(step, state, n, inputs):
    """A case, the bytes of its state and of the temporaries of its program."""
    params = jnp.zeros(n)
    jitted = jax.jit(step, donate_argnums=(0, 1))
    state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    memory = jitted.lower(params, state, *inputs[0]).compile().memory_analysis()
    next_inputs = endless(inputs)

    def run():
        nonlocal params, state
        params, state = jitted(params, state, *next_inputs())
        return params

    return run, state_bytes / n, memory and memory.temp_size_in_bytes / n


def torch_case(foreach, n, inputs):
    params = torch.zeros(n)
    optimizer = torch.optim.Rprop([params], lr=0.1, foreach=foreach)
    next_gradient = endless([torch.from_dlpack(gradient) for gradient, _ in inputs])

    def run():
        params.grad = next_gradient()
        optimizer.step()

    run()
    state_bytes = sum(x.nbytes for x in optimizer.state[params].values())
    return run, state_bytes / n, None


def cases(n, loop):
    """Name, (case, bytes of state, bytes of temporaries), stream; for n parameters."""
    gradients = jax.random.normal(jax.random.key(0), (len(LOSSES), n))
    values = jnp.array(LOSSES)
    wrap = in_loop if loop else lambda step: step
    inputs = [(gradients, values)] if loop else list(zip(gradients, values, strict=True))
    for streams, step in ((STREAMS, stream), (TWICE, stream_twice)):
        for name, dtypes in streams.items():
            state = [jnp.ones(n, dtype) for dtype in dtypes]
            yield name, jax_case(wrap(step), state, n, inputs), None
    for name, transformation, with_value, own_stream in transformations():
        step = wrap(stepper(transformation, with_value))
        state = transformation.init(jnp.zeros(n))
        yield name, jax_case(step, state, n, inputs), own_stream
    if torch and not loop:
        for foreach in (False, True):
            yield f"torch, foreach={foreach}", torch_case(foreach, n, inputs), None


def measure(n, loop, rounds):
    described = {name: (case, own) for name, case, own in cases(n, loop)}
    timings = interleaved({name: c[0] for name, (c, _) in described.items()}, rounds)

    def against(own, name):
        return own and timings[name].median / timings[own].median

    return [
        {
            "case": name,
            **timings[name].row(per=STEPS if loop else 1),
            "x optax.rprop": timings[name].median / timings["optax.rprop"].median,
            "x stream": against(own, name),
            "x stream + 4": against(own and own.replace(" B", " + 4 B"), name),
            "state B": state_bytes,
            "temp B": temp_bytes,
        }
        for name, ((_, state_bytes, temp_bytes), own) in described.items()
    ]


if __name__ == "__main__":
    parser = arguments("update", __doc__, rounds=25)
    sizes = [1e4, 1e5, 2e5, 1e6, 1e7]
    parser.add_argument("--sizes", type=float, nargs="+", default=sizes)
    parser.add_argument("--only", choices=["single", "loop"], help="one of the programs")
    options = parser.parse_args()
    if torch:
        torch.set_num_threads(cores())  # as many as XLA has
    show_machine()
    tables = {}
    for size in options.sizes:
        for kind in ("single", "loop"):
            if options.only in (None, kind):
                title = f"{int(size):,} parameters, {kind}"
                tables[title] = measure(int(size), kind == "loop", options.rounds)
                show(title, tables[title])
    write(options, tables)
