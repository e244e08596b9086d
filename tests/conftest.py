"""Strict settings for all tests: eight devices, no silent promotion, fixed seeds."""

import os
import sys

# Before jax is imported: sharding is tested on eight devices of the CPU.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)

import jax
import pytest

# An assertion in there says what it compared, as one in a test does.
pytest.register_assert_rewrite("helpers")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

try:
    import hypothesis
except ImportError:
    pass
else:
    hypothesis.settings.register_profile(
        "suite", derandomize=True, deadline=None, max_examples=50, database=None
    )
    hypothesis.settings.load_profile("suite")


def set_x64(enabled):
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", enabled)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def x64():
    """Double precision, for the one test that asks for it."""
    yield from set_x64(True)


@pytest.fixture
def no_x64():
    """Single precision, for what is about its absence."""
    yield from set_x64(False)


@pytest.fixture(autouse=True)
def closed_figures():
    """A figure that one test leaves open must not be there in the next one."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture
def relaxed():
    """Promotion as JAX does it by default, where an Optax wrapper needs it."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
