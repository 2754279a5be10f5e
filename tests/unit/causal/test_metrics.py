"""Distances between graphs, on numbers checked by hand."""

from __future__ import annotations

import pytest

from unpooled.causal.graphs import PDAG, class_of
from unpooled.causal.graphs.metrics import (
    Retrieval,
    adjacencies,
    adjustment_distance,
    arrows,
    shd,
    shd_of_classes,
    shd_of_entries,
    sid,
)
from unpooled.errors import BadData, BadSetting

TRUE = PDAG.from_edges("abcd", arrows=[("a", "c"), ("b", "c"), ("c", "d")])
TURNED = PDAG.from_edges("abcd", arrows=[("a", "c"), ("c", "b"), ("c", "d")])
LESS = PDAG.from_edges("abcd", arrows=[("a", "c"), ("b", "c")], lines=[("a", "b")])


def test_each_count_follows_its_convention() -> None:
    assert shd(TRUE, TURNED) == 1
    assert shd_of_entries(TRUE, TURNED) == 2  # one entry more, one less
    assert shd_of_classes(TRUE, TURNED) == 3  # the turned arrow undoes the v-structure: a - c, c - b, c - d
    assert shd(TRUE, LESS) == 2  # c -> d is missing, a - b too much
    assert shd_of_entries(TRUE, LESS) == 3  # a line is two entries
    assert shd(TRUE, TRUE) == shd_of_classes(TRUE, TRUE) == shd_of_entries(TRUE, TRUE) == 0


def test_two_dags_of_one_class_differ_as_dags_only() -> None:
    there, back = PDAG([[0, 1], [0, 0]]), PDAG([[0, 0], [1, 0]])
    assert (shd(there, back), shd_of_classes(there, back)) == (1, 0)


def test_precision_and_recall() -> None:
    assert adjacencies(TRUE, LESS) == Retrieval(correct=2, guessed=3, true=3)
    assert arrows(TRUE, LESS) == Retrieval(correct=2, guessed=2, true=3)
    both = arrows(TRUE, LESS)
    assert (both.precision, both.recall, both.f1) == (1.0, pytest.approx(2 / 3), pytest.approx(0.8))
    assert Retrieval(0, 0, 0).f1 == 1.0


def test_sid_of_one_turned_arrow() -> None:
    """TURNED takes b for an effect of c and a: wrong for (c, b), (a, b), and for b's effects on c and d."""
    assert sid(TRUE, TRUE) == (0.0, 0)
    share, number = sid(TRUE, TURNED)
    assert number == 4
    assert share == pytest.approx(number / 12)  # 4 * 3 ordered pairs


def test_adjustment_distance_is_zero_for_a_class_and_itself_alone() -> None:
    for how in ("ancestor", "parent", "oset"):
        assert adjustment_distance(class_of(TURNED), class_of(TURNED), how) == (0.0, 0)  # type: ignore[arg-type]
        assert adjustment_distance(TRUE, TURNED, how)[1] > 0  # type: ignore[arg-type]


def test_graphs_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(BadData, match="same nodes"):
        shd(TRUE, PDAG([[0]]))
    with pytest.raises(BadData, match="between two DAGs"):
        sid(TRUE, class_of(TURNED))
    with pytest.raises(BadData, match="DAGs and CPDAGs"):
        adjustment_distance(TRUE, LESS)
    with pytest.raises(BadSetting, match="ancestor, parent, oset"):
        adjustment_distance(TRUE, TURNED, "back door")  # type: ignore[arg-type]
