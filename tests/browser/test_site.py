"""The documentation as a site: every page fits, asks nothing of other hosts, and axe has no serious finding."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome

from tests.browser.test_report import RUN_AXE, show
from tests.conftest import ROOT, Explained
from unpooled.explain.listing import Explanation

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, explained: Explained) -> Iterator[tuple[Path, str]]:
    """The built site, explanations in their quick form, and its address."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    def quick(known: Explanation, out: Path) -> Path:
        return Path(out.write_bytes(explained(known.name).read_bytes()) and out)

    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unpooled.explain.page.write_explanation", quick)  # before the hook is loaded
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.mark.timeout(1200)
def test_every_page_fits_is_silent_and_accessible(browser: Chrome, site: tuple[Path, str], axe: str) -> None:
    folder, address = site
    pages = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html") if path.name != "404.html")
    assert "index.html" in pages
    wrong = []
    for page in pages:
        for width in (400, 1400):
            browser.get_log("performance")
            show(browser, address + page, width)
            scroll, client = browser.execute_script(
                "const e = document.scrollingElement; return [e.scrollWidth, e.clientWidth]"
            )
            asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
            urls = [m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"]
            elsewhere = [url for url in urls if not url.startswith((address, "data:", "blob:"))]
            said = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
            browser.execute_script(axe)
            serious = [v for v in browser.execute_async_script(RUN_AXE) if v[0] in ("serious", "critical")]
            if scroll > client or elsewhere or said or serious:
                wrong.append((page, width, scroll - client, elsewhere, said, serious))
    assert wrong == []
