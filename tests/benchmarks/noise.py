"""What happens with mini-batches: Rprop, Adam, and Rprop after accumulation.

    python tests/benchmarks/noise.py

A small network on scikit-learn's 1,797 digits. All methods see the data equally often, in
batches that are drawn anew for every epoch. Rprop after accumulation adds up the
gradients of an epoch first (optax.MultiSteps) and makes one step of it. Needs
scikit-learn.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from figures import look, plt, save
from jax.flatten_util import ravel_pytree
from measure import arguments, show, show_machine, write
from sklearn.datasets import load_digits

from optax_rprop import rprop

SEEDS, EPOCHS, TARGET, HIDDEN = 10, 60, 0.05, 32
ROWS = 1792  # 1,797 in whole batches of any of the sizes
SIZES = (14, 56, 112, 224, 448, 896, 1792)
METHODS = {
    "rprop": lambda batches: rprop(),
    "rprop, accumulated": lambda batches: optax.MultiSteps(
        rprop(), batches
    ).gradient_transformation(),
    "optax.adam, 0.001": lambda batches: optax.adam(1e-3),
    "optax.adam, 0.01": lambda batches: optax.adam(1e-2),
}

images, digits = load_digits(return_X_y=True)
X, Y = jnp.asarray(images[:ROWS] / 16, "float32"), jnp.asarray(digits[:ROWS])


def init(key):
    keys = jax.random.split(key)
    glorot = jax.nn.initializers.glorot_uniform()
    return {
        "hidden": glorot(keys[0], (X.shape[1], HIDDEN)),
        "hidden_bias": jnp.zeros(HIDDEN),
        "out": glorot(keys[1], (HIDDEN, 10)),
        "out_bias": jnp.zeros(10),
    }


def loss_fn(params, x, y):
    hidden = jnp.tanh(x @ params["hidden"] + params["hidden_bias"])
    logits = hidden @ params["out"] + params["out_bias"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def flips(before, now):
    """The fraction of gradients that changed sign, of those that had one both times."""
    before, now = (jnp.sign(ravel_pytree(tree)[0]) for tree in (before, now))
    return jnp.mean(before * now < 0) / jnp.maximum(jnp.mean(before * now != 0), 1e-9)


@functools.partial(jax.jit, static_argnums=(0, 1))
def run(method, size):
    """Loss over all of the data, and flips, after every epoch of every seed."""
    batches = ROWS // size
    optimizer = METHODS[method](batches)

    def step(carry, rows):
        params, state, before = carry
        grads = jax.grad(loss_fn)(params, X[rows], Y[rows])
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state, grads), flips(before, grads)

    def epoch(carry, key):
        order = jax.random.permutation(key, ROWS).reshape(batches, size)
        carry, flipped = jax.lax.scan(step, carry, order)
        return carry, (loss_fn(carry[0], X, Y), flipped.mean())

    def one(seed):
        key = jax.random.key(seed)
        params = init(key)
        start = params, optimizer.init(params), jax.tree.map(jnp.zeros_like, params)
        return jax.lax.scan(epoch, start, jax.random.split(key, EPOCHS))[1]

    return jax.vmap(one)(jnp.arange(SEEDS))


def row(method, size):
    losses, flipped = map(np.asarray, run(method, size))
    reached = losses <= TARGET
    epochs = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, np.inf)
    median = np.quantile(epochs, 0.5, method="nearest")
    q1, middle, q3 = np.quantile(losses[:, -1], [0.25, 0.5, 0.75])
    return {
        "method": method,
        "batch": size,
        f"epochs to {TARGET}": int(median) if np.isfinite(median) else None,
        "reached": float(np.isfinite(epochs).mean()),
        "last loss": float(middle),
        "loss q1": float(q1),
        "loss q3": float(q3),
        # Accumulation hides from Rprop what its gradients do in between.
        "flips": None if "accumulated" in method else float(np.median(flipped[:, -20:])),
    }


def draw(rows):
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.8))
    epochs_column = f"epochs to {TARGET}"
    for method in METHODS:
        mine = [row for row in rows if row["method"] == method]
        sizes = [row["batch"] for row in mine]
        style = look(method.split(",")[0], marker=True) | {"label": method}
        if method in ("rprop, accumulated", "optax.adam, 0.01"):
            style |= {"linestyle": "--", "markerfacecolor": "white"}
        axes[0].plot(sizes, [row["last loss"] for row in mine], **style)
        low, high = ([row[f"loss {q}"] for row in mine] for q in ("q1", "q3"))
        axes[0].fill_between(sizes, low, high, color=style["color"], alpha=0.2, lw=0)
        # A line has a gap where the target was not reached.
        axes[1].plot(sizes, [row[epochs_column] or np.nan for row in mine], **style)
        axes[2].plot(sizes, [100 * (row["flips"] or np.nan) for row in mine], **style)
    for axis in axes:
        axis.set(xscale="log", xlabel="batch size (rows)")
        axis.set_xticks(SIZES, SIZES, rotation=45)
        axis.minorticks_off()
    axes[0].set(
        yscale="log", ylabel="cross-entropy, nats", title=f"Loss after {EPOCHS} epochs"
    )
    axes[1].set(ylim=(0, EPOCHS), ylabel="epochs", title=f"Epochs to a loss of {TARGET}")
    axes[2].set(
        ylim=(0, 55), ylabel="% of gradients", title="Changes of sign, last 20 epochs"
    )
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=len(METHODS))
    save(figure, "noise")


if __name__ == "__main__":
    options = arguments("noise", __doc__, rounds=1).parse_args()
    show_machine()
    rows = [row(method, size) for method in METHODS for size in SIZES]
    show(f"{EPOCHS} epochs, median of {SEEDS} seeds", rows)
    draw(rows)
    write(options, {"noise": rows})
