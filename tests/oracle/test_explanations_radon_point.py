"""The Radon point: what is computed by hand is the library's, and the promise holds on random groups."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from unpooled.combine import radon_point
from unpooled.explain.execution import execute
from unpooled.explain.listing import explanation


@pytest.fixture(scope="module")
def page() -> Mapping[str, Any]:
    return execute(explanation("radon-point"), quick=True).names


def test_both_hulls_meet_in_the_librarys_point(page: Mapping[str, Any]) -> None:
    np.testing.assert_allclose(page["one"], page["other"], atol=1e-12)
    np.testing.assert_allclose(page["one"], radon_point(page["points"]), atol=1e-12)
    lam = page["lam"]
    assert abs(lam.sum()) < 1e-12
    np.testing.assert_allclose(lam @ page["points"], 0, atol=1e-12)


def test_no_point_is_worse_than_the_second_worst(page: Mapping[str, Any]) -> None:
    assert page["violations"] == 0
    assert page["worse_means"] > page["TRIALS"] / 20


def test_seven_bad_models_of_sixty_four_cannot_win(page: Mapping[str, Any]) -> None:
    counts = [page["far"](level) for level in range(4)]
    assert counts[0] == page["BAD"] == 2 ** page["HEIGHT"] - 1
    assert counts[-1] == 0
    for before, after in pairwise(counts):
        assert 2 * after <= before


def test_who_withstands_what(page: Mapping[str, Any]) -> None:
    table = page["found"].set_index(["kind", "way", "bad"])["median"]
    for bad in (1, 2, 4, 7, 32):
        assert table["broken", "mean", bad] > 3 * table["broken", "Radon point", bad]
    assert table["broken", "Radon point", 32] < 1
    assert table["colluding", "Radon point", 7] < 0.6
    assert table["colluding", "Radon point", 32] > 10
    assert table["colluding", "coordinate median", 24] < table["colluding", "Radon point", 24]
    clean = page["clean"]
    assert clean["mean"] < clean["Radon point"]
