"""The package as a whole: imports go one way, names are documented, the pages run."""

import ast
import contextlib
import graphlib
import importlib.metadata
import inspect
import io
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
# A module imports only from its own package and from the layers before it.
LAYERS = [
    {"_cond", "_kept", "_derivatives", "_leaf"},
    {"_checks"},
    {"_rule"},
    {"_transform"},
    {"_fit"},
    {"_streaming", "_interop", "optimistix"},
    {"_streaming_fit"},
    {"__init__"},
]

needs_checkout = pytest.mark.skipif(
    not (ROOT / "docs").exists(), reason="not in a checkout of the project"
)


def imports():
    """The modules of the package that each of its modules imports, by dotted names."""
    paths = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
    }
    found = {}
    for module, path in paths.items():
        used = found[module] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("optax_rprop"):
                source = node.module.removeprefix("optax_rprop").removeprefix(".")
                names = {f"{source}.{alias.name}".strip(".") for alias in node.names}
                used |= names & paths.keys() or {source}
    return found


def test_a_module_imports_only_from_the_layers_below_it():
    layer = {name: i for i, names in enumerate(LAYERS) for name in names}
    found = imports()
    assert {module.split(".")[0] for module in found} == set(layer)
    assert sum(map(len, found.values())) > 50
    for module, used in found.items():
        package = module.split(".")[0]
        for source in {name.split(".")[0] for name in used} - {package}:
            assert layer[source] < layer[package], (module, source)
    tuple(graphlib.TopologicalSorter(found).static_order())  # raises for a cycle


def test_public_names_are_documented():
    for name in optax_rprop.__all__:
        public = getattr(optax_rprop, name)
        if callable(public):
            assert re.search("Args:|Attributes:|Example:", public.__doc__)


def test_importing_needs_jax_and_optax_alone_and_starts_no_backend():
    """``jax.distributed.initialize`` has to come before the first computation."""
    code = (
        "import sys, optax_rprop, jax\n"
        "extra = {'equinox', 'flax', 'matplotlib', 'optimistix', 'sklearn', 'tqdm'}\n"
        "extra &= set(sys.modules)\n"
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


def test_the_version_is_that_of_the_package():
    assert optax_rprop.__version__ == importlib.metadata.version("optax-rprop")


def test_the_description_on_pypi_has_absolute_addresses_alone():
    """Those of README.md are relative, which the page of the repository can show."""
    metadata = importlib.metadata.metadata("optax-rprop")
    address = metadata["Project-URL"].removeprefix("Repository, ")
    version = f"v{optax_rprop.__version__}"
    targets = re.findall(r"(!?)\[[^\]]*\]\(([^)]*)\)", metadata["Description"])
    pictures = [target for mark, target in targets if mark]
    assert pictures
    for picture in pictures:
        assert re.match(rf"{address}/raw/{version}/docs/images/\w+\.(png|svg)$", picture)
    for _, target in targets:
        assert re.match("https?:|#", target), target
    assert any(target.startswith(f"{address}/blob/{version}/") for _, target in targets)


def test_signatures_are_short_enough_to_read():
    """An annotation is shown as it is written, and not as the types behind its name."""
    functions = [getattr(optax_rprop, name) for name in optax_rprop.__all__]
    functions = [public for public in functions if inspect.isfunction(public)]
    assert len(functions) > 8
    for public in functions:
        assert "Union[" not in str(inspect.signature(public))
    shown = str(inspect.signature(optax_rprop.fit))
    assert "target_loss: 'jax.typing.ArrayLike | None' = None" in shown


SNIPPET = """
import jax
import jax.numpy as jnp

from optax_rprop import FitResult, FitStatus, fit


def loss_fn(params: jax.Array) -> jax.Array:
    return jnp.sum(params**2)


result: FitResult = fit(loss_fn, jnp.ones(2), target_loss=1e-6)
name: str = result.status.name
advice: str = result.status.advice
steps: int = result.num_steps + result.best_step
reached: bool = result.status == FitStatus.TARGET_REACHED
small: jax.Array = result.gradient_max < 1e-3
best: FitResult = result.best()
print(f"{name} {advice} {steps} {reached} {small} {best.loss:.3g} {result.statuses}")
result.status.wrong
"""


@needs_checkout
def test_what_a_user_writes_passes_a_type_checker(tmp_path):
    """All but the last line, which shows that it is the package's types that count."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    (tmp_path / "snippet.py").write_text(SNIPPET)
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "snippet.py"],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.stdout.splitlines() == [
        'snippet.py:20: error: "FitStatus" has no attribute "wrong"  [attr-defined]',
        "Found 1 error in 1 file (checked 1 source file)",
    ], ran.stdout + ran.stderr


@needs_checkout
def test_the_api_page_lists_every_public_name():
    page = (ROOT / "docs" / "api.rst").read_text()
    listed = re.findall(r"auto(?:function|class|data):: optax_rprop\.([\w.]+)", page)
    # The module for Optimistix is not imported with the package.
    names = {*optax_rprop.__all__, "optimistix.RpropMinimiser"}
    assert set(listed) == names


@needs_checkout
def test_the_changelog_mentions_this_version():
    version = importlib.metadata.version("optax-rprop")
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


@needs_checkout
def test_the_citation_is_that_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text()
    version = importlib.metadata.version("optax-rprop")
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [version]


@needs_checkout
def test_actions_are_pinned():
    """By a commit, as a tag can be moved; the pin says which release it is."""
    workflows = [*(ROOT / ".github" / "workflows").glob("*.yml")]
    assert len(workflows) == 3
    uses = [
        line for path in workflows for line in re.findall("uses: (.*)", path.read_text())
    ]
    assert len(uses) > 8
    for line in uses:
        assert re.fullmatch(r"\./\S+|[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


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


def masked(text):
    return re.sub(r"\d+(\.\d+)?(e-?\d+)?", "#", text)


@needs_checkout
def test_every_python_block_of_the_pages_runs(relaxed):
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    pattern = r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?"
    blocks = [
        (page.name, *found)
        for page in pages
        for found in re.findall(pattern, page.read_text(), re.DOTALL)
    ]
    assert len(blocks) > 2
    assert sum(bool(output) for *_, output in blocks) > 2
    names = {name: {} for name, *_ in blocks}  # a page is read from its top
    for name, block, output in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, name, "exec"), names[name])  # raises where it asserts
        if output:  # whose numbers depend on the machine and on x64
            assert masked(printed.getvalue()) == masked(output)


@needs_checkout
def test_the_gallery_shows_every_example():
    page = (ROOT / "examples" / "index.rst").read_text()
    shown = re.findall(r"   \.\./examples/(\w+)\.py\n", page)
    examples = {path.stem for path in ROOT.glob("examples/*.py")}
    assert sorted([*shown, "tutorial"]) == sorted(examples)  # that one has its own entry


@needs_checkout
def test_the_page_on_libraries_shows_every_recipe():
    page = (ROOT / "docs" / "libraries.md").read_text()
    shown = re.findall(
        r"```{literalinclude} \.\./tests/libraries/(in_\w+\.py)\n:language: python\n"
        r':lines: 3-\n:end-before: "# Not on the page"\n```',
        page,
    )
    recipes = {path.name: path.read_text() for path in TESTS.glob("libraries/in_*.py")}
    assert sorted(shown) == sorted(recipes)
    for text in recipes.values():
        assert re.match(r'"""[^"\n]+"""\n\n\S', text)  # the page leaves these lines out
        assert text.count("\n# Not on the page:\n") == 1
