"""Write the conformance vectors of the four rules, from tests/oracle.py alone.

``python tests/vectors/make.py [directory]`` gives the same bytes on every machine:
nothing is drawn at random, and every operation is one that IEEE 754 rounds exactly.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from oracle import Oracle

RULES = ("rprop-", "irprop-", "rprop+", "irprop+")

DEFAULTS = {
    "learning_rate": 0.1,
    "eta_minus": 0.5,
    "eta_plus": 1.2,
    "min_step_size": 1e-6,
    "max_step_size": 50.0,
}
TIGHT = DEFAULTS | {"min_step_size": 0.04, "max_step_size": 0.15}
UNBOUNDED = {
    "learning_rate": 0.3,
    "eta_minus": 0.7,
    "eta_plus": 1.05,
    "min_step_size": 0.0,
    "max_step_size": math.inf,
}

# A row a coordinate, a character a step: the sign of the gradient, or one out of SPECIAL.
SIGNS = (
    "++++++++++++++++++++",
    "+-+-+-+-+-+-+-+-+-+-",
    "---+---+---+---+---+",
    "++--++--++--++--++--",
    "0+-0-+0++0--0+-+-0+-",
    "-0-----++++++0+---++",
)
SPECIAL_SIGNS = (
    "++n++-n+nn--n-+n-+++",
    "PPPMMMP+M-Pn-M0PnMM+",
    "0000z0z+z+-z--0+0-z-",
    "ttTtTTt0tTttntTTtttT",
    "hhHhHHh0hHhhnhHHhhhH",
    "nnnnnnPnM+0z-tThH+--",
)
# Two that follow each other multiply to 0 in float32, so compare signs, not products.
MAGNITUDES = (1.0, 0.5, 2.0**-80, 2.0**-90, 3.0)

NAN, INF = math.nan, math.inf
LOSSES = (9, 8, 7, 8, 7.5, 7.5, 6, 6.5, 6.25, 6.5, 7, 5, 5, 5.5, 4, 3, 2, 2.5, 2.25, 3)
BAD_LOSSES = (
    *(NAN, 9, 8, 7, INF, 6, 6.5, -INF, NAN, 7),
    *(6, 6.5, 5, 5.5, 4, INF, 3, 3.5, 2, 2.5),
)

# Name, dtype, hyperparameters, signs, losses (None: for the rule that needs them alone).
CASES = (
    ("defaults", "float32", DEFAULTS, SIGNS, None),
    ("defaults", "float64", DEFAULTS, SIGNS, None),
    ("tight bounds", "float32", TIGHT, SIGNS, None),
    ("tight bounds", "float64", TIGHT, SIGNS, None),
    ("zero, NaN and extreme gradients", "float32", DEFAULTS, SPECIAL_SIGNS, None),
    ("losses that rise and fall", "float64", UNBOUNDED, SIGNS, LOSSES),
    ("losses that are not finite", "float32", TIGHT, SIGNS, BAD_LOSSES),
    ("losses that are not finite", "float64", UNBOUNDED, SPECIAL_SIGNS, BAD_LOSSES),
)


def gradients(signs, dtype, magnitudes=MAGNITUDES):
    """An array of steps by coordinates out of rows of characters."""
    limits = np.finfo(dtype)
    special = {
        **{"0": 0.0, "z": -0.0, "n": NAN, "P": INF, "M": -INF},
        # The extremes of the normal range; upper case is negative.
        **{"t": limits.tiny, "T": -limits.tiny, "h": limits.max, "H": -limits.max},
    }

    def gradient(character, step, i):
        if character in "+-":
            return float(character + "1") * magnitudes[(step + i) % len(magnitudes)]
        return special[character]

    return np.array(
        [
            [gradient(character, step, i) for i, character in enumerate(characters)]
            for step, characters in enumerate(zip(*signs, strict=True))
        ],
        dtype,
    )


def plain(x):
    """A number as JSON has it; as a string where JSON has no number for it."""
    return float(x) if math.isfinite(x) else str(float(x))


def case(name, dtype, hyperparameters, **more):
    """All of a case but its steps."""
    return {
        "name": f"{name}, {dtype}",
        "dtype": dtype,
        "hyperparameters": {key: plain(value) for key, value in hyperparameters.items()},
        **more,
    }


def steps(rule, dtype, hyperparameters, signs, losses):
    """What the oracle says of every step of a case."""
    if losses is None and rule == "irprop+":
        losses = LOSSES
    oracle = Oracle(rule, len(signs), dtype, **hyperparameters)
    for i, gradient in enumerate(gradients(signs, dtype)):
        loss = None if losses is None else losses[i]
        update = oracle.step(gradient, loss)
        yield {
            "gradient": list(map(plain, gradient)),
            "loss": None if loss is None else plain(loss),
            "update": list(map(plain, update)),
            "step_size": list(map(plain, oracle.delta)),
            "sign": list(oracle.sign),
        }


def to_json(header, cases):
    """Strictly valid JSON, a line a step; ``cases`` are pairs of a case and its steps."""

    def dumps(x):
        return json.dumps(x, allow_nan=False, separators=(",", ":"))

    blocks = []
    for head, rows in cases:
        lines = ",\n".join(map(dumps, rows))
        blocks.append(f'{dumps(head)[:-1]},"steps":[\n{lines}\n]}}')
    return f'{dumps(header)[:-1]},"cases":[\n' + ",\n".join(blocks) + "\n]}\n"


def output_directory():
    """Where to write: the first argument, or here."""
    return Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent


if __name__ == "__main__":
    for rule in RULES:
        cases = [
            (case(name, dtype, hyper), steps(rule, dtype, hyper, *inputs))
            for name, dtype, hyper, *inputs in CASES
        ]
        text = to_json({"format": 1, "rule": rule, "source": "tests/oracle.py"}, cases)
        (output_directory() / f"{rule}.json").write_text(text, newline="\n")
