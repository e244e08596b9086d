"""The picture on the first page of the docs, from what ``targets.py`` has written.

    python tests/benchmarks/targets_home.py

Gradients to the target, the median of ten seeds, for Rprop and for the three methods that
a reader would compare it with. Needs matplotlib.
"""

import json
from pathlib import Path

from figures import look, plt, save

RESULTS = Path(__file__).parent / "results" / "targets.json"
METHODS = {
    "rprop": "Rprop, untuned",
    "in_eigenbasis": "in_eigenbasis(rprop())",
    "optax.adam best": "Adam, best of five rates",
    "optax.lbfgs": "L-BFGS",
}
FAILED = 3000  # where a dash of the table is drawn: the runs end at 2,000

rows = json.loads(RESULTS.read_text())["tables"]["methods"]
found = {(row["task"], row["method"]): row["evaluations"] for row in rows}
tasks = sorted(
    {task for task, _ in found if not task.startswith("valley")},
    key=lambda task: found[task, "rprop"] or FAILED,
)
figure, ax = plt.subplots(figsize=(5.6, 4.4))
for i, task in enumerate(tasks):
    counts = [found[task, method] or FAILED for method in METHODS]
    ax.plot([min(counts), max(counts)], [i, i], color="0.85", lw=1, zorder=0)
for method, label in METHODS.items():
    style = look(method.split()[0], marker=True)
    style |= {"label": label, "linestyle": "none", "markersize": 6}
    ax.plot([found[task, method] or FAILED for task in tasks], range(len(tasks)), **style)
ax.axvline(2000, color="0.5", lw=1, ls="--")
ax.set(xscale="log", ylim=(len(tasks) - 0.5, -0.5))
ax.set_yticks(range(len(tasks)), tasks)
ax.set_xticks([10, 30, 100, 300, 1000], [10, 30, 100, 300, "1,000"])
ax.minorticks_off()
ax.tick_params(axis="y", length=0)
ax.set_xlabel("gradients to the target (right of the dashed line: failed)")
ax.legend(loc="lower center", ncols=2, bbox_to_anchor=(0.4, 1.0), handletextpad=0.2)
save(figure, "targets_home", also_png=True)  # PyPI shows no SVG
