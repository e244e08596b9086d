"""The encoder problems of the Rprop papers: a thousand networks for every rule.

    python tests/benchmarks/encoders.py

A network of sigmoid units has to pass on which one of its inputs is 1, through a narrow
hidden layer: 10-5-10 and 12-2-12 units. Full batch, the sum of squared errors, weights
and biases uniform in [-1, 1], step sizes from 0.1. A run ends when every output of every
pattern is within 0.4 of its target, 0 or 1.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from figures import look, plt, save
from measure import arguments, show, show_machine, write

from optax_rprop import VARIANTS, rprop

NETWORKS, MAX_EPOCHS, MARGIN = 1000, 5000, 0.4
ENCODERS = {"10-5-10": (10, 5), "12-2-12": (12, 2)}
LARGEST = (50.0, 2.0, 0.3)  # step sizes: the default; that of SNNS; and a smaller one


def init(key, inputs, hidden):
    shapes = {
        "hidden": (inputs, hidden),
        "hidden_bias": (hidden,),
        "out": (hidden, inputs),
        "out_bias": (inputs,),
    }
    keys = jax.random.split(key, len(shapes))
    return {
        name: jax.random.uniform(k, shape, minval=-1.0)
        for k, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def outputs(params, patterns):
    hidden = jax.nn.sigmoid(patterns @ params["hidden"] + params["hidden_bias"])
    return jax.nn.sigmoid(hidden @ params["out"] + params["out_bias"])


def error(params, patterns):
    found = outputs(params, patterns)
    return jnp.sum((found - patterns) ** 2), found


def epochs_to_solve(optimizer, inputs, hidden):
    """Of every network; inf where it was not solved in MAX_EPOCHS."""
    patterns = jnp.eye(inputs)

    def step(carry):
        epochs, _, params, state = carry
        (value, found), gradient = jax.value_and_grad(error, has_aux=True)(
            params, patterns
        )
        solved = jnp.all(jnp.abs(found - patterns) < MARGIN)
        updates, state = optimizer.update(gradient, state, params, value=value)
        return epochs + ~solved, solved, optax.apply_updates(params, updates), state

    def run(key):
        params = init(key, inputs, hidden)
        start = jnp.zeros((), jnp.int32), jnp.array(False), params, optimizer.init(params)
        epochs, solved, *_ = jax.lax.while_loop(
            lambda carry: ~carry[1] & (carry[0] < MAX_EPOCHS), step, start
        )
        return jnp.where(solved, epochs, jnp.inf)

    keys = jax.random.split(jax.random.key(0), NETWORKS)
    return np.asarray(jax.jit(jax.vmap(run))(keys))


def row(encoder, largest, variant, epochs):
    solved = np.isfinite(epochs)
    # What a paper would have reported that ran ten networks.
    tens = np.where(solved, epochs, MAX_EPOCHS).reshape(-1, 10).mean(axis=1)
    q1, median, q3 = np.quantile(epochs, [0.25, 0.5, 0.75], method="nearest")
    return {
        "encoder": f"{encoder}, steps up to {largest:g}",
        "rule": variant,
        "solved": float(solved.mean()),
        "q1": finite(q1),
        "median": finite(median),
        "q3": finite(q3),
        "lowest mean of 10": float(tens.min()),
        "highest mean of 10": float(tens.max()),
    }


def finite(epochs):
    """An int, or None for a quantile among the networks that were not solved."""
    return int(epochs) if np.isfinite(epochs) else None


def draw(found):
    figure, axes = plt.subplots(
        len(ENCODERS), len(LARGEST), figsize=(10, 5.5), sharey=True, sharex="row"
    )
    for line, encoder in zip(axes, ENCODERS, strict=True):
        for axis, largest in zip(line, LARGEST, strict=True):
            for variant in VARIANTS:
                epochs = np.sort(found[encoder, largest, variant])
                share = 100 * np.arange(1, len(epochs) + 1) / len(epochs)
                style = look("rprop" if variant == "irprop-" else variant)
                axis.plot(epochs, share, **style | {"label": variant})
            axis.set(title=f"{encoder}, steps up to {largest:g}", xscale="log")
            axis.set(
                ylim=(0, 102), xlim=(5, 200) if encoder == "10-5-10" else (50, MAX_EPOCHS)
            )
        line[0].set_ylabel("networks solved, %")
    for axis in axes[-1]:
        axis.set_xlabel("epochs")
    axes[0, 0].legend()
    figure.tight_layout()
    save(figure, "encoders")


if __name__ == "__main__":
    options = arguments("encoders", __doc__, rounds=1).parse_args()
    show_machine()
    found = {
        (encoder, largest, variant): epochs_to_solve(
            rprop(max_step_size=largest, variant=variant), *layers
        )
        for encoder, layers in ENCODERS.items()
        for largest in LARGEST
        for variant in VARIANTS
    }
    rows = [row(*key, epochs) for key, epochs in found.items()]
    show("Epochs until every output is right", rows)
    draw(found)
    write(options, {"encoders": rows})
