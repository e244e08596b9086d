"""A run that is killed again and again ends with the bits of one that never was."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

WORKER = pathlib.Path(__file__).with_name("resume_worker.py")
SECONDS = 120  # that a run may take; it takes a few
KILLS = 4


def start(directory, out, rule, devices):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", WORKER, directory, out, rule, str(devices)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(process):
    output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    return output


def leaves(out):
    with np.load(out) as arrays:
        return [arrays[name] for name in arrays.files]


def is_being_saved(directory):
    return any("tmp" in path.name for path in directory.glob("*"))


def kill(process, directory, when):
    """SIGKILL after the first save, in the middle of another or after ``when`` seconds.

    Returns whether a save was under way.
    """
    line = ""
    while not line.startswith("saved"):
        line = process.stdout.readline()
        assert line, process.stderr.read()
    give_up = time.monotonic() + SECONDS
    if when is None:
        while not is_being_saved(directory) and process.poll() is None:
            assert time.monotonic() < give_up
    else:
        time.sleep(when)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it had come to its end"
    return is_being_saved(directory)


@pytest.mark.parametrize(
    ("rule", "devices"), [("rprop", 8), ("rprop_8bit", 1), ("in_eigenbasis", 1)]
)
def test_killed_at_any_moment_it_goes_on_bit_for_bit(rule, devices, tmp_path):
    pytest.importorskip("orbax.checkpoint", reason="orbax-checkpoint is not installed")
    rng = random.Random(f"{rule} {devices}")
    run = (rule, devices)
    whole = start(tmp_path / "whole", tmp_path / "whole.npz", *run)
    directory, out = tmp_path / "killed", tmp_path / "killed.npz"
    process = None
    try:
        finish(whole)
        in_a_save = 0
        for i in range(KILLS):
            process = start(directory, out, *run)
            in_a_save += kill(process, directory, None if i % 2 else rng.uniform(0, 0.2))
        assert in_a_save  # every other one waited for that
        process = start(directory, out, *run)
        began = int(finish(process).split()[2])
        assert began > 3  # it went on from a checkpoint
    finally:
        for each in (whole, process):
            if each is not None and each.poll() is None:
                each.kill()
                each.communicate()
    for ours, theirs in zip(leaves(out), leaves(tmp_path / "whole.npz"), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
