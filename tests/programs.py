"""Programs that several tests compile: an update, a loop of updates, a fit."""

import itertools

import jax
import jax.numpy as jnp
import optax

from optax_rprop import fit

shape = jax.ShapeDtypeStruct


def placed(tree, sharding):
    """The shapes of a tree, where ``sharding`` says."""
    return jax.tree.map(lambda x: shape(x.shape, x.dtype, sharding=sharding), tree)


def step_of(tx):
    """One update, applied."""
    tx = optax.with_extra_args_support(tx)

    def step(params, state, gradient, **extra):
        updates, state = tx.update(gradient, state, params, **extra)
        return optax.apply_updates(params, updates), state

    return step


def in_loop(step):
    """Nine of them down a bowl around ``target``, with losses that are given, if any."""

    def steps(params, state, target, **extra):
        def body(carry):
            i, params, state = carry
            given = {name: values[i % len(values)] for name, values in extra.items()}
            return i + 1, *step(params, state, params - target, **given)

        return jax.lax.while_loop(lambda carry: carry[0] < 9, body, (0, params, state))

    return steps


def hand_written(loss, tx):
    """A training step as one writes it by hand: loss, gradient, update."""

    def step(params, state, *data):
        value, grads = jax.value_and_grad(loss)(params, *data)
        updates, state = tx.update(grads, state, params, value=value)
        return optax.apply_updates(params, updates), state

    return step


def bare_loop(loss, tx, num_steps=500):
    """A loop of such steps, without stop rules, history or best parameters."""
    step = hand_written(loss, tx)

    def run(params, *data):
        return jax.lax.fori_loop(
            0, num_steps, lambda _, carry: step(*carry, *data), (params, tx.init(params))
        )

    return run


def fitted(loss, tx, num_steps=500, **settings):
    """The same number of steps of ``fit``, with its history."""

    def run(params, *data):
        return fit(loss, params, *data, optimizer=tx, max_steps=num_steps, **settings)

    return run


def network(widths, rows, dtype=jnp.float32):
    """The loss of a network of tanh layers, and the shapes of parameters and data."""
    params = []
    for pair in itertools.pairwise(widths):
        params += [shape(pair, dtype), shape(pair[1:], dtype)]

    def loss(params, x, y):
        for weight, bias in zip(params[:-2:2], params[1:-2:2], strict=True):
            x = jnp.tanh(x @ weight + bias[None])
        return jnp.mean((x @ params[-2] + params[-1][None] - y) ** 2)

    data = [shape((rows, width), dtype) for width in (widths[0], widths[-1])]
    return loss, params, data
