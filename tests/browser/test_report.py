"""The report in a real browser: fits narrow and wide, is accessible, asks nothing of any network, prints."""

from __future__ import annotations

import base64
import json

import pytest
from selenium.webdriver import Chrome

pytestmark = pytest.mark.browser

WIDTHS = (320, 400, 1400)
STICKING_OUT = """
const wide = document.documentElement.clientWidth;
const inside = (e) => e.closest('.scroll') !== null && !e.matches('.scroll');
return [...document.body.querySelectorAll('*')].filter((e) => {
  const box = e.getBoundingClientRect();
  return box.width > 0 && !inside(e) && !e.closest('.skip') && (box.right > wide + 1 || box.left < -1);
}).map((e) => e.outerHTML.slice(0, 120));
"""
CLIPPED_TEXT = """
return [...document.querySelectorAll('figure svg')].filter((s) => s.getClientRects().length).flatMap((s) => {
  const frame = s.getBoundingClientRect();
  return [...s.querySelectorAll('text')].filter((t) => {
    const box = t.getBoundingClientRect();
    return box.right > frame.right + 2 || box.left < frame.left - 2 || box.bottom > frame.bottom + 2;
  }).map((t) => t.textContent);
});
"""
RUN_AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ['violations']}).then((found) => done(found.violations.map(
  (v) => [v.impact, v.id, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160))]
)), (error) => done([['critical', String(error), []]]));
"""


def show(browser: Chrome, page: str, width: int, scheme: str = "light") -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(page)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows(browser: Chrome, page: str, width: int) -> None:
    show(browser, page, width)
    scroll, client = browser.execute_script(
        "const e = document.scrollingElement; return [e.scrollWidth, e.clientWidth]"
    )
    assert scroll <= client
    assert browser.execute_script(STICKING_OUT) == []
    assert browser.execute_script(CLIPPED_TEXT) == []


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1400, "dark")])
def test_axe_finds_nothing_serious(browser: Chrome, page: str, axe: str, width: int, scheme: str) -> None:
    show(browser, page, width, scheme)
    browser.execute_script(axe)
    found = browser.execute_async_script(RUN_AXE)
    assert [violation for violation in found if violation[0] in ("serious", "critical")] == []


@pytest.mark.parametrize("page", ["heart"], indirect=True)
def test_axe_would_find_something(browser: Chrome, page: str, axe: str) -> None:
    show(browser, page, 1400)
    browser.execute_script("document.querySelector('.lead').style.color = '#999'")
    browser.execute_script(axe)
    assert "color-contrast" in {violation[1] for violation in browser.execute_async_script(RUN_AXE)}


def test_page_makes_no_request(browser: Chrome, page: str) -> None:
    browser.get_log("performance")
    show(browser, page, 1400)
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if not url.startswith("data:")] == [page]


@pytest.mark.parametrize("page", ["heart"], indirect=True)
def test_policy_of_the_page_blocks_what_it_should(browser: Chrome, page: str) -> None:
    show(browser, page, 1400)
    assert (
        browser.execute_async_script(
            """
        const done = arguments[0];
        document.addEventListener('securitypolicyviolation', (e) => done(e.effectiveDirective));
        const image = Object.assign(document.createElement('img'), {src: 'https://unpooled.invalid/x.png'});
        document.body.append(image);
        """
        )
        == "img-src"
    )


def test_scroll_regions_can_be_reached_by_keyboard(browser: Chrome, page: str) -> None:
    show(browser, page, 400)
    unnamed = browser.execute_script(
        """
        const text = (id) => document.getElementById(id)?.textContent;
        const label = (e) => e.getAttribute('aria-labelledby').split(' ').map(text);
        const name = (e) => e.getAttribute('aria-label') ?? label(e);
        return [...document.querySelectorAll('.scroll')].filter((e) =>
          e.tabIndex !== 0 || e.getAttribute('role') !== 'region' || !String(name(e)).trim()
        ).length
        """
    )
    assert unnamed == 0


def test_page_prints(browser: Chrome, page: str) -> None:
    show(browser, page, 1400)
    pdf = base64.b64decode(
        browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.7})["data"]
    )
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 20_000
