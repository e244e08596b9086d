"""The package and the conformance vectors against each other, bit for bit."""

import json
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import trajectory
from oracle import Oracle

from optax_rprop import VARIANTS, rprop

VECTORS = Path(__file__).parent / "vectors"
RULE_FILES = [f"{variant}.json" for variant in VARIANTS]


def no_constant(name):
    raise ValueError(f"{name} is not JSON")


def read(file):
    return json.loads((VECTORS / file).read_text(), parse_constant=no_constant)


def rows(case, key):
    """What a case says of ``key``: an array of steps by coordinates."""
    dtype = "int8" if key == "sign" else case["dtype"]
    return np.array([list(map(float, step[key])) for step in case["steps"]], dtype)


def losses(case):
    given = [step["loss"] for step in case["steps"]]
    return None if None in given else np.array(list(map(float, given)), case["dtype"])


def run(rule, case):
    """What the package does in a case: its updates and states."""
    hyper = {name: float(x) for name, x in case["hyperparameters"].items()}
    values = losses(case)
    return trajectory(
        rprop(variant=rule, **hyper),
        jnp.asarray(rows(case, "gradient")),
        None if values is None else jnp.asarray(values),
    )


def assert_equal(got, want):
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


def every_case(*files):
    return pytest.mark.parametrize(
        ("rule", "case"),
        [
            pytest.param(vectors["rule"], case, id=f"{file}: {case['name']}")
            for file in files
            for vectors in [read(file)]
            for case in vectors["cases"]
        ],
    )


@every_case(*RULE_FILES)
def test_the_package_equals_the_vectors(rule, case, x64):
    updates, states = run(rule, case)
    assert_equal(updates, rows(case, "update"))
    assert_equal(states.step_sizes, rows(case, "step_size"))
    assert_equal(states.prev_signs, rows(case, "sign"))


@every_case("torch.json")
def test_the_package_equals_what_torch_recorded(rule, case, x64):
    updates, states = run(rule, case)
    parameter = np.array(case["parameter"], case["dtype"])
    for update, want in zip(updates, rows(case, "parameter"), strict=True):
        parameter = parameter + np.asarray(update)
        assert_equal(parameter, want)
    assert_equal(states.step_sizes, rows(case, "step_size"))
    assert_equal(states.prev_signs, rows(case, "sign"))


def branches(case):
    """What happens in the steps of a case after the first."""
    sizes, bounds = rows(case, "step_size"), case["hyperparameters"]
    for bound in ("min_step_size", "max_step_size"):
        if np.dtype(case["dtype"]).type(bounds[bound]) in sizes:
            yield case["dtype"], bound
    gradients, signs = rows(case, "gradient")[1:], rows(case, "sign")[:-1]
    agree = np.where(np.isnan(gradients), 0, np.sign(gradients)) * signs
    moves = np.sign(rows(case, "update")[1:] * np.sign(gradients))
    values = losses(case)
    for i in range(len(agree)):
        if values is not None and not np.isfinite(values[i + 1]):
            yield from (("rejected, was", sign) for sign in signs[i])
            continue
        yield from ((case["dtype"], product) for product in agree[i])
        yield from (("change, moved", move) for move in moves[i][agree[i] < 0])


@pytest.mark.parametrize(
    ("rule", "moves_on_change"),
    [("rprop-", {-1}), ("irprop-", {0}), ("rprop+", {-1}), ("irprop+", {0, -1})],
)
def test_every_file_reaches_every_branch(rule, moves_on_change):
    found = {x for case in read(f"{rule}.json")["cases"] for x in branches(case)}
    kinds = [-1, 0, 1, "min_step_size", "max_step_size"]
    assert found == {
        *((dtype, kind) for dtype in ("float32", "float64") for kind in kinds),
        *(("change, moved", move) for move in moves_on_change),
        *(("rejected, was", sign) for sign in (-1, 0, 1)),
    }


def output_of(script, directory):
    """The text of every file that a script of tests/vectors writes."""
    subprocess.run([sys.executable, VECTORS / script, directory], check=True)
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_the_rule_files_are_what_make_py_writes(tmp_path):
    written = output_of("make.py", tmp_path)
    assert written == {file: (VECTORS / file).read_text() for file in RULE_FILES}


def test_torch_still_does_what_was_recorded(tmp_path):
    pytest.importorskip("torch", reason="needs torch, to record from")
    written = output_of("record_torch.py", tmp_path)
    assert json.loads(written["torch.json"])["cases"] == read("torch.json")["cases"]


class ForTheReadme(Oracle):
    step_size = property(lambda self: self.delta)

    def step(self, gradient, loss):
        return super().step(gradient, loss)


class Lagging(ForTheReadme):
    """An update too late, like some."""

    late = 0.0

    def step(self, gradient, loss):
        late, self.late = self.late, super().step(gradient, loss)
        return late


@pytest.mark.parametrize("file", RULE_FILES)
def test_the_check_in_the_readme_tells_right_from_wrong(file):
    readme = {}
    code = (VECTORS / "README.md").read_text().split("```python\n")[1].split("```")[0]
    exec(code, readme)
    readme["check"](VECTORS / file, ForTheReadme)
    with pytest.raises(AssertionError):
        readme["check"](VECTORS / file, Lagging)
