"""Graphs with arrows and lines as one boolean matrix: DAG, CPDAG and everything between.

`adjacency[i, j]` alone means i -> j; `adjacency[i, j]` and `adjacency[j, i]` together mean i - j.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unpooled.errors import BadData, did_you_mean

Adjacency = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PDAG:
    """A partially directed acyclic graph over m named nodes, `adjacency` of shape (m, m), which is copied and locked.

    A DAG has no lines; a CPDAG stands for a Markov equivalence class (`completion.complete` makes one). Raises
    `BadData` for a matrix that is not square and of zeros and ones, a node with an edge to itself, a directed cycle,
    or names that do not fit. Two graphs are equal when names and edges are.

    >>> PDAG([[0, 1, 0], [0, 0, 1], [0, 1, 0]], ("a", "b", "c")).edges()
    [('a', '->', 'b'), ('b', '--', 'c')]
    """

    adjacency: Adjacency
    names: tuple[str, ...] = field(default=())

    def __init__(self, adjacency: ArrayLike, names: Sequence[str] = ()) -> None:
        given = np.asarray(adjacency)
        if given.ndim != 2 or given.shape[0] != given.shape[1]:
            raise BadData(f"A graph needs a square matrix, got shape {given.shape}.")
        if given.size and not np.isin(given, (0, 1)).all():
            raise BadData(
                "A graph's matrix holds 0 and 1 only: 1 at (i, j) alone is i -> j, at (i, j) and (j, i) it is i - j."
            )
        matrix = given.astype(bool)
        labels = tuple(names) or tuple(f"X{i}" for i in range(len(matrix)))
        if len(labels) != len(matrix) or len(set(labels)) != len(labels):
            raise BadData(f"{len(matrix)} nodes need as many different names, got {list(labels)}.")
        if matrix.diagonal().any():
            raise BadData(f"Node {labels[int(matrix.diagonal().argmax())]!r} has an edge to itself.")
        if topological_order(matrix & ~matrix.T) is None:
            raise BadData("The arrows form a directed cycle: remove or turn one of them.")
        matrix.flags.writeable = False
        object.__setattr__(self, "adjacency", matrix)
        object.__setattr__(self, "names", labels)

    @classmethod
    def from_edges(
        cls, names: Sequence[str], arrows: Iterable[tuple[str, str]] = (), lines: Iterable[tuple[str, str]] = ()
    ) -> PDAG:
        """The graph with these arrows (from, to) and lines; raises `BadData` for an unknown name."""
        index = {name: i for i, name in enumerate(names)}
        matrix = np.zeros((len(index), len(index)), bool)
        for pairs, both in ((arrows, False), (lines, True)):
            for pair in pairs:
                for name in pair:
                    if name not in index:
                        raise BadData(f"An edge names {name!r}, which is no node.{did_you_mean(name, index)}")
                a, b = index[pair[0]], index[pair[1]]
                matrix[a, b] = True
                matrix[b, a] |= both
        return cls(matrix, names)

    @property
    def directed(self) -> Adjacency:
        """Shape (m, m): the arrows alone."""
        return self.adjacency & ~self.adjacency.T

    @property
    def undirected(self) -> Adjacency:
        """Shape (m, m), symmetric: the lines alone."""
        return self.adjacency & self.adjacency.T

    @property
    def skeleton(self) -> Adjacency:
        """Shape (m, m), symmetric: which nodes are adjacent."""
        return self.adjacency | self.adjacency.T

    @property
    def is_dag(self) -> bool:
        """Whether no edge is a line."""
        return not self.undirected.any()

    def parents(self, node: int) -> tuple[int, ...]:
        """Nodes with an arrow into `node`, ascending."""
        return tuple(int(i) for i in np.flatnonzero(self.directed[:, node]))

    def edges(self) -> list[tuple[str, str, str]]:
        """Every edge once, as (name, "->" or "--", name), arrows first, in the order of nodes."""
        lines = np.triu(self.undirected)
        return [
            (self.names[i], mark, self.names[j])
            for mark, part in (("->", self.directed), ("--", lines))
            for i, j in zip(*np.nonzero(part), strict=True)
        ]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PDAG):
            return NotImplemented
        return self.names == other.names and bool((self.adjacency == other.adjacency).all())

    def __hash__(self) -> int:
        return hash((self.names, self.adjacency.tobytes()))


def topological_order(arrows: Adjacency) -> list[int] | None:
    """Nodes so that every arrow points forward, or None where there is a directed cycle; shape (m, m)."""
    waiting = cast("NDArray[np.int64]", arrows.sum(axis=0))
    ready = [int(i) for i in np.flatnonzero(waiting == 0)]
    order: list[int] = []
    while ready:
        node = ready.pop()
        order.append(node)
        for child in np.flatnonzero(arrows[node]):
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(int(child))
    return order if len(order) == len(arrows) else None
