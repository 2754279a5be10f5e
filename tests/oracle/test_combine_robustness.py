"""The orderings of the table that benchmarks/robustness.py prints: which combiner withstands which garbage."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from robustness import CORRUPT, local_models, one_row

pytestmark = pytest.mark.slow

models = functools.cache(local_models)


def table(attack: str, groupings: int) -> dict[int, Any]:
    """A row of AUCs by number of corrupt models."""
    return {corrupt: one_row(attack, corrupt, groupings, *models()) for corrupt in CORRUPT}


def test_against_independent_garbage_the_radon_point_keeps_its_accuracy_up_to_30_percent() -> None:
    found = table("garbage", groupings=5)
    clean = found[0]["mean"]
    for corrupt in CORRUPT:
        assert found[corrupt]["radon keeps"] == 1.0
        assert found[corrupt]["radon"] > clean - 0.005
        for name in ("coordinate median", "geometric median", "unit vectors", "norm clipped", "multi-Krum"):
            assert found[corrupt][name] > clean - 0.01
    assert found[4]["mean"] < clean - 0.1
    assert found[132]["trimmed 10 %"] < clean - 0.1


def test_against_collusion_it_breaks_down_at_2_to_5_percent_and_the_medians_do_not() -> None:
    found = table("collusion", groupings=15)
    clean = found[0]["mean"]
    assert found[0]["radon"] > clean - 0.005  # little is lost where all is well
    assert found[4]["radon keeps"] == 1.0
    assert found[9]["radon keeps"] < 1.0
    for corrupt in (22, 44, 88):
        line = found[corrupt]
        assert line["radon keeps"] == 0.0
        assert line["radon"] == pytest.approx(1 - clean, abs=0.06)  # the attacker's own model comes back
        assert line["geometric median"] >= line["coordinate median"] - 1e-3
        assert line["coordinate median"] > clean - 0.015
        assert line["unit vectors"] > clean - 0.015
    assert found[9]["mean"] > clean - 0.01 > found[22]["mean"] > found[44]["mean"] > found[88]["mean"]
    assert found[44]["trimmed 10 %"] > clean - 0.01
    assert found[88]["trimmed 10 %"] < 0.5
