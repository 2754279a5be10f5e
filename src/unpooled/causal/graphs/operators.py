"""The single-edge moves between Markov equivalence classes: which are valid, what they change, where they lead.

Insert and Delete: Chickering, "Optimal structure identification with greedy search", JMLR 3, 2002, theorems 15 and 17.
Turn: Hauser and Bühlmann, "Characterization and greedy learning of interventional Markov equivalence classes", JMLR 13,
2012, section 4.4. Here all three are written with the clique C of neighbours of y that become its parents:
Chickering's Insert(x, y, T) has C = NA_yx + T, his Delete(x, y, H) has C = NA_yx - H. NA_yx are the nodes joined to y
by a line and adjacent to x. The plain form; the compiled search is tested against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unpooled.causal.graphs.completion import complete
from unpooled.causal.graphs.pdag import PDAG, Adjacency

Kind = Literal["insert", "delete", "turn"]
Parents = frozenset[int]


@dataclass(frozen=True)
class Operator:
    """Insert or delete the edge x - y, or turn it to x -> y, in the DAGs in which C are y's parents among its lines."""

    kind: Kind
    x: int
    y: int
    clique: Parents

    def changes(self, graph: PDAG) -> tuple[tuple[int, Parents, Parents], ...]:
        """(node, parents before, parents after) of each local score that differs in some DAG of the class."""
        a, y = graph.adjacency, self.y
        own = frozenset(graph.parents(y)) | self.clique
        if self.kind == "insert":
            return ((y, own, own | {self.x}),)
        if self.kind == "delete":
            own -= {self.x}
            return ((y, own | {self.x}, own),)
        other = frozenset(graph.parents(self.x)) - {y}
        if a[self.x, y]:  # a line: x also keeps the parents in C that are adjacent to it
            other |= self.clique & _set(_around(a, y, self.x))
        return ((y, own, own | {self.x}), (self.x, other | {y}, other))

    def apply(self, graph: PDAG) -> PDAG:
        """The class that the move leads to."""
        a, x, y = graph.adjacency.copy(), self.x, self.y
        lines = graph.undirected
        joined = np.flatnonzero(lines[y])
        common = _around(graph.adjacency, y, x)
        if self.kind == "delete":
            a[x, y] = a[y, x] = False
            for h in _set(common) - self.clique:
                a[h, y] = False  # y -> h
                if lines[x, h]:
                    a[h, x] = False  # x -> h
            return complete(PDAG(a, graph.names))
        for c in self.clique:
            a[y, c] = False  # C -> y
        if self.kind == "turn":
            for w in set(joined.tolist()) - self.clique - {x}:
                a[w, y] = False
            sources = self.clique & _set(common) if lines[x, y] else frozenset[int]()
            for w in set(np.flatnonzero(lines[x]).tolist()) - {y}:
                if w in sources:
                    a[x, w] = False
                else:
                    a[w, x] = False
        a[x, y], a[y, x] = True, False
        return complete(PDAG(a, graph.names))


def operators(graph: PDAG, kinds: tuple[Kind, ...] = ("insert", "delete", "turn")) -> Iterator[Operator]:
    """All valid operators of the CPDAG, in the order of y, then x, then kind."""
    find = {"insert": inserts, "delete": deletes, "turn": turns}
    for y in range(len(graph.names)):
        for x in range(len(graph.names)):
            for kind in kinds:
                if x != y:
                    yield from find[kind](graph.adjacency, x, y)


def inserts(a: Adjacency, x: int, y: int) -> Iterator[Operator]:
    """C is a clique of y's lines with NA_yx in it, and blocks every semi-directed path from y to x."""
    if a[x, y] or a[y, x]:
        return
    common = _set(_around(a, y, x))
    for clique in cliques(a, _lines(a, y)):
        if common <= clique and not reaches(a, y, x, clique):
            yield Operator("insert", x, y, clique)


def deletes(a: Adjacency, x: int, y: int) -> Iterator[Operator]:
    """x -> y or x - y, and C is a clique in NA_yx."""
    if a[x, y]:
        for clique in cliques(a, _around(a, y, x)):
            yield Operator("delete", x, y, clique)


def turns(a: Adjacency, x: int, y: int) -> Iterator[Operator]:
    """y -> x or y - x becomes x -> y, to another class."""
    if not a[y, x]:
        return
    common = _set(_around(a, y, x))
    for clique in cliques(a, np.setdiff1d(_lines(a, y), [x])):
        if a[x, y]:  # a line: C must not lie in NA_yx, and what both share separates the rest
            if clique - common and not _connected(a, _lines(a, y), clique - common, common - clique, clique & common):
                yield Operator("turn", x, y, clique)
        elif common <= clique and not reaches(a, y, x, clique | _set(_lines(a, x)), without=True):
            yield Operator("turn", x, y, clique)


def cliques(a: Adjacency, nodes: np.ndarray) -> Iterator[Parents]:
    """All cliques among the nodes, the empty one first, in lexicographic order."""
    skeleton = a | a.T

    def grow(clique: list[int], rest: list[int]) -> Iterator[Parents]:
        yield frozenset(clique)
        for i, node in enumerate(rest):
            yield from grow([*clique, node], [w for w in rest[i + 1 :] if skeleton[node, w]])

    yield from grow([], sorted(int(n) for n in nodes))


def reaches(a: Adjacency, start: int, goal: int, blocked: Parents, *, without: bool = False) -> bool:
    """Whether arrows and lines lead from start to goal past `blocked`; `without` ignores the edge between the two."""
    seen = {start, *blocked}
    ahead = [start]
    while ahead:
        node = ahead.pop()
        for w in np.flatnonzero(a[node]):
            if w == goal and not (without and node == start):
                return True
            if w not in seen and w != goal:
                seen.add(int(w))
                ahead.append(int(w))
    return False


def _connected(a: Adjacency, nodes: np.ndarray, one: Parents, other: Parents, without: Parents) -> bool:
    """Whether a path of lines inside `nodes` leads from `one` to `other` past `without`."""
    inside = np.zeros(len(a), bool)
    inside[nodes] = True
    inside[list(without)] = False
    seen, ahead = set(one), list(one)
    while ahead:
        node = ahead.pop()
        if node in other:
            return True
        for w in np.flatnonzero(a[node] & a[:, node] & inside):
            if w not in seen:
                seen.add(int(w))
                ahead.append(int(w))
    return False


def _lines(a: Adjacency, y: int) -> np.ndarray:
    return np.flatnonzero(a[y] & a[:, y])


def _around(a: Adjacency, y: int, x: int) -> np.ndarray:
    """NA_yx."""
    return np.flatnonzero(a[y] & a[:, y] & (a[x] | a[:, x]))


def _set(nodes: np.ndarray) -> Parents:
    return frozenset(int(n) for n in nodes)
