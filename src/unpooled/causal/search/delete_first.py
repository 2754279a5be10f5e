"""Delete-first equivalence search: never insert while a deletion or a turn gains, then try to do without parts.

Nazaret and Blei, "Extremely greedy equivalence search", UAI 2024. Their XGES-0 applies the best gaining Delete, else
the best gaining Turn, else the best gaining Insert. Their extended search then takes each edge away against its gain,
goes on from there with that arrow kept out, and holds on to the result if its score is higher. Three deviations: lines
are turned as well as arrows (Hauser and Bühlmann, 2012); an arrow is kept out of turns too; and before edges, each
node's edges are taken away all at once, which leads out of more local optima at less cost (benchmarks/causal.py).
"""

from __future__ import annotations

from unpooled.causal.graphs.background import Background, allows
from unpooled.causal.graphs.operators import Operator, operators
from unpooled.causal.graphs.pdag import PDAG
from unpooled.causal.scores.base import Cached, LocalScore
from unpooled.causal.scores.summed import gaussians
from unpooled.causal.search.found import GAIN, NOTHING, ROUNDING, Found, best, first, found, gain


def delete_first(score: LocalScore, *, extended: bool = True, background: Background = NOTHING) -> Found:
    """The class that the search finds. `extended` False stops before anything is taken away against its gain.

    A `Gaussian` score, or a sum of them (`summed`), runs compiled (the first call of an installation compiles, which
    takes a while); any other score runs the plain form, `plain_delete_first`. Both look at the same operators; between
    equal gains, such as duplicate columns give, they may choose differently. With a `background` the search starts from
    the required arrows and never leaves the classes that have a DAG which agrees with it. Raises `BadSetting` where the
    background names no column or contradicts itself.
    """
    parts = gaussians(score)
    if parts is None:
        return plain_delete_first(score, extended=extended, background=background)
    from unpooled.causal.search.compiled import search

    start = first(score, background)
    adjacency, steps = search(parts, start.adjacency, *background.matrices(score.names), extended, GAIN)
    return found(score, PDAG(adjacency, start.names), steps, background)


def plain_delete_first(score: LocalScore, *, extended: bool = True, background: Background = NOTHING) -> Found:
    """The same search, for any score, as its paper tells it: every valid operator is looked at in every step."""
    search = _Search(Cached(score), background)
    graph, _, steps = search.climb(first(score, background))
    succeeded = extended
    while succeeded:
        graph, more = search.without_nodes(graph)
        graph, again = search.without_edges(graph)
        steps += more + again
        succeeded = again > 0
    return found(search.score, graph, steps, background)


class _Search:
    def __init__(self, score: LocalScore, background: Background) -> None:
        self.score, self.background = score, background

    def climb(self, graph: PDAG, kept_out: tuple[int, int] | None = None) -> tuple[PDAG, float, int]:
        """XGES-0 from that class: the class it ends in, what was gained, and the number of steps."""
        gained, steps = 0.0, 0
        while True:
            operator = (
                best(self.score, graph, "delete", self.background)
                or best(self.score, graph, "turn", self.background, kept_out=kept_out)
                or best(self.score, graph, "insert", self.background, kept_out=kept_out)
            )
            if operator is None:
                return graph, gained, steps
            gained += gain(self.score, graph, operator)
            graph = operator.apply(graph)
            steps += 1

    def without_nodes(self, graph: PDAG) -> tuple[PDAG, int]:
        """Node after node without its edges, until all have failed one after the other; steps that were kept."""
        node, failed, steps = 0, 0, 0
        while failed < len(graph.names):
            trial, gained, count = graph, 0.0, 0
            while (operator := self._cheapest_at(trial, node)) is not None:
                gained += gain(self.score, trial, operator)
                trial = operator.apply(trial)
                count += 1
            failed += 1
            if count:
                trial, more, climbed = self.climb(trial)
                if gained + more > GAIN + ROUNDING * abs(gained):
                    graph, steps, failed = trial, steps + count + climbed, 0
            node = (node + 1) % len(graph.names)
        return graph, steps

    def _cheapest_at(self, graph: PDAG, node: int) -> Operator | None:
        """The deletion of one of the node's edges that costs least."""
        here = [operator for operator in operators(graph, ("delete",)) if node in (operator.x, operator.y)]
        here.sort(key=lambda operator: -gain(self.score, graph, operator))
        return next((operator for operator in here if allows(operator.apply(graph), self.background)), None)

    def without_edges(self, graph: PDAG) -> tuple[PDAG, int]:
        """Deletion after deletion, those that cost least first, and its arrow kept out; steps that were kept."""
        listed = sorted(operators(graph, ("delete",)), key=lambda operator: -gain(self.score, graph, operator))
        steps = 0
        for operator in listed:
            if operator not in operators(graph, ("delete",)):
                continue  # no longer valid
            cost, trial = gain(self.score, graph, operator), operator.apply(graph)
            if not allows(trial, self.background):
                continue
            trial, more, climbed = self.climb(trial, (operator.x, operator.y))
            if cost + more > GAIN + ROUNDING * abs(cost):
                graph, _, free = self.climb(trial)
                steps += 1 + climbed + free
        return graph, steps
