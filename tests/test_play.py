"""The methods of the page "Play with Rprop", in Node, against vectors and package."""

import json
import shutil
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optax_rprop import VARIANTS, in_eigenbasis, rprop

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "_static" / "play"
VECTORS = [TESTS / "vectors" / f"{variant}.json" for variant in VARIANTS]
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.skipif(not PAGE.exists(), reason="not in a checkout of the project"),
    pytest.mark.skipif(NODE is None, reason="needs node, to run the page's scripts"),
]

ALONG = {"ratio": 1000, "turn": 0, "first": 0.1, "start": [3, 2]}
ACROSS = ALONG | {"turn": 30}
GENTLE = {"ratio": 10, "turn": 30, "first": 2.0, "start": [-2.5, 1.7]}
CLIFF = {"ratio": 10, "turn": 30, "first": 0.1, "start": [1.5, -2], "cliff": True}
SCENES = [
    pytest.param(ALONG, id="along"),
    pytest.param(ACROSS, id="across"),
    pytest.param(GENTLE, id="gentle"),
    pytest.param(CLIFF, id="cliff"),
]
LIMIT = 10_000  # the most steps of a run


def node(script, *args, **options):
    command = [NODE, TESTS / "site" / script, *args]
    return subprocess.run(command, capture_output=True, text=True, **options)


def runs(*scenes):
    """What the page makes of each scene."""
    scenes = [{"steps": 60, "limit": LIMIT} | scene for scene in scenes]
    done = node("play_runs.cjs", PAGE, input=json.dumps(scenes), check=True)
    return [run | {"path": np.array(run["path"])} for run in json.loads(done.stdout)]


def valley(ratio, turn, cliff=False, **_):
    """The loss of the page; NaN, and its gradient too, beyond a cliff."""
    angle = np.deg2rad(turn)

    def loss(p):
        along = np.cos(angle) * p[0] + np.sin(angle) * p[1]
        across = np.cos(angle) * p[1] - np.sin(angle) * p[0]
        height = 0.5 * (along**2 + ratio * across**2)
        return height * jnp.where(cliff & (p[0] < -0.3), jnp.nan, 1)

    return loss


def walk(optimizer, scene):
    """The points that the package goes through in a loop of updates, and their losses."""
    loss = valley(**scene)
    update = optax.with_extra_args_support(optimizer).update

    def step(carry, _):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = update(grads, state, params, value=value)
        return (optax.apply_updates(params, updates), state), (params, value)

    start = jnp.array(scene["start"], float)
    carry = start, optimizer.init(start)
    return jax.jit(lambda carry: jax.lax.scan(step, carry, length=LIMIT)[1])(carry)


def assert_goes_along(run, optimizer, scene, atol):
    """The run goes where the package goes, and arrives after as many gradients."""
    points, losses = walk(optimizer, scene)
    np.testing.assert_allclose(run["path"], points[: len(run["path"])], rtol=0, atol=atol)
    assert run["count"] == np.flatnonzero(losses <= 1e-6)[0]


def test_the_rules_equal_the_vectors_bit_for_bit():
    done = node("play_vectors.cjs", PAGE / "rprop.js", *VECTORS)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "640 steps as in 4 files\n"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("move: -s * grown", "move: -s * D"),
        ("if (s * p === 0)", "if (p === 0)"),
        ('case "irprop+": return lossRose ?', 'case "irprop+": return !lossRose ?'),
        ('case "rprop+": return undo', 'case "rprop+": return stay'),
        ("const stay = { event: \"halve\", size, move: 0, sign: 0 }",
         "const stay = { event: \"halve\", size, move: 0, sign: s }"),
        ("Math.max(round(size * etaMinus), min)", "round(size * etaMinus)"),
        ("Math.min(round(size * etaPlus), max)", "Math.min(size * etaPlus, max)"),
        ("Math.sign(g) || 0", "Math.sign(g)"),
        ("            loss,\n", ""),
        ('{ event: "reject", size: halve(D)', '{ event: "reject", size: D'),
    ],
)  # fmt: skip
def test_a_wrong_rule_differs_from_the_vectors(right, wrong, tmp_path):
    source = (PAGE / "rprop.js").read_text()
    assert source.count(right) == 1
    (tmp_path / "rprop.js").write_text(source.replace(right, wrong))
    done = node("play_vectors.cjs", tmp_path / "rprop.js", *VECTORS)
    assert done.returncode == 1
    assert "should be" in done.stderr


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("scene", SCENES)
def test_a_rule_goes_where_the_package_goes(variant, scene, x64):
    (run,) = runs({"method": variant} | scene)
    assert_goes_along(run, rprop(scene["first"], variant=variant), scene, atol=0)


@pytest.mark.parametrize("scene", SCENES)
def test_the_eigenbasis_goes_where_the_package_goes(scene, x64):
    (run,) = runs({"method": "eigenbasis"} | scene)
    assert_goes_along(run, in_eigenbasis(rprop(scene["first"])), scene, atol=1e-9)


@pytest.mark.parametrize("method", ["descent", "adam"])
def test_the_others_go_where_optax_goes(method, x64, relaxed):
    (run,) = runs({"method": method} | GENTLE)
    rate = 2 / (1 + GENTLE["ratio"])
    optimizer = optax.sgd(rate) if method == "descent" else optax.adam(0.1)
    assert_goes_along(run, optimizer, GENTLE, atol=1e-12)


def test_an_address_holds_a_scene():
    address = (
        "method=rprop%2B&ratio=1000&turn=30&noise=0.3&first=2&x=-1.25&y=0.5"
        "&cliff=1&near=1&t=17"
    )
    wrong = "method=__proto__&ratio=abc&first=1e9&x=99&y=-99&t=-5&cliff=7"
    given = json.dumps([address, wrong, "", "play-with-rprop"])
    done = node("play_addresses.cjs", PAGE, input=given, check=True)
    whole, limited, empty, other = json.loads(done.stdout)
    assert whole["address"] == address
    assert whole["scene"]["method"] == "rprop+"
    assert (whole["isScene"], empty["isScene"], other["isScene"]) == (True, False, False)
    default = empty["scene"]
    assert other["scene"] == default
    bounded = {"first": 3, "x": 3.6, "y": -3.6, "cliff": 1}
    assert limited["scene"] == default | bounded


def test_one_nan_and_the_others_are_lost():
    descent, adam = runs({"method": "descent"} | CLIFF, {"method": "adam"} | CLIFF)
    assert descent["count"] is adam["count"] is None


def test_the_lesson_of_the_page_is_true():
    along, across, turned = runs(
        {"method": "irprop-"} | ALONG,
        {"method": "irprop-"} | ACROSS,
        {"method": "eigenbasis"} | ACROSS,
    )
    assert along["count"] < 50
    assert across["count"] > 2000
    assert turned["count"] < 50
