"""Greedy equivalence search, in the order of its papers.

Chickering, "Optimal structure identification with greedy search", JMLR 3, 2002: from the empty class, forward by the
best Insert while one gains, then backward by the best Delete. Hauser and Bühlmann, JMLR 13, 2012, section 4.3: then the
best Turn, and all three again until nothing gains. Scores are exact: every valid operator is looked at in every step.
"""

from __future__ import annotations

from collections.abc import Sequence

from unpooled.causal.graphs.background import Background
from unpooled.causal.graphs.operators import Kind
from unpooled.causal.scores.base import Cached, LocalScore
from unpooled.causal.search.found import NOTHING, Found, best, first, found
from unpooled.errors import BadSetting

PHASES: tuple[Kind, ...] = ("insert", "delete", "turn")


def ges(
    score: LocalScore, *, phases: Sequence[Kind] = PHASES, repeat: bool = True, background: Background = NOTHING
) -> Found:
    """The class that greedy equivalence search finds, for any decomposable score.

    `phases` ("insert", "delete") with `repeat` False are Chickering's two phases. In the limit of many rows from a
    faithful distribution these find the true class if the score is consistent. With a `background` the search starts
    from the required arrows and never leaves the classes that have a DAG which agrees with it. A plain form:
    `delete_first` is the fast one for Gaussian scores. Raises `BadSetting` for an unknown phase or column.
    """
    for phase in phases:
        if phase not in PHASES:
            raise BadSetting(f"phases are among {', '.join(PHASES)}, got {phase!r}.")
    cached, graph, steps = Cached(score), first(score, background), 0
    while True:
        before = steps
        for phase in phases:
            while (operator := best(cached, graph, phase, background)) is not None:
                graph = operator.apply(graph)
                steps += 1
        if steps == before or not repeat:
            return found(cached, graph, steps, background)
