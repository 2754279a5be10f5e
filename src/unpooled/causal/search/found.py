"""What a search returns."""

from __future__ import annotations

from dataclasses import dataclass

from unpooled.causal.graphs.completion import consistent_extension
from unpooled.causal.graphs.operators import Operator
from unpooled.causal.graphs.pdag import PDAG
from unpooled.causal.scores.base import LocalScore, score_of
from unpooled.errors import BadData

GAIN = 1e-7
"""A step has to gain more than this, in the score's unit: less is rounding, and could go round in circles."""


@dataclass(frozen=True)
class Found:
    """A CPDAG, the score of its members in the score's `unit`, and how many operators were applied."""

    graph: PDAG
    score: float
    unit: str
    steps: int


def found(score: LocalScore, graph: PDAG, steps: int) -> Found:
    """The result for a CPDAG."""
    return Found(graph, score_of(score, consistent_extension(graph)), score.unit, steps)


def empty(score: LocalScore) -> PDAG:
    """The graph without edges; raises `BadData` where there is no column."""
    if not score.names:
        raise BadData("A search needs at least one column, got none.")
    m = len(score.names)
    return PDAG([[False] * m for _ in range(m)], score.names)


def gain(score: LocalScore, graph: PDAG, operator: Operator) -> float:
    """What the operator adds to the score: the sum over the local scores that it changes."""
    return sum(
        score.local_score(node, tuple(sorted(after))) - score.local_score(node, tuple(sorted(before)))
        for node, before, after in operator.changes(graph)
    )
