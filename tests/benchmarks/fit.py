"""A line through 100 points in 200 steps: ``fit`` and the loops one would write.

    python tests/benchmarks/fit.py

Compilation is left out. The problem is so small that all of the time is overhead.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from measure import arguments, cores, interleaved, show, show_machine, write

import optax_rprop

try:
    import torch
except ImportError:
    torch = None

POINTS, STEPS, LEARNING_RATE = 100, 200, 0.01

keys = jax.random.split(jax.random.key(0))
x = jax.random.normal(keys[0], (POINTS,))
y = 2 * x + 3 + 0.1 * jax.random.normal(keys[1], (POINTS,))
start = {"w": jnp.array(0.0), "b": jnp.array(0.0)}


def loss_fn(params, x, y):
    return jnp.mean((params["w"] * x + params["b"] - y) ** 2)


def by_fit(history):
    optimizer = optax_rprop.rprop(LEARNING_RATE)

    def run():
        return optax_rprop.fit(
            loss_fn,
            start,
            x,
            y,
            optimizer=optimizer,
            max_steps=STEPS,
            patience=np.inf,
            history=history,
        ).params

    return run


def stepper(transformation):
    def step(params, state, x, y):
        gradient = jax.grad(loss_fn)(params, x, y)
        updates, state = transformation.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    return step


def by_python_loop(transformation):
    step = jax.jit(stepper(transformation))

    def run():
        params, state = start, transformation.init(start)
        for _ in range(STEPS):
            params, state = step(params, state, x, y)
        return params

    return run


def by_scan(transformation):
    step = stepper(transformation)

    @jax.jit
    def scan(params, x, y):
        carry = params, transformation.init(params)
        return jax.lax.scan(lambda c, _: (step(*c, x, y), None), carry, length=STEPS)[0][
            0
        ]

    return lambda: scan(start, x, y)


def by_torch():
    inputs, targets = torch.from_dlpack(x), torch.from_dlpack(y)

    def run():
        w, b = (torch.zeros((), requires_grad=True) for _ in range(2))
        optimizer = torch.optim.Rprop([w, b], lr=LEARNING_RATE)
        for _ in range(STEPS):
            optimizer.zero_grad()
            torch.mean((w * inputs + b - targets) ** 2).backward()
            optimizer.step()
        return {"w": w.item(), "b": b.item()}

    return run


def cases():
    ours, peer = optax_rprop.rprop(LEARNING_RATE), optax.rprop(LEARNING_RATE)
    yield "fit", by_fit(history=True)
    yield "fit, history=False", by_fit(history=False)
    yield "lax.scan, rprop", by_scan(ours)
    yield "lax.scan, optax.rprop", by_scan(peer)
    yield "Python loop, rprop", by_python_loop(ours)
    yield "Python loop, optax.rprop", by_python_loop(peer)
    if torch:
        yield "Python loop, torch", by_torch()


if __name__ == "__main__":
    options = arguments("fit", __doc__, rounds=25).parse_args()
    if torch:
        torch.set_num_threads(cores())
    show_machine()
    runs = dict(cases())
    timings = interleaved(runs, options.rounds)
    rows = [
        {
            "case": name,
            **timings[name].row(),
            "x fit": timings[name].median / timings["fit"].median,
            "loss": float(loss_fn(run(), x, y)),
        }
        for name, run in runs.items()
    ]
    title = f"{POINTS} points, {STEPS} steps"
    show(title, rows)
    write(options, {title: rows})
