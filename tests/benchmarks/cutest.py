"""CUTEst: problems that nobody here wrote, and the share that each method solves.

    python tests/benchmarks/cutest.py
    python tests/benchmarks/cutest.py --tables-only   # from the runs there are

The problems are those of ``sif2jax``, a translation of CUTEst to JAX: all without
constraints of up to 100 parameters, and all with bounds alone of up to 50. Everything is
in float64, from the start that CUTEst gives. A method may evaluate loss and gradient
2,000 times; those of line searches count. With f_0 the loss at the start and f_best the
lowest that any method here found, a problem is solved to an accuracy of tau when a loss
is at most f_best + tau (f_0 - f_best), as Moré and Wild (2009) have it.

Settings were chosen on every other problem, the first and the third and so on in the
order of the names, those without constraints and those with bounds each. The tables tell
these from the others. That units and a shorter least step help was first seen on all.

It takes some 20 minutes on two quiet cores. It can be stopped, and goes on with the
problems that are missing: each leaves a file in the folder ``--runs``. Delete that after
a change of the package. Needs sif2jax, optimistix and matplotlib.
"""

import functools
import json
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

from cutest_runs import problem_of, runs  # noqa: E402
from cutest_tables import draw, rows_of, tables_of  # noqa: E402
from measure import RESULTS, arguments, cores, show, show_machine, write  # noqa: E402

KINDS = {"unconstrained": 100, "bounded": 50}  # the most parameters


@functools.cache
def problems(largest):
    """The problems of both kinds, by name."""
    import sif2jax  # takes a minute, and its own time in every process

    return {
        kind: {
            found.name: found
            for found in getattr(sif2jax, f"{kind}_minimisation_problems")
            if found.y0.size <= (largest or most)
        }
        for kind, most in KINDS.items()
    }


def run(kind, name, path, largest):
    """Run what is missing of a problem, and add it to its file."""
    known = json.loads(path.read_text())["runs"] if path.exists() else {}
    problem = problem_of(problems(largest)[kind][name])
    missing = runs(problem, known)
    if missing:
        text = json.dumps({"parameters": problem.start.size, "runs": known | missing})
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(text)
        partial.replace(path)  # whole, or not at all
        jax.clear_caches()


def keep_to_a_core(free):
    """So that the threads of a small program don't wait for each other."""
    os.sched_setaffinity(0, {free.get()})


def run_all(options):
    """Run all problems, a process for each core."""
    paths = {
        (kind, name): options.runs / kind / f"{name}.json"
        for kind, of_kind in problems(options.largest).items()
        for name in of_kind
    }
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    spawn = multiprocessing.get_context("spawn")
    free = spawn.Queue()
    usable = sorted(os.sched_getaffinity(0))[: options.jobs]
    for core in usable:
        free.put(core)
    with ProcessPoolExecutor(
        len(usable), mp_context=spawn, initializer=keep_to_a_core, initargs=(free,)
    ) as pool:
        waiting = {
            pool.submit(run, kind, name, path, options.largest): name
            for (kind, name), path in paths.items()
        }
        for i, done in enumerate(as_completed(waiting), start=1):
            done.result()
            minutes = (time.monotonic() - began) / 60
            print(
                f"{i} of {len(waiting)} problems after {minutes:.1f} minutes: "
                f"{waiting[done]}",
                flush=True,
            )


if __name__ == "__main__":
    parser = arguments("cutest", __doc__, rounds=1)
    parser.add_argument("--jobs", type=int, default=cores(), help="problems at a time")
    parser.add_argument("--largest", type=int, help="the most parameters, of both kinds")
    parser.add_argument("--runs", type=Path, default=RESULTS / "cutest_runs")
    parser.add_argument(
        "--tables-only", action="store_true", help="of the runs there are"
    )
    options = parser.parse_args()
    show_machine()
    if not options.tables_only:
        run_all(options)
    results = {
        kind: {
            path.stem: json.loads(path.read_text())
            for path in sorted((options.runs / kind).glob("*.json"))
        }
        for kind in KINDS
    }
    tables = dict(tables_of(results))
    for title, rows in tables.items():
        show(title, rows)
    write(options, tables | {"problems": list(rows_of(results))})
    draw(results)
