"""What is around a node: its parents and lines, the cliques among these, and where paths from it lead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unpooled.causal.compiling import ZERO, inside
from unpooled.causal.graphs.pdag import Adjacency
from unpooled.causal.search.compiled.state import Ints

NOWHERE, PAST = -1, -2


@inside
def around(a: Adjacency, near: Ints, degree: Ints, y: int) -> tuple[Ints, Ints, int, int]:
    """y's parents and the nodes joined to it by a line, ascending, and how many there are of each."""
    parents, lines = np.empty(degree[y] + 1, np.int64), np.empty(degree[y] + 1, np.int64)
    p = d = ZERO
    for i in range(degree[y]):
        w = near[y, i]
        if a[w, y]:
            if a[y, w]:
                put(lines, ZERO, d, w)
                d += 1
            else:
                put(parents, ZERO, p, w)
                p += 1
    return parents, lines, p, d


@inside
def put(nodes: Ints, start: int, count: int, node: int) -> None:
    """Put a node among `nodes[start : start + count]`, which ascend."""
    i = start + count
    while i > start and nodes[i - 1] > node:
        nodes[i] = nodes[i - 1]
        i -= 1
    nodes[i] = node


@inside
def next_clique(a: Adjacency, nodes: Ints, count: int, index: Ints, size: int) -> int:
    """From the clique `nodes[index[:size]]` to the next in lexicographic order; its size, or -1 after the last."""
    start = index[size - 1] + 1 if size > 0 else 0
    while True:
        for i in range(start, count):
            fits = True
            for t in range(size):
                if not (a[nodes[i], nodes[index[t]]] or a[nodes[index[t]], nodes[i]]):
                    fits = False
                    break
            if fits:
                index[size] = i
                return size + 1
        if size == 0:
            return -1
        size -= 1
        start = index[size] + 1


@inside
def reach(a: Adjacency, near: Ints, degree: Ints, start: int, never: int, before: Ints, ahead: Ints) -> None:
    """Walk arrows and lines from start to all nodes past those with before = PAST, without the step to `never`.

    `before` becomes the node from which each node was first reached; it stays NOWHERE where none was.
    """
    before[start] = PAST
    ahead[0] = start
    first, last = 0, 1
    while first < last:
        node = ahead[first]
        first += 1
        for i in range(degree[node]):
            w = near[node, i]
            if before[w] == NOWHERE and a[node, w] and not (node == start and w == never):
                before[w] = node
                ahead[last] = w
                last += 1


@inside
def parents_and_clique(parents: Ints, p: int, nodes: Ints, index: Ints, size: int, out: Ints) -> int:
    """The list of both; its length."""
    for i in range(p):
        out[i] = parents[i]
    for t in range(size):
        out[p + t] = nodes[index[t]]
    return p + size


@inside
def without(nodes: Ints, size: int, x: int) -> int:
    """Take x out of the list; its new length."""
    k = 0
    for i in range(size):
        if nodes[i] != x:
            nodes[k] = nodes[i]
            k += 1
    return k


@inside
def list_common(a: Adjacency, lines: Ints, d: int, x: int, out: Ints) -> int:
    """NA_yx, and how many nodes it has."""
    c = ZERO
    for j in range(d):
        if a[lines[j], x] or a[x, lines[j]]:
            out[c] = lines[j]
            c += 1
    return c


@inside
def _marks(m: int, nodes: Ints, index: Ints, size: int) -> NDArray[np.bool_]:
    inside = np.zeros(m, np.bool_)
    for t in range(size):
        inside[nodes[index[t]]] = True
    return inside


@inside
def holds_common(a: Adjacency, lines: Ints, d: int, x: int, nodes: Ints, index: Ints, size: int) -> bool:
    """Whether NA_yx lies in the clique."""
    for j in range(d):
        w = lines[j]
        if a[w, x] or a[x, w]:
            inside = False
            for t in range(size):
                inside = inside or nodes[index[t]] == w
            if not inside and w != x:
                return False
    return True


@inside
def separates(
    a: Adjacency, near: Ints, degree: Ints, lines: Ints, d: int, x: int, nodes: Ints, index: Ints, size: int
) -> bool:
    """Whether C is not in NA_yx, and C with NA_yx cuts the rest of C from the rest of NA_yx among y's lines."""
    inside = _marks(len(a), nodes, index, size)
    free = np.zeros(len(a), np.bool_)  # y's lines without C and NA_yx
    ahead = np.empty(len(a), np.int64)
    length = 0
    for j in range(d):
        w = lines[j]
        common = a[w, x] or a[x, w]
        free[w] = not (inside[w] and common)
        if inside[w] and not common:
            free[w] = False
            ahead[length] = w
            length += 1
    if length == 0:
        return False
    while length > 0:
        length -= 1
        node = ahead[length]
        for i in range(degree[node]):
            w = near[node, i]
            if free[w] and a[node, w] and a[w, node]:
                if a[w, x] or a[x, w]:
                    return False
                free[w] = False
                ahead[length] = w
                length += 1
    return True
