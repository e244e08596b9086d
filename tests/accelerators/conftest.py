"""The target that these tests compile for, and the rows that they leave."""

import json
import os
from pathlib import Path

import jax
import pytest
from programs import placed
from targets import Target

ROWS = {}  # by table


@pytest.fixture(scope="session")
def target():
    """The kind of chip that the environment variable ``ACCELERATOR`` names."""
    return Target(os.environ["ACCELERATOR"])


@pytest.fixture(scope="session")
def compiler(target):
    """Compiles a function for one chip, from the shapes of its arguments."""
    place = target.place()

    def compiled(function, *args, donate=(), **extra):
        args, extra = placed((args, extra), place)
        jitted = jax.jit(function, donate_argnums=donate)
        return jitted.lower(*args, **extra).compile()

    return compiled


@pytest.fixture
def record(target):
    """Adds a row to a table of what was read."""

    def add(table, **row):
        ROWS.setdefault(table, []).append({"target": target.name} | row)

    return add


def pytest_sessionfinish():
    """Leave the tables where the environment variable ``ROWS`` says."""
    if "ROWS" in os.environ:
        Path(os.environ["ROWS"]).write_text(json.dumps(ROWS))
