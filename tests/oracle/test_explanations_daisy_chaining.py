"""Daisy-chaining: counted coverage against the formulas, and the orderings that the page reports."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from unpooled.explain.execution import execute
from unpooled.explain.listing import explanation
from unpooled.training.coverage import expected_distinct
from unpooled.training.operators.hops import cyclic, permute


@pytest.fixture(scope="module")
def page() -> Mapping[str, Any]:
    return execute(explanation("daisy-chaining"), quick=True).names


def test_no_model_is_lost_and_what_is_counted_grows_by_one_at_most(page: Mapping[str, Any]) -> None:
    places = page["travels"](permute(), 12, 9, seed=3)
    assert places.shape == (10, 12)
    assert (np.sort(places, axis=1) == np.arange(12)).all()
    counts = page["distinct"](places)
    assert (counts[0] == 1).all()
    assert set(np.unique(np.diff(counts, axis=0))) <= {0, 1}


def test_simulated_coverage_is_the_formula(page: Mapping[str, Any]) -> None:
    """Means of a run are independent between runs: four standard errors for each of the moments."""
    for place, hops in enumerate(page["MOMENTS"]):
        means = page["simulated"][:, place].mean(axis=1)
        error = means.std(ddof=1) / math.sqrt(len(means))
        assert abs(means.mean() - expected_distinct(page["MANY"], hops)) <= 4 * error + 1e-9


def test_exact_hops_cover_and_published_ones_do_not(page: Mapping[str, Any]) -> None:
    slack = 3 * math.sqrt(page["DELTA"] * (1 - page["DELTA"]) / page["RUNS"])
    for m, k, published, had, exact, has in page["covered"]:
        assert published < exact
        assert has >= 1 - page["DELTA"] - slack
        assert had <= has + slack
        if (m, k) == (50, 25):
            assert had < 0.1


def test_a_circle_covers_for_certain(page: Mapping[str, Any]) -> None:
    for hops in (1, 24, 49):
        assert set(page["distinct"](page["travels"](cyclic(1), 50, hops, seed=0))[-1]) == {hops + 1}


def test_hopping_helps_where_models_are_averaged_rarely(page: Mapping[str, Any]) -> None:
    """The specification's ordering, with at least half of its gap; FedAvg(1) is no worse, and nobody claims it is."""
    last = page["last"]
    assert last["FedDC(1, 10)"][0] > last["FedAvg(10)"][0] + 0.1
    assert last["FedDC(1, 10)"][1] > last["FedAvg(10)"][1] + 0.02
    assert last["FedAvg(1)"][1] > last["FedDC(1, 10)"][1] - 0.05
    assert last["each alone"][0] < last["FedDC(1, 10)"][0] - 0.2
