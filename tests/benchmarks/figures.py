"""How the figures look: one colour for a method everywhere, vector files for the docs.

The colours are those of Okabe and Ito, which stay apart for the colour-blind, with a grey
in place of their pale yellow and a dark red, which stays apart as well. A method has a
marker and a dash pattern of its own. Needs matplotlib.
"""

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

IMAGES = Path(__file__).parents[2] / "docs" / "images"


class Look(NamedTuple):
    color: str
    marker: str
    linestyle: Any = "-"


LOOKS = {
    "rprop": Look("#0072B2", "o"),  # irprop-, the default
    "rprop-": Look("#0072B2", "v", ":"),
    "rprop+": Look("#0072B2", "^", "--"),
    "irprop+": Look("#0072B2", "s", "-."),
    "rprop_8bit": Look("#56B4E9", "D"),
    "in_eigenbasis": Look("#7A0000", "*"),  # around rprop
    "optax.adam": Look("#D55E00", "X"),
    "optax.lbfgs": Look("#009E73", "P"),
    "SciPy L-BFGS-B": Look("#000000", "d", "--"),
    "optimistix.BFGS": Look("#E69F00", ">", "-."),
    "optax.rprop": Look("#CC79A7", "p"),
    "torch.optim.Rprop": Look("#999999", "h"),
    "optax.lion": Look("#E69F00", "<"),
    "optax.sgd": Look("#000000", ">"),
}

plt.rcParams.update(
    {
        "figure.dpi": 100,
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "optax_rprop",  # the same figure is the same file
    }
)


def look(method: str, marker: bool = False) -> dict[str, Any]:
    """Keyword arguments of ``plot`` for a method."""
    style = LOOKS[method]._asdict()
    if not marker:
        del style["marker"]
    return style | {"label": method}


def save(figure: Any, name: str, also_png: bool = False) -> None:
    """Write ``docs/images/NAME.svg``, and a PNG for where an SVG is not shown."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    figure.savefig(IMAGES / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})
    if also_png:
        figure.savefig(IMAGES / f"{name}.png", bbox_inches="tight", dpi=150)
    plt.close(figure)
    print(f"wrote {IMAGES / name}.svg")
