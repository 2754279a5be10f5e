"""The four points of the Radon page: dragged and moved by keys, they give the library's Radon point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.test_report import show
from tests.conftest import Explained
from unpooled.combine import Array, radon_point
from unpooled.seeds import Streams

pytestmark = pytest.mark.browser
PLACES = """
const place = (node) => [Number(node.dataset.x), Number(node.dataset.y)];
const figure = document.querySelector('figure.sketch');
return {
  points: [...figure.querySelectorAll('.handle')].map(place),
  radon: place(figure.querySelector('.radon')),
  mean: place(figure.querySelector('.mean')),
  said: figure.querySelector('.told').textContent,
};
"""


def places(browser: Chrome) -> tuple[Array, Array, str]:
    """Points, Radon point and words, after the star and the cross were checked against the library."""
    found: Any = browser.execute_script(PLACES)
    points = np.array(found["points"])
    np.testing.assert_allclose(found["radon"], radon_point(points), atol=1e-9)
    np.testing.assert_allclose(found["mean"], points.mean(axis=0), atol=1e-9)
    return points, np.array(found["radon"]), str(found["said"])


@pytest.mark.parametrize("width", [400, 1400])
def test_a_dragged_point_moves_the_mean_more_than_the_radon_point(
    browser: Chrome, explained: Explained, width: int
) -> None:
    show(browser, explained("radon-point").as_uri(), width)
    before, radon, _ = places(browser)
    handle = browser.find_element(By.CSS_SELECTOR, '.handle[data-point="C"] .dot')
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", handle)
    ActionChains(browser).drag_and_drop_by_offset(handle, -width // 8, width // 10).perform()
    after, moved, _ = places(browser)
    assert np.abs(after[2] - before[2]).max() > 0.5
    np.testing.assert_array_equal(after[[0, 1, 3]], before[[0, 1, 3]])
    assert not np.array_equal(moved, radon)


def test_arrow_keys_move_a_point_and_the_button_takes_it_back(browser: Chrome, explained: Explained) -> None:
    show(browser, explained("radon-point").as_uri(), 1400)
    before, _, said = places(browser)
    assert "cross" in said
    handle = browser.find_element(By.CSS_SELECTOR, '.handle[data-point="D"]')
    ring = handle.find_element(By.CSS_SELECTOR, ".ring")
    assert ring.get_attribute("visibility") == "hidden"
    browser.execute_script("arguments[0].focus()", handle)
    assert ring.get_attribute("visibility") == "visible"
    handle.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.SHIFT + Keys.ARROW_DOWN)
    after, _, _ = places(browser)
    np.testing.assert_allclose(after[3] - before[3], [0.1, -1.1], atol=1e-9)
    for _ in range(30):
        handle.send_keys(Keys.ARROW_RIGHT)
    points, radon, said = places(browser)
    assert "inside the triangle" in said
    assert (np.abs(points - radon).max(axis=1) < 1e-9).sum() == 1
    browser.find_element(By.CSS_SELECTOR, "figure.sketch button").click()
    np.testing.assert_array_equal(places(browser)[0], before)


def test_the_browser_computes_what_the_library_does(browser: Chrome, explained: Explained) -> None:
    """300 random groups, some of them with small whole coordinates, where points coincide or lie on one line."""
    show(browser, explained("radon-point").as_uri(), 1400)
    rng = Streams(0).generator("browser")
    groups = np.concatenate([rng.uniform(0, 10, (200, 4, 2)), rng.integers(0, 4, (100, 4, 2))])
    script = "const f = document.querySelector('figure.sketch'); return arguments[0].map((g) => f.radonPoint(g))"
    found: Any = browser.execute_script(script, groups.tolist())
    for group, one in zip(groups, found, strict=True):
        point, sides = np.array(one["point"]), np.array(one["sides"])
        centred = group - group.mean(axis=0)
        if np.linalg.matrix_rank(centred) == 2:  # otherwise there are several Radon points
            np.testing.assert_allclose(point, radon_point(group), atol=1e-8)
        for side in (1, -1):
            _in_the_hull(point, group[sides == side])


def _in_the_hull(point: Array, corners: Array) -> None:
    """At most three corners: some weights of at least 0 with sum 1 give the point."""
    from scipy.optimize import nnls

    assert len(corners)
    _, residual = nnls(np.vstack([corners.T, np.ones(len(corners))]), np.append(point, 1.0))
    assert residual < 1e-7
