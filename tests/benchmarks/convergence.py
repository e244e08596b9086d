"""Epochs to a target loss, 8-bit against the default, on five real data sets.

    python tests/benchmarks/convergence.py

The networks of one hidden layer of ``tasks.py``, full batch, 20 seeds under ``vmap``. The
targets are fixed beforehand: cross-entropy for the classifications, mean squared error of
the standardised target for the regression. Needs scikit-learn and statsmodels.
"""

import jax
import jax.numpy as jnp
import numpy as np
from measure import arguments, show, show_machine, write
from tasks import TASKS

from optax_rprop import FitStatus, fit, rprop, rprop_8bit

NUM_SEEDS, MAX_STEPS = 20, 1000
TARGETS = {
    "digits": 1e-2,
    "iris": 3e-2,
    "wine": 1e-3,
    "breast_cancer": 1e-2,
    "diabetes": 0.35,
}
OPTIMIZERS = {"rprop": rprop(), "rprop_8bit": rprop_8bit()}


def epochs_to_target(name, optimizer):
    """Of every seed; NaN where the target was not reached."""
    task = TASKS[name]

    @jax.jit
    @jax.vmap
    def run(seed):
        result = fit(
            task.loss,
            task.init(jax.random.key(seed)),
            *task.data,
            optimizer=optimizer,
            target_loss=TARGETS[name],
            max_steps=MAX_STEPS,
            patience=np.inf,
            history=False,
        )
        return result.num_steps, result.status

    num_steps, status = run(jnp.arange(NUM_SEEDS))
    return np.where(status == FitStatus.TARGET_REACHED, num_steps, np.nan)


if __name__ == "__main__":
    options = arguments("convergence", __doc__, rounds=1).parse_args()
    show_machine()
    rows = []
    for name, target in TARGETS.items():
        epochs = {key: epochs_to_target(name, tx) for key, tx in OPTIMIZERS.items()}
        median = {key: float(np.nanmedian(found)) for key, found in epochs.items()}
        row = {"data": name, "target": target}
        for key, found in epochs.items():
            row[f"{key}: epochs"] = median[key]
            row[f"{key}: reached"] = f"{np.isfinite(found).sum()}/{NUM_SEEDS}"
        rows.append(row | {"ratio": median["rprop_8bit"] / median["rprop"]})
    show("Median epochs to the target loss", rows)
    write(options, {"convergence": rows})
