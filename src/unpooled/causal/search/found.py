"""What a search returns, where it starts, and the steps that it chooses among."""

from __future__ import annotations

from dataclasses import dataclass

from unpooled.causal.graphs.background import Background, allows, orient
from unpooled.causal.graphs.completion import class_of, consistent_extension
from unpooled.causal.graphs.operators import Kind, Operator, operators
from unpooled.causal.graphs.pdag import PDAG
from unpooled.causal.scores.base import LocalScore, score_of
from unpooled.errors import BadData

NOTHING = Background()
GAIN = 1e-7
"""A step has to gain more than this, in the score's unit: less is rounding, and could go round in circles."""
ROUNDING = 1e-9
"""What was taken away against its gain has to be regained and GAIN more, and this share of it: less is rounding."""


@dataclass(frozen=True)
class Found:
    """A CPDAG, the score of its members in the score's `unit`, and how many operators were applied.

    Where something was known before the data, the graph has the arrows that follow from it, and `score` is that of a
    member that agrees with it.
    """

    graph: PDAG
    score: float
    unit: str
    steps: int


def found(score: LocalScore, graph: PDAG, steps: int, background: Background) -> Found:
    """The result for a CPDAG."""
    directed = orient(graph, background)
    return Found(directed, score_of(score, consistent_extension(directed)), score.unit, steps)


def first(score: LocalScore, background: Background = NOTHING) -> PDAG:
    """The class of the DAG that has the required arrows only.

    Raises `BadData` where there is no column, `BadSetting` where what is known names others or contradicts itself.
    """
    if not score.names:
        raise BadData("A search needs at least one column, got none.")
    return class_of(PDAG(background.matrices(score.names)[0], score.names))


def gain(score: LocalScore, graph: PDAG, operator: Operator) -> float:
    """What the operator adds to the score: the sum over the local scores that it changes."""
    return sum(
        score.local_score(node, tuple(sorted(after))) - score.local_score(node, tuple(sorted(before)))
        for node, before, after in operator.changes(graph)
    )


def best(
    score: LocalScore,
    graph: PDAG,
    kind: Kind,
    background: Background = NOTHING,
    *,
    kept_out: tuple[int, int] | None = None,
) -> Operator | None:
    """The valid operator of that kind that gains most and leads to a class with a DAG that agrees with what is known.

    None where none gains. `kept_out` is an arrow (x, y) that is neither inserted nor turned to.
    """
    chosen, most = None, GAIN
    for operator in operators(graph, (kind,)):
        if kind != "delete" and kept_out == (operator.x, operator.y):
            continue
        if (value := gain(score, graph, operator)) > most and allows(operator.apply(graph), background):
            chosen, most = operator, value
    return chosen
