"""Epochs to a target loss, 8-bit against the default, on five real data sets.

    python tests/benchmarks/convergence.py

Networks of one hidden layer, full batch, 20 seeds under ``vmap``. The targets are fixed
beforehand: cross-entropy for the classifications, mean squared error of the standardised
target for the regression. Needs scikit-learn.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from measure import arguments, show, show_machine, write
from sklearn import datasets

from optax_rprop import FitStatus, fit, rprop, rprop_8bit

NUM_SEEDS, HIDDEN, MAX_STEPS = 20, 16, 1000
TASKS = {
    "digits": (datasets.load_digits, 1e-2),
    "iris": (datasets.load_iris, 3e-2),
    "wine": (datasets.load_wine, 1e-3),
    "breast_cancer": (datasets.load_breast_cancer, 1e-2),
    "diabetes": (datasets.load_diabetes, 0.35),
}
OPTIMIZERS = {"rprop": rprop(), "rprop_8bit": rprop_8bit()}


def init(seed, num_inputs, num_outputs):
    keys = jax.random.split(jax.random.key(seed))
    glorot = jax.nn.initializers.glorot_uniform()
    return {
        "hidden": glorot(keys[0], (num_inputs, HIDDEN)),
        "hidden_bias": jnp.zeros(HIDDEN),
        "out": glorot(keys[1], (HIDDEN, num_outputs)),
        "out_bias": jnp.zeros(num_outputs),
    }


def forward(params, x):
    hidden = jnp.tanh(x @ params["hidden"] + params["hidden_bias"])
    return hidden @ params["out"] + params["out_bias"]


def cross_entropy(params, x, y):
    logits = forward(params, x)
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def squared_error(params, x, y):
    return jnp.mean((forward(params, x)[:, 0] - y) ** 2)


def epochs_to_target(name, optimizer):
    """Of every seed; NaN where the target was not reached."""
    load, target = TASKS[name]
    x, y = load(return_X_y=True)
    x = jnp.asarray((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9), "float32")
    if name == "diabetes":
        loss, y, num_outputs = squared_error, (y - y.mean()) / y.std(), 1
    else:
        loss, num_outputs = cross_entropy, len(np.unique(y))

    @jax.jit
    @jax.vmap
    def run(seed):
        start = init(seed, x.shape[1], num_outputs)
        result = fit(
            loss,
            start,
            x,
            jnp.asarray(y),
            optimizer=optimizer,
            target_loss=target,
            max_steps=MAX_STEPS,
            history=False,
        )
        return result.num_steps, result.status

    num_steps, status = run(jnp.arange(NUM_SEEDS))
    return np.where(status == FitStatus.TARGET_REACHED, num_steps, np.nan)


if __name__ == "__main__":
    options = arguments("convergence", __doc__, rounds=1).parse_args()
    show_machine()
    rows = []
    for name, (_, target) in TASKS.items():
        epochs = {key: epochs_to_target(name, tx) for key, tx in OPTIMIZERS.items()}
        median = {key: float(np.nanmedian(found)) for key, found in epochs.items()}
        row = {"data": name, "target": target}
        for key, found in epochs.items():
            row[f"{key}: epochs"] = median[key]
            row[f"{key}: reached"] = f"{np.isfinite(found).sum()}/{NUM_SEEDS}"
        rows.append(row | {"ratio": median["rprop_8bit"] / median["rprop"]})
    show("Median epochs to the target loss", rows)
    write(options, {"convergence": rows})
