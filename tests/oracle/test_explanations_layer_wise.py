"""Layer by layer: the numbers of the minimal example, and what two real networks show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from unpooled.explain.execution import execute
from unpooled.explain.listing import explanation

HALFWAY = {
    3.0: (0.1111, 1.0, 0.1111),
    4.0: (0.3164, 2.25, 0.1406),
    5.0: (0.6400, 4.0, 0.1600),
    10.0: (4.1006, 20.25, 0.2025),
}
"""Both layers, the first, the second: from the specification."""


@pytest.fixture(scope="module")
def page() -> Mapping[str, Any]:
    return execute(explanation("layer-wise"), quick=True).names


@pytest.mark.parametrize("r", HALFWAY)
def test_the_numbers_of_the_minimal_example(page: Mapping[str, Any], r: float) -> None:
    np.testing.assert_allclose(page["halves"](r), HALFWAY[r], atol=5e-5)


def test_connect_measures_what_the_formulas_say(page: Mapping[str, Any]) -> None:
    for wanted, found in page["table"].values():
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_the_lines_in_the_picture_have_the_losses_beside_it(page: Mapping[str, Any]) -> None:
    for r in page["RATIOS"]:
        for name, (along, _) in page["CUTS"].items():
            losses = (page["way"](r, name).prod(axis=1) - 1) ** 2
            np.testing.assert_allclose([along(page["Minimal"](r), a) for a in page["alphas"]], losses, atol=1e-10)


def test_the_second_layer_changes_sides_at_three(page: Mapping[str, Any]) -> None:
    words = {r: page["told"](r).split("is ")[-1].split(" both")[0] for r in page["RATIOS"]}
    assert words == {r: "above" if r < 3 else "equal to" if r == 3 else "below" for r in page["RATIOS"]}


def test_real_networks_break_as_a_whole(page: Mapping[str, Any]) -> None:
    layers = [np.mean(pair) for pair in page["alone"].values()]
    assert page["whole"] > 30
    assert max(layers) < page["whole"] / 2
    assert np.mean(layers) < page["whole"] / len(layers)
