"""The kernel trick: identities to rounding, and what the text says about accuracies and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from unpooled.explain.execution import execute
from unpooled.explain.listing import explanation


@pytest.fixture(scope="module")
def page() -> Mapping[str, Any]:
    return execute(explanation("kernel-trick"), quick=True).names


def test_identities_hold_to_rounding(page: Mapping[str, Any]) -> None:
    assert page["gap"] < 1e-12
    assert page["difference"] < 1e-8
    assert page["apart"] < 1e-10


def test_the_dual_perceptron_counts_the_mistakes_that_make_up_the_primal_one(page: Mapping[str, Any]) -> None:
    X, y, w = page["X"], page["y"], page["w"]
    np.testing.assert_allclose(page["phi"](X).T @ (page["counter"] * y), w, atol=1e-9)


def test_a_line_guesses_and_a_plane_knows(page: Mapping[str, Any]) -> None:
    assert abs(page["line"].score(page["X_new"], page["y_new"]) - 0.5) < 0.1
    assert page["plane"].score(page["phi"](page["X_new"]), page["y_new"]) > 0.99
    assert page["counts"][10, 2] == 55
    assert page["counts"][100, 3] == 171_700


def test_the_width_leads_from_linear_to_memorising(page: Mapping[str, Any]) -> None:
    scores, machines, straight, new = page["scores"], page["machines"], page["straight"], page["X_many"]
    assert np.mean(machines[0.001].predict(new) == straight.predict(new)) > 0.98
    assert scores[1000.0][0] == 1.0
    best = max(scores, key=lambda gamma: scores[gamma][1])
    assert 0.1 < best < 1000
    assert scores[best][1] > scores[1000.0][1] + 0.1
    assert scores[best][1] > straight.score(new, page["y_many"]) + 0.03


def test_an_average_is_a_union_and_random_waves_give_it_one_size(page: Mapping[str, Any]) -> None:
    assert len(page["average"]) == sum(map(len, page["models"]))
    assert page["together"] > page["alone"] + 0.02
    curve = page["curve"]
    errors = [error for error, _ in curve.values()]
    assert errors == sorted(errors, reverse=True)
    assert abs(curve[max(curve)][1] - page["together"]) < 0.01
    assert 8 * (max(curve) + 1) < 24 * len(page["average"]) / 4
