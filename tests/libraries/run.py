"""Run the recipes of docs/libraries.md, two at a time, each in a process of its own.

    python tests/libraries/run.py [NAME...]

Without names it runs all but phydrax, whose environment is another one:
requirements.txt lists the packages of the one, requirements_phydrax.txt of the other.
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time

RECIPES = {path.stem[3:]: path for path in pathlib.Path(__file__).parent.glob("in_*.py")}
TIMEOUT = 120  # seconds for one recipe


def run(name):
    """What one recipe printed if it failed, else None, and the seconds it took."""
    began = time.monotonic()
    try:
        ran = subprocess.run(
            [sys.executable, RECIPES[name]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            env={"JAX_PLATFORMS": "cpu", **os.environ},
        )
        trouble = ran.stdout if ran.returncode else None
    except subprocess.TimeoutExpired:
        trouble = f"stopped after {TIMEOUT} seconds\n"
    return trouble, time.monotonic() - began


names = sys.argv[1:] or sorted(RECIPES.keys() - {"phydrax"})
if unknown := set(names) - RECIPES.keys():
    sys.exit(
        f"no recipe named {', '.join(sorted(unknown))}: {', '.join(sorted(RECIPES))}"
    )
failed = []
with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
    for name, (trouble, seconds) in zip(names, pool.map(run, names), strict=True):
        print(f"{name:12} {'ok' if trouble is None else 'FAILED'} in {seconds:.0f} s")
        if trouble is not None:
            print(trouble)
            failed.append(name)
if failed:
    sys.exit(f"{len(failed)} of {len(names)} recipes failed: {', '.join(failed)}")
print(f"OK: all {len(names)} recipes passed.")
