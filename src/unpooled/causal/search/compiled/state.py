"""What the compiled search works on: a class with its neighbours, what is known before the data, and a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unpooled.causal.graphs.pdag import Adjacency
from unpooled.causal.scores.gaussian import Gaussian

Floats = NDArray[np.float64]
Ints = NDArray[np.signedinteger[Any]]

VALUES = 2**20
ENTRIES = 2**17
WITNESSES = 48
"""Steps of paths that are kept for one node."""


class Graph(NamedTuple):
    """A CPDAG `a` of shape (m, m); `near[x, :degree[x]]` are the nodes adjacent to x."""

    a: Adjacency
    near: Ints
    degree: Ints


class Queue(NamedTuple):
    """What is known of the operators of each kind into each node: `climbing` says what it means.

    `bound` has shape (3, m). Where `paths[kind, y]` is not -1, no operator is valid as long as the first so many steps
    (u, v) in `path[kind, y]` can be walked. `path` has shape (3, m, WITNESSES, 2).
    """

    bound: Floats
    paths: Ints
    path: NDArray[np.int32]


class Known(NamedTuple):
    """Arrows, shape (m, m), that some DAG of the class must have, and must not have; `some` where there are any."""

    required: Adjacency
    forbidden: Adjacency
    some: bool


class Score(NamedTuple):
    """K Gaussian scores to be summed, and what was computed of them.

    `r` has shape (K, m, m), `parts` (K, 2): rows and penalty. Entry e of the table has `entry[e]`: a node y, a node x,
    where in `nodes` a set of parents starts and how many they are, where its values start in `gain` and how many they
    are. They are the gain of x as a further parent or, where x is y, all gains above a bound, with their nodes in `x`.
    `slot` is the hash table; `used` counts entries, nodes and values. A table that is full is emptied.
    """

    r: Floats
    parts: Floats
    slot: Ints
    entry: Ints
    nodes: Ints
    x: Ints
    gain: Floats
    used: Ints


def start(g: Graph) -> Queue:
    """The queue before anything was looked at."""
    m = len(g.a)
    return Queue(np.full((3, m), np.inf), np.full((3, m), -1), np.zeros((3, m, WITNESSES, 2), np.int32))


def graph_of(adjacency: Adjacency) -> Graph:
    """A class with the lists of its nodes' neighbours."""
    skeleton = adjacency | adjacency.T
    near = np.zeros(adjacency.shape, np.int64)
    for x, row in enumerate(skeleton):
        around = np.flatnonzero(row)
        near[x, : len(around)] = around
    return Graph(adjacency.copy(), near, skeleton.sum(axis=1))


def prepare(parts: Sequence[Gaussian]) -> Score:
    """The scores to be summed, with an empty table."""
    r = np.ascontiguousarray(np.stack([part.correlation for part in parts]))
    m = r.shape[1]
    values = max(VALUES, 2 * m * m)
    return Score(
        r,
        np.array([(part.rows, part.penalty) for part in parts], np.float64),
        np.full(2 * ENTRIES, -1, np.int64),
        np.empty((ENTRIES, 6), np.int64),
        np.empty(VALUES, np.int64),
        np.empty(values, np.int64),
        np.empty(values, np.float64),
        np.zeros(3, np.int64),
    )
