"""Interleaved timing, and what a benchmark prints and writes."""

import argparse
import datetime
import functools
import importlib.metadata
import itertools
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

PACKAGES = ("optax-rprop", "jax", "jaxlib", "optax", "torch")
RESULTS = Path(__file__).parent / "results"


class Timing(NamedTuple):
    """Seconds that a case took: the median of its rounds, and the quartiles."""

    lower: float
    median: float
    upper: float

    def row(self, per: int = 1) -> dict[str, float]:
        """The three in milliseconds, as columns; each divided by ``per``."""
        lower, median, upper = (1000 * seconds / per for seconds in self)
        return {"ms": median, "q1": lower, "q3": upper}


def timing(seconds: Iterable[float]) -> Timing:
    return Timing(*statistics.quantiles(seconds, n=4, method="inclusive"))


def in_turn(
    cases: Mapping[str, Callable[[], Any]], rounds: int, discard: int = 3
) -> dict[str, list[Any]]:
    """What every case returns in every round: all cases in each, the first left out.

    Every round has an order of its own, the same in every run: what a case leaves in the
    caches is not always for the same next one.
    """
    results: dict[str, list[Any]] = {name: [] for name in cases}
    for i in range(discard + rounds):
        for name in random.Random(i).sample(list(cases), len(cases)):
            time.sleep(0.005)  # the threads of the case before go to sleep
            result = cases[name]()
            if i >= discard:
                results[name].append(result)
    return results


def interleaved(
    cases: Mapping[str, Callable[[], Any]], rounds: int, seconds: float = 0.02
) -> dict[str, Timing]:
    """Seconds a call of every case; a short one is called for ``seconds`` at a time.

    Of the calls of one timing only the last is waited for, as in a training loop.
    """

    def time_calls(case: Callable[[], Any], calls: int) -> float:
        began = time.perf_counter()
        for _ in range(calls):
            result = case()
        jax.block_until_ready(result)
        return (time.perf_counter() - began) / calls

    timers = {}
    for name, case in cases.items():
        time_calls(case, 2)  # compiles
        once = min(time_calls(case, 1) for _ in range(3))
        calls = max(1, round(seconds / once))
        timers[name] = functools.partial(time_calls, case, calls)
    return {name: timing(result) for name, result in in_turn(timers, rounds).items()}


def endless(items: Iterable[Any]) -> Callable[[], Any]:
    """A function that returns the items in turn, again and again."""
    return functools.partial(next, itertools.cycle(items))


def cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def machine() -> dict[str, Any]:
    """What the figures depend on; the load is that at the first call."""
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "cores": cores(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "platform": f"{platform.system()} {platform.machine()}",
        "device": jax.devices()[0].device_kind,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def show_machine() -> None:
    print("\n".join(f"{key}: {x}" for key, x in machine().items()), flush=True)


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def arguments(name: str, description: str | None, rounds: int) -> argparse.ArgumentParser:
    """A parser of what all benchmarks take."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds that count")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}.json")
    return parser


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows as a table with a column for every key of the first."""
    head = list(rows[0])
    lines = [head, *([_text(row[key]) for key in head] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print(f"\n{title}")
    for line in lines:
        name, *figures = map(str.rjust, line, widths)
        print("  ".join([name.strip().ljust(widths[0]), *figures]), flush=True)


def _text(x: Any) -> str:
    if x is None:
        return "-"
    if isinstance(x, float):
        return f"{x:.3f}" if x < 10 else f"{x:.2f}" if x < 100 else f"{x:.0f}"
    return str(x)


def dumps(x: Any, indent: str = "") -> str:
    """JSON in which a dict or a list of nothing but scalars, a row, is one line."""
    if not isinstance(x, dict | list):
        return json.dumps(x)
    members = list(x.values()) if isinstance(x, dict) else x
    if not any(isinstance(member, dict | list) for member in members):
        return json.dumps(x)
    inner = indent + " "
    texts = [dumps(member, inner) for member in members]
    if isinstance(x, dict):
        texts = [f"{json.dumps(k)}: {text}" for k, text in zip(x, texts, strict=True)]
    first, last = "{}" if isinstance(x, dict) else "[]"
    return f"{first}\n{inner}" + f",\n{inner}".join(texts) + f"\n{indent}{last}"


def write(options: argparse.Namespace, tables: dict[str, list[dict[str, Any]]]) -> None:
    """Write what was measured, and where, as JSON."""
    settings = {k: x for k, x in vars(options).items() if not isinstance(x, Path)}
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "settings": settings,
        "tables": tables,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(dumps(report) + "\n")
