"""The house rules: imports go one way, names are documented, the pages run."""

import ast
import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys

import pytest

import optax_rprop

PACKAGE = pathlib.Path(optax_rprop.__file__).parent
TESTS = pathlib.Path(__file__).parent
ROOT = TESTS.parent
ROOMS = [
    "_checks",
    "_state_checks",
    "_identity",
    "_fit_checks",
    "_rule",
    "_leaf",
    "_transform",
    "_codes",
    "_eight_bit",
    "_torch_checks",
    "_torch",
    "_diagnostics",
    "_gradients",
    "_result",
    "_stop",
    "_progress",
    "_loop",
    "_fit",
    "__init__",
]

needs_checkout = pytest.mark.skipif(
    not (ROOT / "docs").exists(), reason="not in a checkout of the project"
)


def test_a_room_imports_only_from_rooms_above_it():
    assert {path.stem for path in PACKAGE.glob("*.py")} == set(ROOMS)
    for room in ROOMS:
        tree = ast.parse((PACKAGE / f"{room}.py").read_text())
        used = [
            name.removeprefix("optax_rprop.")
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module.startswith("optax_rprop")
            for name in (
                [alias.name for alias in node.names]
                if node.module == "optax_rprop"
                else [node.module]
            )
        ]
        assert all(ROOMS.index(name) < ROOMS.index(room) for name in used), (room, used)


def test_public_names_are_documented():
    for name in optax_rprop.__all__:
        public = getattr(optax_rprop, name)
        if callable(public):
            assert re.search("Args:|Attributes:|Example:", public.__doc__)


def test_importing_needs_jax_and_optax_alone_and_starts_no_backend():
    """``jax.distributed.initialize`` has to come before the first computation."""
    code = (
        "import sys, optax_rprop, jax\n"
        "extra = {'flax', 'matplotlib', 'sklearn', 'tqdm'} & set(sys.modules)\n"
        "assert not extra, extra\n"
        "jax.config.update('jax_num_cpu_devices', 3)  # an error once a backend runs\n"
        "assert jax.device_count() == 3\n"
    )
    env = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)


def test_the_package_needs_jax_jaxlib_and_optax_and_nothing_else():
    required = [
        re.split(r"[<>=\[; ]", line)[0]
        for line in importlib.metadata.requires("optax-rprop")
        if "extra ==" not in line
    ]
    assert required == ["jax", "jaxlib", "optax"]


@needs_checkout
def test_the_api_page_lists_every_public_name():
    page = (ROOT / "docs" / "api.rst").read_text()
    listed = re.findall(r"auto(?:function|class|data):: optax_rprop\.(\w+)", page)
    assert set(listed) == set(optax_rprop.__all__)


@needs_checkout
def test_the_changelog_mentions_this_version():
    version = importlib.metadata.version("optax-rprop")
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


@needs_checkout
@pytest.mark.parametrize("page", ["README.md", "docs/differences.md"])
def test_every_test_that_a_page_names_exists(page):
    named = re.findall(r"`(test_\w+)`", (ROOT / page).read_text())
    assert len(named) > 5
    defined = {
        node.name
        for path in TESTS.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert set(named) <= defined


@needs_checkout
def test_every_python_block_of_the_pages_runs(relaxed):
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    blocks = [
        (page.name, block)
        for page in pages
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    assert len(blocks) > 2
    names = {name: {} for name, _ in blocks}  # a page is read from its top
    for name, block in blocks:
        exec(compile(block, name, "exec"), names[name])  # raises where it asserts
