"""Headless Chromium without a network: `pytest tests/site --site BUILT_SITE`."""

import pathlib
import shutil

import pytest
from playwright.sync_api import sync_playwright
from visits import SECONDS, WIDTHS

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def pytest_addoption(parser):
    parser.addoption("--site", type=pathlib.Path, help="the folder of the built site")


def site_of(config):
    site = config.getoption("--site")
    if site is None or not (site / "index.html").exists():
        raise pytest.UsageError(f"--site must be the folder of a built site, got {site}")
    return site.resolve()


def pytest_generate_tests(metafunc):
    if "path" in metafunc.fixturenames:
        site = site_of(metafunc.config)
        paths = sorted(str(path.relative_to(site)) for path in site.rglob("*.html"))
        # What these hold is shown by pages, or offered by them, and is none itself.
        pages = [path for path in paths if not path.startswith(("_static", "_downloads"))]
        metafunc.parametrize("path", pages)


@pytest.fixture(scope="session")
def site(pytestconfig):
    return site_of(pytestconfig)


@pytest.fixture(scope="session")
def chromium():
    found = [path for path in map(shutil.which, CHROMIUM) if path]
    assert found, f"needs one of {', '.join(CHROMIUM)}"
    with sync_playwright() as playwright:
        # As root, which a container often is, Chromium runs only without its sandbox.
        browser = playwright.chromium.launch(
            executable_path=found[0], args=["--no-sandbox"], timeout=1000 * SECONDS
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def tabs(chromium):
    """A tab for each width and each colour scheme."""
    return {
        (device, scheme): chromium.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme, offline=True
        ).new_page()
        for device, width in WIDTHS.items()
        for scheme in ("light", "dark")
    }
