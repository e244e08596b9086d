"""Whether a history looks as though the gradients were noise."""

from typing import Any

import numpy as np

_FEWEST_STEPS = 20

ADVICE = (
    "The loss goes up and down while the steps are tiny: it looks like noise. Fit to all "
    "of the data, not to mini-batches of it, and with the same random keys and points at "
    "every step."
)


def shows_noise(series: dict[str, Any]) -> bool:
    """Whether the loss jumps by more than a thousandth while the steps are tiny.

    Noise changes signs by chance, so the step sizes shrink to nothing, and the loss goes
    on as before. A loss that is only rounded changes by less, and one that still falls
    seldom rises.
    """
    if "step_size_mean" not in series or len(series["loss"]) < _FEWEST_STEPS:
        return False
    loss, sizes = series["loss"], series["step_size_mean"]
    late = loss[len(loss) // 2 :]
    late = late[np.isfinite(late)]
    if len(late) < _FEWEST_STEPS // 4:
        return False
    changes = np.diff(late)
    jumps = np.median(np.abs(changes)) > np.median(np.abs(late)) / 1000
    rises = np.mean(changes > 0) > 1 / 3
    return bool(jumps and rises and sizes[-1] < sizes[0] / 100)
