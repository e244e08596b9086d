"""Certified fits: how many digits each method gets right of NIST's certified values.

    python tests/benchmarks/nist.py

The National Institute of Standards and Technology certifies the parameters of 27
nonlinear least-squares fits to eleven digits, from two starts each: the first far away,
the second near (Statistical Reference Datasets,
https://www.itl.nist.gov/div898/strd). ``nist.json``
has starts and certified values; models and data are those of ``sif2jax``. A dataset is
left out where ``sif2jax`` has none, or where its loss at the certified parameters is not
the certified sum of squares: then model or data are others.

Every method minimises the plain sum of squares in float64 and knows nothing of residuals.
It has 2,000 evaluations of loss and gradient. The digits of a parameter are those of the
logarithm of its relative error, as NIST counts them. Methods for sums of squares, such as
Levenberg-Marquardt, get more of them. Needs sif2jax and optimistix.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optimistix

jax.config.update("jax_enable_x64", True)

from cutest_runs import MAX_EVALUATIONS, Problem, seen_by_scipy  # noqa: E402
from measure import arguments, show, show_machine, write  # noqa: E402

from optax_rprop import fit, in_eigenbasis, in_units, rprop  # noqa: E402

CERTIFIED = json.loads(Path(__file__).with_name("nist.json").read_text())
DIGITS = 2, 4, 6
STARTS = "start 1", "start 2"

OURS = {
    "fit": None,
    "fit, rprop('relative', min_step_size=1e-12)": rprop("relative", min_step_size=1e-12),
    "fit, in_eigenbasis()": in_eigenbasis(),
    "fit, in_units(in_eigenbasis())": in_units(in_eigenbasis()),
    "optax.adam 0.1": optax.adam(0.1),
}


def fitted(optimizer, loss):
    @jax.jit
    def run(start):
        result = fit(
            loss,
            start,
            optimizer=optimizer,
            max_steps=MAX_EVALUATIONS,
            patience=np.inf,
            history=False,
        )
        return result.params

    return run


def bfgs(loss):
    solver = optimistix.BFGS(rtol=1e-12, atol=1e-12)

    @jax.jit
    def run(start):
        found = optimistix.minimise(
            lambda y, _: loss(y), solver, start, max_steps=MAX_EVALUATIONS, throw=False
        )
        return found.value

    return run


def l_bfgs_b(loss):
    def run(start):
        seen = seen_by_scipy(Problem("", loss, np.asarray(start)))
        return min(seen, key=lambda pair: np.nan_to_num(pair[0], nan=np.inf))[1]

    return run


def digits(found, certified):
    """How many digits of each are right, at most eleven."""
    with np.errstate(divide="ignore"):
        right = -np.log10(np.abs(found - certified) / np.abs(certified))
    return np.nan_to_num(np.clip(right, 0, 11))


def problems():
    """The datasets whose model and data are NIST's."""
    import sif2jax  # takes a minute

    known = {p.name: p for p in sif2jax.problems}
    for name, certified in CERTIFIED.items():
        if name not in known:
            print(f"{name} is left out: sif2jax has none", flush=True)
            continue
        problem = known[name]

        def loss(y, problem=problem):
            return problem.objective(y, problem.args)

        ratio = loss(jnp.asarray(certified["certified"])) / certified["sum of squares"]
        if abs(ratio - 1) > 1e-6:
            print(f"{name} is left out: {ratio:.6g} times the certified sum", flush=True)
            continue
        yield name, loss, certified


def rows():
    for name, loss, certified in problems():
        runs = {method: fitted(optimizer, loss) for method, optimizer in OURS.items()}
        runs |= {"optimistix.BFGS": bfgs(loss), "SciPy L-BFGS-B": l_bfgs_b(loss)}
        for start in STARTS:
            row = {"dataset": name, "level": certified["level"], "start": start}
            for method, run in runs.items():
                found = np.asarray(run(jnp.asarray(certified[start])))
                right = digits(found, np.asarray(certified["certified"]))
                row[method] = " ".join(f"{x:.1f}" for x in right)
            yield row
        print(f"{name} is done", flush=True)


def summary(rows):
    for method in list(rows[0])[3:]:
        runs = [np.fromstring(row[method], sep=" ") for row in rows]
        row = {"method": method}
        for least in DIGITS:
            values = np.concatenate(runs) >= least
            row[f"values to {least}"] = float(values.mean())
            row[f"runs to {least}"] = float(
                np.mean([np.min(run) >= least for run in runs])
            )
        yield row


if __name__ == "__main__":
    options = arguments("nist", __doc__, rounds=1).parse_args()
    show_machine()
    found = list(rows())
    values = sum(len(row["SciPy L-BFGS-B"].split()) for row in found)
    title = (
        f"share of {values} certified values, and of {len(found)} runs, to so many digits"
    )
    tables = {title: list(summary(found))}
    show(title, tables[title])
    write(options, tables | {"digits of every parameter": found})
