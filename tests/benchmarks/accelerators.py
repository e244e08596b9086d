"""Draws what an update moves on a CPU and on accelerators, beside the least.

    python tests/benchmarks/accelerators.py

Reads ``results/scale.json`` and ``results/accelerators.json``, which ``scale.py`` and
``tests/accelerators/run.py`` write.
"""

import json

from figures import look, plt, save
from measure import RESULTS
from scale import OPTIMIZERS, compiled_for

DEVICES = "CPU", "H100", "TPU v5e"


def bytes_moved():
    """Of float32 parameters: by optimizer the least, and then those of ``DEVICES``."""
    tables = json.loads((RESULTS / "scale.json").read_text())["tables"]
    of_cpu = {
        row["optimizer"]: row
        for row in tables["bytes a parameter"]
        if row["dtype"] == "float32"
    }
    gpu, tpu = (compiled_for(target, "float32") for target in ("h100", "v5e"))
    return {
        name: (
            of_cpu[name]["least"],
            (of_cpu[name]["compiled"], gpu[name].bytes, tpu[name].bytes),
        )
        for name in OPTIMIZERS
    }


def draw(moved):
    """A group of bars for a device; a line over each bar's optimizer at the least."""
    figure, axes = plt.subplots(figsize=(7, 3.4))
    width = 0.8 / len(moved)
    for i, (name, (least, found)) in enumerate(moved.items()):
        left = [group + (i - (len(moved) - 1) / 2) * width for group in range(len(found))]
        bars = axes.bar(left, found, 0.9 * width, color=look(name)["color"], label=name)
        axes.bar_label(bars, fmt="%.0f", fontsize=9, padding=2)
        for x in left:
            ends = x - width / 2, x + width / 2
            axes.plot(ends, (least, least), color="black", linewidth=1.5)
    axes.plot([], [], color="black", linewidth=1.5, label="the least")
    axes.set_xticks(range(len(DEVICES)), DEVICES)
    axes.set(ylabel="bytes per parameter", title="One update of float32 parameters")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, "accelerators")


if __name__ == "__main__":
    draw(bytes_moved())
