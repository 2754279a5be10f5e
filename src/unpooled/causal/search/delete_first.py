"""Delete-first equivalence search: never insert while a deletion or a turn gains, then try to do without each edge.

Nazaret and Blei, "Extremely greedy equivalence search", UAI 2024. Their XGES-0 applies the best gaining Delete, else
the best gaining Turn, else the best gaining Insert. XGES then deletes each edge against its gain, goes on from there
with that edge kept out, and keeps the result if its score is higher. Two deviations: lines are turned as well as arrows
(Hauser and Bühlmann, 2012), and the list of deletions to try is made anew after each success.
"""

from __future__ import annotations

from unpooled.causal.graphs.operators import Operator, operators
from unpooled.causal.graphs.pdag import PDAG
from unpooled.causal.scores.base import Cached, LocalScore
from unpooled.causal.scores.gaussian import Gaussian
from unpooled.causal.search.found import GAIN, Found, empty, found, gain
from unpooled.causal.search.ges import best

Key = tuple[int, int, frozenset[int]]


def delete_first(score: LocalScore, *, extended: bool = True) -> Found:
    """The class that the search finds. `extended` False stops before edges are deleted against their gain.

    A `Gaussian` score runs compiled (the first call of an installation compiles, which takes a while); any other score
    runs the plain form, `plain_delete_first`. Both look at the same operators; between equal gains, such as duplicate
    columns give, they may choose differently.
    """
    if not isinstance(score, Gaussian):
        return plain_delete_first(score, extended=extended)
    from unpooled.causal.search.compiled import search

    start = empty(score)
    adjacency, steps = search(score.correlation, score.rows, score.penalty, extended, GAIN)
    return found(score, PDAG(adjacency, start.names), steps)


def plain_delete_first(score: LocalScore, *, extended: bool = True) -> Found:
    """The same search, for any score, as its paper tells it: every valid operator is looked at in every step."""
    cached = Cached(score)
    graph, _, steps = _climb(cached, empty(score))
    succeeded = extended
    while succeeded:
        succeeded, tried = False, set[Key]()
        while (operator := _next_deletion(cached, graph, tried)) is not None:
            tried.add((operator.x, operator.y, operator.clique))
            pair = frozenset({operator.x, operator.y})
            other, gained, more = _climb(cached, operator.apply(graph), blocked=pair)
            if gained + gain(cached, graph, operator) > GAIN:
                graph, _, free = _climb(cached, other)  # without the pair kept out
                steps, succeeded = steps + 1 + more + free, True
    return found(cached, graph, steps)


def _climb(score: LocalScore, graph: PDAG, blocked: frozenset[int] = frozenset()) -> tuple[PDAG, float, int]:
    """XGES-0 from that class: the class it ends in, what was gained, and the number of steps."""
    gained, steps = 0.0, 0
    while True:
        operator = (
            best(score, graph, "delete") or best(score, graph, "turn") or best(score, graph, "insert", blocked=blocked)
        )
        if operator is None:
            return graph, gained, steps
        gained += gain(score, graph, operator)
        graph = operator.apply(graph)
        steps += 1


def _next_deletion(score: LocalScore, graph: PDAG, tried: set[Key]) -> Operator | None:
    """The deletion not yet tried that costs least; of the two that remove a line, the one with x < y."""
    left = [
        operator
        for operator in operators(graph, ("delete",))
        if (operator.x, operator.y, operator.clique) not in tried
        and (operator.x < operator.y or not graph.adjacency[operator.y, operator.x])
    ]
    return max(left, key=lambda operator: gain(score, graph, operator), default=None)
