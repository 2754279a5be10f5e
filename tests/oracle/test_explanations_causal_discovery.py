"""Causal discovery: identities of scores and answers, and what two environments tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from unpooled.causal.graphs import class_of
from unpooled.explain.execution import execute
from unpooled.explain.listing import explanation


@pytest.fixture(scope="module")
def page() -> Mapping[str, Any]:
    return execute(explanation("causal-discovery"), quick=True).names


def test_one_table_scores_both_directions_alike(page: Mapping[str, Any]) -> None:
    assert page["forward"] == pytest.approx(page["backward"], abs=1e-8)


def test_the_causal_slope_stays_and_the_other_one_is_as_computed(page: Mapping[str, Any]) -> None:
    """Dose given pain has slope 0.8 s^2 / (0.64 s^2 + 1) where doses are spread s times as wide."""
    for spread in page["SPREADS"]:
        direct, inverse = page["slopes"](page["hospitals"](spread, 0).tables["s1"])
        assert direct == pytest.approx(0.8, abs=0.15)
        assert inverse == pytest.approx(0.8 * spread**2 / (0.64 * spread**2 + 1), abs=0.1)


def test_two_environments_tell_where_they_differ_enough(page: Mapping[str, Any]) -> None:
    shares = page["shares"]
    assert shares[1.0].get("dose -- pain", 0) > 0.9
    assert shares[3.0].get("dose -> pain", 0) > 0.9
    assert all(found.get("pain -> dose", 0) < 0.1 for found in shares.values())


def test_orion_names_the_edge_and_who_lacks_it(page: Mapping[str, Any]) -> None:
    orion = page["orion"]
    assert orion.graph.edges() == [("dose", "->", "pain")]
    saved = orion.gains["dose", "pain"]
    assert saved[0] > 10
    assert saved[1] == 0
    assert [(target.environment, target.variable, target.kind) for target in orion.targets] == [("s1", "pain", "hard")]


def test_answers_add_up_to_what_the_search_gained(page: Mapping[str, Any]) -> None:
    search = page["search"]
    np.testing.assert_allclose([sum(said) for said in page["answers"]], [step.gain for step in search.path], atol=1e-6)
    assert page["graphs"][-1] == search.graph


def test_regrets_find_the_class_and_a_pooled_table_does_not(page: Mapping[str, Any]) -> None:
    wrong = page["wrong"]
    assert page["search"].graph == class_of(page["dag"])
    assert wrong["regrets, added up"][0] == 0
    assert wrong["all rows in one table"][0] > 5
    assert wrong["regrets, added up"][1] < wrong["all rows in one table"][1] / 10


def test_exact_answers_give_correlations_away(page: Mapping[str, Any]) -> None:
    errors = page["errors"]
    assert errors["exact answers"] < 1e-8
    noisy = [errors[f"noise of scale {scale:g}"] for scale in (0.1, 1.0, 10.0, 100.0)]
    assert noisy == sorted(noisy)
    assert errors["exact answers"] < errors["sums under masks"]
