"""Greedy equivalence search, in the order of its papers.

Chickering, "Optimal structure identification with greedy search", JMLR 3, 2002: from the empty class, forward by the
best Insert while one gains, then backward by the best Delete. Hauser and Bühlmann, JMLR 13, 2012, section 4.3: then the
best Turn, and all three again until nothing gains. Scores are exact: every valid operator is looked at in every step.
"""

from __future__ import annotations

from collections.abc import Sequence

from unpooled.causal.graphs.operators import Kind, Operator, operators
from unpooled.causal.graphs.pdag import PDAG
from unpooled.causal.scores.base import Cached, LocalScore
from unpooled.causal.search.found import GAIN, Found, empty, found, gain
from unpooled.errors import BadSetting

PHASES: tuple[Kind, ...] = ("insert", "delete", "turn")


def ges(score: LocalScore, *, phases: Sequence[Kind] = PHASES, repeat: bool = True) -> Found:
    """The class that greedy equivalence search finds, for any decomposable score.

    `phases` ("insert", "delete") with `repeat` False are Chickering's two phases. In the limit of many rows from a
    faithful distribution these find the true class if the score is consistent. A plain form: `delete_first` is the fast
    one for Gaussian scores. Raises `BadSetting` for an unknown phase.
    """
    for phase in phases:
        if phase not in PHASES:
            raise BadSetting(f"phases are among {', '.join(PHASES)}, got {phase!r}.")
    cached, graph, steps = Cached(score), empty(score), 0
    while True:
        before = steps
        for phase in phases:
            while (operator := best(cached, graph, phase)) is not None:
                graph = operator.apply(graph)
                steps += 1
        if steps == before or not repeat:
            return found(cached, graph, steps)


def best(score: LocalScore, graph: PDAG, kind: Kind, *, blocked: frozenset[int] = frozenset()) -> Operator | None:
    """The valid operator of that kind that gains most, or None where none gains; `blocked` is a pair not to insert."""
    chosen, most = None, GAIN
    for operator in operators(graph, (kind,)):
        if kind == "insert" and blocked == {operator.x, operator.y}:
            continue
        if (value := gain(score, graph, operator)) > most:
            chosen, most = operator, value
    return chosen
