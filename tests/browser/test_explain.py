"""Explanations in a real browser: they fit, ask nothing of any network, and their controls change what they should."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.browser.test_report import CLIPPED_TEXT, RUN_AXE, STICKING_OUT, show
from tests.conftest import Explained
from unpooled.explain import EXPLANATIONS

pytestmark = pytest.mark.browser

NAMES = [known.name for known in EXPLANATIONS]
VISIBLE = """
return [...arguments[0].querySelectorAll('.frame')].filter((f) => f.getClientRects().length).map((f) => f.dataset.name)
"""


def frames(browser: Chrome, figure: WebElement) -> list[str]:
    found: list[str] = browser.execute_script(VISIBLE, figure)
    return found


def moved(browser: Chrome, reduce: bool) -> None:
    features = [{"name": "prefers-reduced-motion", "value": "reduce" if reduce else "no-preference"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


@pytest.mark.parametrize("name", NAMES)
def test_a_page_fits_is_silent_and_accessible(browser: Chrome, explained: Explained, axe: str, name: str) -> None:
    page = explained(name).as_uri()
    for width in (400, 1400):
        browser.get_log("performance")
        show(browser, page, width)
        for figure in browser.find_elements(By.CSS_SELECTOR, "figure.frames"):
            figure.find_element(By.CSS_SELECTOR, "input").send_keys(Keys.END)
        scroll, client = browser.execute_script(
            "const e = document.scrollingElement; return [e.scrollWidth, e.clientWidth]"
        )
        assert scroll <= client
        assert browser.execute_script(STICKING_OUT) == []
        assert browser.execute_script(CLIPPED_TEXT) == []
        asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        urls = [m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"]
        assert [url for url in urls if not url.startswith("data:")] == [page]
        assert browser.get_log("browser") == []
        browser.execute_script(axe)
        found: list[Any] = browser.execute_async_script(RUN_AXE)
        assert [violation for violation in found if violation[0] in ("serious", "critical")] == []


@pytest.mark.parametrize("name", NAMES)
def test_each_slider_chooses_its_picture_by_keyboard(browser: Chrome, explained: Explained, name: str) -> None:
    show(browser, explained(name).as_uri(), 1400)
    for figure in browser.find_elements(By.CSS_SELECTOR, "figure.frames"):
        slider = figure.find_element(By.CSS_SELECTOR, "input")
        known = [f.get_attribute("data-name") for f in figure.find_elements(By.CSS_SELECTOR, ".frame")]
        slider.send_keys(Keys.HOME)
        assert frames(browser, figure) == known[:1]
        slider.send_keys(Keys.ARROW_RIGHT)
        assert frames(browser, figure) == known[1:2]
        assert slider.get_attribute("aria-valuetext") == known[1]
        assert figure.find_element(By.CSS_SELECTOR, "output").text == known[1]


@pytest.mark.parametrize("name", NAMES)
def test_each_animation_plays_stops_and_steps_where_motion_is_unwanted(
    browser: Chrome, explained: Explained, name: str
) -> None:
    show(browser, explained(name).as_uri(), 1400)
    for figure in browser.find_elements(By.CSS_SELECTOR, "figure.frames:has(button)"):
        known = [f.get_attribute("data-name") for f in figure.find_elements(By.CSS_SELECTOR, ".frame")]
        slider, button = (figure.find_element(By.CSS_SELECTOR, part) for part in ("input", "button"))
        slider.send_keys(Keys.HOME)
        assert button.text == "Play"
        button.click()
        assert button.text == "Pause"
        stop = time.monotonic() + 10
        while frames(browser, figure) == known[:1] and time.monotonic() < stop:
            time.sleep(0.05)
        assert frames(browser, figure) != known[:1]
        slider.send_keys(Keys.HOME)  # whoever takes the slider stops it
        assert button.text == "Play"
        moved(browser, reduce=True)
        # the page hears of it at its next frame
        WebDriverWait(browser, 5).until(lambda _, button=button: button.text == "Next")
        button.click()
        assert frames(browser, figure) == known[1:2]
        moved(browser, reduce=False)
        WebDriverWait(browser, 5).until(lambda _, button=button: button.text == "Play")
