"""A headless Chromium and reports of made-up records to open in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from tests.unit.report.records import PLANS, write_record
from unpooled.report import write_report

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PAGES = {
    "demo": ("breast-cancer", "digits"),
    "heart": ("heart-disease",),
    "nasty": ("nasty",),
    "many": ("zipf",),
    "one-seed": ("one-seed", "stay"),
}


def missing(what: str) -> None:
    """Skip, or fail where a browser is required."""
    if os.environ.get("UNPOOLED_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{what} UNPOOLED_REQUIRE_BROWSER=1 does not allow to skip this.")
    pytest.skip(what)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Chromium with a fresh profile that writes down every request it makes."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        missing("No chromium with chromedriver here: apt-get install chromium chromium-driver.")
    options = Options()
    options.binary_location = str(chromium)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    try:
        chrome = Chrome(options=options, service=Service(str(driver)))
    except WebDriverException as error:
        missing(f"Chromium does not start: {error.msg}.")
        raise
    yield chrome
    chrome.quit()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, which checks accessibility."""
    default = Path(__file__).parents[2] / ".axe/node_modules/axe-core/axe.min.js"
    path = Path(os.environ.get("UNPOOLED_AXE", default))
    if not path.is_file():
        missing(f"No axe-core at {path}: make axe.")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def written() -> dict[str, str]:
    """Addresses of the reports that were written already: random order asks for each several times."""
    return {}


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest, written: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report."""
    if request.param not in written:
        folder = tmp_path_factory.mktemp("report")
        runs = [write_record(folder / name, PLANS[name]) for name in PAGES[request.param]]
        written[request.param] = write_report(runs, folder / "report.html").as_uri()
    return written[request.param]
