"""Two processes that talk over the loopback address end with the parameters of one."""

import importlib.util
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

EXAMPLE = pathlib.Path(__file__).parents[1] / "examples" / "multi_host.py"
TIMEOUT = 120  # seconds; a run takes about four

pytestmark = [
    pytest.mark.skipif(not EXAMPLE.exists(), reason="the examples are not here"),
    pytest.mark.skipif(
        importlib.util.find_spec("sklearn") is None, reason="scikit-learn has the data"
    ),
]


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def run(folder, devices, *commands):
    """What processes print that run at the same time; none of them outlives this."""
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),  # of each process
        "XLA_FLAGS": "",  # those of the tests ask for eight devices
        # In single precision a rounding may change the sign of a small gradient, and from
        # there on the paths differ a little.
        "JAX_ENABLE_X64": "1",
    }
    deadline = time.monotonic() + TIMEOUT
    logs = [folder / f"{i}.log" for i in range(len(commands))]
    processes = []
    try:
        for command, log in zip(commands, logs, strict=True):
            with log.open("w") as output:  # a pipe that nobody reads may fill up
                processes.append(
                    subprocess.Popen(
                        [sys.executable, EXAMPLE, *command],
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        env=environment,
                    )
                )
        for process in processes:
            process.wait(deadline - time.monotonic())
    finally:
        for process in processes:
            process.kill()  # nothing where it has ended by itself
            process.wait()
        print(*(log.read_text() for log in logs if log.exists()))  # shown on a failure
    assert [process.returncode for process in processes] == [0] * len(commands)
    return "".join(log.read_text() for log in logs)


def test_two_processes_end_with_the_parameters_of_one(tmp_path):
    run(tmp_path, 1, ["--out", tmp_path / "one.npz"])
    shared = ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2"]
    shared += ["--out", tmp_path / "two.npz"]
    printed = run(tmp_path, 2, *([*shared, "--process", str(i)] for i in range(2)))

    found = re.findall(r"process (\d) of 2: checksum (\w+)", printed)
    assert [index for index, _ in sorted(found)] == ["0", "1"]
    assert len({checksum for _, checksum in found}) == 1
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        assert set(one) == set(two) == {"w", "b"}
        for name in one:
            np.testing.assert_allclose(two[name], one[name], rtol=1e-9, atol=1e-12)
