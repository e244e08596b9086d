r"""Compile for accelerators that are not here, and read the programs.

    python tests/accelerators/run.py

For every family of targets it makes a virtual environment in a temporary folder, installs
the compiler from PyPI (500 MB in all), runs the tests of this folder there, prints what
they read and writes it to ``tests/benchmarks/results/accelerators.json``. About seven
minutes. An environment that is there already saves the installation:

    python tests/accelerators/run.py --python gpu=h100/bin/python tpu=v5e/bin/python

``--targets h100`` chooses, and ``--out`` says where the tables go. Exit code 75: the
packages could not be had, and nothing was tested.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from targets import FAMILIES, PACKAGES

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
from measure import RESULTS, show, write

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ALL = "test_update.py", "test_fit.py", "test_sharded.py"
# The other TPUs differ in little: the update tells, as `fit` calls it.
UPDATE = "test_update.py", "-k", "(one_pass and value) or others"
TESTS = {"h100": ALL, "v5e": ALL, "v5p": UPDATE, "v6e": UPDATE}
BESIDE = "optax==0.2.8", "pytest"
NOT_TO_BE_HAD = 75  # EX_TEMPFAIL


def new_environment(folder, family):
    """The Python of one with the compiler, or None."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = f"{folder}/bin/python"
    pip = [python, "-m", "pip", "install", "-q", *PACKAGES[family], *BESIDE]
    try:
        subprocess.run(pip, check=True, timeout=240)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return python


def tested(python, target):
    """Whether the tests pass for this target, and the rows that they leave, by table."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        environment = os.environ | {
            "ACCELERATOR": target,
            "ROWS": str(rows),
            "PYTHONPATH": str(ROOT),
            "JAX_PLATFORMS": "cpu",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        # What is compiled for a device that is not here can't be kept for later.
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        command = [python, "-m", "pytest", "-q", "--tb=short", *TESTS[target]]
        done = subprocess.run(command, cwd=HERE, env=environment)
        return done.returncode == 0, json.loads(rows.read_text())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--python", nargs="+", default=[], metavar="FAMILY=PYTHON")
    parser.add_argument("--out", type=Path, default=RESULTS / "accelerators.json")
    options = parser.parse_args()
    given = dict(pair.split("=", 1) for pair in options.python)
    tables, failed = {}, []
    with tempfile.TemporaryDirectory() as work:
        for family in dict.fromkeys(FAMILIES[target] for target in options.targets):
            python = given.get(family) or new_environment(f"{work}/{family}", family)
            if python is None:
                print(f"the compiler for a {family} could not be installed")
                sys.exit(NOT_TO_BE_HAD)
            for target in options.targets:
                if FAMILIES[target] != family:
                    continue
                print(f"\n=== {target}", flush=True)
                began = time.monotonic()
                passed, rows = tested(python, target)
                print(f"=== {target}: {time.monotonic() - began:.0f} s", flush=True)
                failed += [] if passed else [target]
                for table, more in rows.items():
                    tables.setdefault(table, []).extend(more)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    for title, rows in tables.items():
        show(title, rows)
    del options.python
    options.packages = {family: [*PACKAGES[family], *BESIDE] for family in PACKAGES}
    write(options, tables)
