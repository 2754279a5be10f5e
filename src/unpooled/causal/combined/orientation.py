"""Orientation by invariance: the DAG with the fewest and cheapest groups of sites.

Spec 3.3, step 4: hill climbing over DAGs (add, delete, reverse) from a member of the class on F = sum over y of
F(y, pa_y), or within the class only. Beyond a local optimum the climb goes on for some steps (tabu search: Glover,
1989), and it begins a second time at the empty graph: of 20 graphs of the spec's first row, a plain climb from the
class ended 4 times above the cost of the true graph, this one once.

F is decomposable and not score-equivalent, so members of one class differ. An arrow counts as decided where every
member of the class that has it the other way costs log(1 / alpha) nats more. The spec compares with the reversal of
that edge alone; here all edges of the class may follow (a chain a - b - c has no member in which only one of two arrows
turns), which decides fewer arrows and never more.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from unpooled.causal.graphs.background import Background
from unpooled.causal.graphs.pdag import PDAG, Adjacency, topological_order
from unpooled.causal.search.found import NOTHING

Pair = tuple[int, tuple[int, ...]]
LEAST = 1e-7
"""A step has to save more than this, in nats."""
PATIENCE = 10
"""Steps of the climb without a better DAG: single changes of one edge are often stuck where two would gain."""
MEMBERS = 2000
"""How many members of a class are looked at, cheapest first."""


class Costs(Protocol):
    """F(y, S) in nats; `fetch` announces what will be needed, so that it can be asked in one go."""

    def fetch(self, pairs: Sequence[Pair]) -> None:
        """Ask for all of these that are not known."""
        ...

    def cost(self, pair: Pair) -> float:
        """F of this variable with these parents."""
        ...


@dataclass(frozen=True)
class Oriented:
    """The cheapest DAG found, its cost in nats, what turning each arrow costs at least (only arrows that some member of
    the class has the other way), and whether all members of the class were looked at."""

    dag: PDAG
    cost: float
    margins: Mapping[tuple[int, int], float]
    whole_class: bool

    def decided(self, least: float) -> PDAG:
        """Arrows that cost more than `least` nats to turn, the others as lines."""
        adjacency = self.dag.adjacency.copy()
        for (x, y), margin in self.margins.items():
            if margin < least:
                adjacency[y, x] = True
        return PDAG(adjacency, self.dag.names)


def orient_by_invariance(
    costs: Costs,
    start: PDAG,
    *,
    background: Background = NOTHING,
    within_class: bool = False,
    members: int = MEMBERS,
) -> Oriented:
    """From a DAG to the cheapest one near it, all of which agree with the `background`. A member of the class that is
    cheaper than where the climb ended starts the climb anew."""
    dag = start.adjacency
    required, forbidden = background.matrices(start.names)

    def allowed(other: Adjacency) -> bool:
        return not (required & ~other).any() and not (forbidden & other).any()

    if not within_class:
        other = _climb(costs, required, allowed)
        dag = _climb(costs, dag, allowed)
        dag = other if _total(costs, other) < _total(costs, dag) - LEAST else dag
    while True:
        found, whole = _members(costs, dag, members)
        found = [item for item in found if allowed(item[1])]
        best = min(found, key=lambda item: item[0])
        if best[0] > _total(costs, dag) - LEAST:
            break
        dag = best[1]
        if within_class:
            break
        dag = _climb(costs, dag, allowed)
    total = _total(costs, dag)
    margins = {
        (int(x), int(y)): min(cost for cost, other in found if other[y, x]) - total
        for x, y in zip(*np.nonzero(dag), strict=True)
        if any(other[y, x] for _, other in found)
    }
    return Oriented(PDAG(dag, start.names), total, margins, whole)


def _parents(dag: Adjacency, node: int) -> tuple[int, ...]:
    return tuple(int(i) for i in np.flatnonzero(dag[:, node]))


def _pairs(dag: Adjacency) -> list[Pair]:
    return [(node, _parents(dag, node)) for node in range(len(dag))]


def _total(costs: Costs, dag: Adjacency) -> float:
    costs.fetch(_pairs(dag))
    return sum(costs.cost(pair) for pair in _pairs(dag))


def _climb(costs: Costs, start: Adjacency, allowed: Callable[[Adjacency], bool]) -> Adjacency:
    """The best DAG on the way of always taking the cheapest change of one edge, up or down, that leads to a DAG where
    we may be and have not been; the way ends after `PATIENCE` steps without a better one."""
    dag, total = start, _total(costs, start)
    best, least, been, idle = dag, total, {dag.tobytes()}, 0
    while idle < PATIENCE:
        neighbours = [
            (other, nodes) for other, nodes in _neighbours(dag) if other.tobytes() not in been and allowed(other)
        ]
        costs.fetch([(y, _parents(other, y)) for other, nodes in neighbours for y in nodes])
        changes = [
            sum(costs.cost((y, _parents(other, y))) - costs.cost((y, _parents(dag, y))) for y in nodes)
            for other, nodes in neighbours
        ]
        if not changes:
            break
        chosen = next(i for i, change in enumerate(changes) if change <= min(changes) + LEAST)  # the first of equals
        dag, total = neighbours[chosen][0], total + changes[chosen]
        been.add(dag.tobytes())
        idle += 1
        if total < least - LEAST:
            best, least, idle = dag, total, 0
    return best


def _neighbours(dag: Adjacency) -> Iterator[tuple[Adjacency, tuple[int, ...]]]:
    """DAGs with one edge more, less, or turned, and whose parents changed."""
    m = len(dag)
    reach = _reachable(dag)
    for x in range(m):
        for y in range(m):
            if x == y or (not dag[x, y] and (dag[y, x] or reach[y, x])):
                continue
            other = dag.copy()
            other[x, y] = not dag[x, y]
            yield other, (y,)
            if dag[x, y]:
                turned = other.copy()
                turned[y, x] = True
                if topological_order(turned) is not None:
                    yield turned, (x, y)


def _reachable(dag: Adjacency) -> Adjacency:
    """Shape (m, m): whether a directed path leads from i to j."""
    reach = dag.copy()
    for k in range(len(dag)):
        reach |= np.outer(reach[:, k], reach[k])
    return reach


def _members(costs: Costs, dag: Adjacency, limit: int) -> tuple[list[tuple[float, Adjacency]], bool]:
    """Members of the DAG's class, each with its cost, by turning covered edges (Chickering, UAI 1995), cheapest
    first; and whether these are all."""
    first = _total(costs, dag)
    seen, queue, found = {dag.tobytes()}, [(first, dag.tobytes(), dag)], list[tuple[float, Adjacency]]()
    while queue and len(found) < limit:
        cost, _, member = heapq.heappop(queue)
        found.append((cost, member))
        turned = [t for t in _turned_covered(member) if t[0].tobytes() not in seen]
        costs.fetch([(v, _parents(other, v)) for other, nodes in turned for v in nodes])
        for other, nodes in turned:
            seen.add(other.tobytes())
            change = sum(costs.cost((v, _parents(other, v))) - costs.cost((v, _parents(member, v))) for v in nodes)
            heapq.heappush(queue, (cost + change, other.tobytes(), other))
    return found, not queue


def _turned_covered(dag: Adjacency) -> Iterator[tuple[Adjacency, tuple[int, int]]]:
    """The DAGs that differ in one covered edge x -> y: the parents of y are x and those of x."""
    for x, y in zip(*np.nonzero(dag), strict=True):
        before = dag[:, y].copy()
        before[x] = False
        if (before == dag[:, x]).all():
            other = dag.copy()
            other[x, y], other[y, x] = False, True
            yield other, (int(x), int(y))
