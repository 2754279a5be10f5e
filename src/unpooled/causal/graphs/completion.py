"""From a PDAG to a DAG in it, and from a DAG to its Markov equivalence class.

Dor and Tarsi, "A simple algorithm to construct a consistent extension of a partially oriented graph", 1992; Meek,
"Causal inference and causal explanation with background knowledge", UAI 1995, whose four rules are named R1 to R4.
These are the plain forms; `search.compiled.classes` has the ones that a search repeats thousands of times.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from unpooled.causal.graphs.pdag import PDAG, Adjacency
from unpooled.errors import BadData


def consistent_extension(graph: PDAG) -> PDAG:
    """A DAG with the graph's skeleton, arrows and v-structures and no others (Dor and Tarsi); raises `BadData` if none.

    >>> consistent_extension(PDAG([[0, 1, 0], [1, 0, 1], [0, 1, 0]], ("a", "b", "c"))).edges()
    [('b', '->', 'a'), ('c', '->', 'b')]
    """
    adjacency = graph.adjacency
    left = np.ones(len(adjacency), bool)
    dag = graph.directed.copy()
    while left.any():
        sink = next((x for x in np.flatnonzero(left) if _can_be_last(adjacency, left, int(x))), None)
        if sink is None:
            raise BadData(
                "No DAG has just these arrows, lines and v-structures: the lines cannot all be directed. "
                "Check the arrows, or make the graph from a DAG."
            )
        dag[left & adjacency[:, sink] & adjacency[sink], sink] = True
        left[sink] = False
    return PDAG(dag, graph.names)


def _can_be_last(adjacency: Adjacency, left: Adjacency, x: int) -> bool:
    """x has no arrow out, and each line's end is adjacent to all other nodes adjacent to x."""
    if (adjacency[x] & ~adjacency[:, x] & left).any():
        return False
    skeleton = adjacency | adjacency.T
    around = skeleton[x] & left
    for y in np.flatnonzero(adjacency[x] & adjacency[:, x] & left):
        others = around.copy()
        others[y] = False
        if (others & ~skeleton[y]).any():
            return False
    return True


def class_of(dag: PDAG) -> PDAG:
    """The CPDAG of a DAG: an edge is an arrow where all DAGs of the class agree on its direction.

    Skeleton and v-structures, closed under Meek's rules. Raises `BadData` for a graph with lines.
    """
    if not dag.is_dag:
        raise BadData("Only a DAG has a class of its own; for a graph with lines use complete().")
    arrows, skeleton = dag.adjacency, dag.skeleton
    result = skeleton.copy()
    for node in range(len(arrows)):
        for a, b in combinations(np.flatnonzero(arrows[:, node]), 2):
            if not skeleton[a, b]:
                result[node, a] = result[node, b] = False
    return PDAG(close(result), dag.names)


def complete(graph: PDAG) -> PDAG:
    """The CPDAG of the DAGs that extend the graph; raises `BadData` where there is none."""
    return class_of(consistent_extension(graph))


def close(adjacency: Adjacency) -> Adjacency:
    """A copy in which lines that Meek's rules R1 to R4 direct have become arrows; shape (m, m).

    R4 can apply only where arrows come from background knowledge; without them R1 to R3 are enough.
    """
    a = adjacency.copy()
    changed = True
    while changed:
        changed = False
        for x, y in zip(*np.nonzero(a & a.T), strict=True):
            if a[x, y] and a[y, x] and _must_point(a, int(x), int(y)):
                a[y, x] = False
                changed = True
    return a


def _must_point(a: Adjacency, x: int, y: int) -> bool:
    """Whether one of the rules turns the line x - y into x -> y."""
    arrows, lines, skeleton = a & ~a.T, a & a.T, a | a.T
    if (arrows[:, x] & ~skeleton[:, y] & (np.arange(len(a)) != y)).any():  # R1: z -> x - y, z and y not adjacent
        return True
    if (arrows[x] & arrows[:, y]).any():  # R2: x -> z -> y
        return True
    between = np.flatnonzero(lines[x] & arrows[:, y])  # R3: x - z -> y and x - w -> y, z and w not adjacent
    if any(not skeleton[z, w] for z, w in combinations(between, 2)):
        return True
    ends = np.flatnonzero(arrows[:, y] & skeleton[x])  # R4: x - w -> z -> y, x and z adjacent, w and y not
    return any((lines[x] & arrows[:, z] & ~skeleton[:, y]).any() for z in ends)
