"""XGES-0 with a queue that is kept: after a step, only nodes near the change are looked at again.

For each kind of operator and each node y the queue has the largest gain that an operator into y could have if no path
were in the way (`bound`). Far from a change it stays what it was: local scores, cliques and common neighbours there are
the same, only paths may have opened or closed. The node with the largest bound is looked at, until the best operator
found gains at least every bound that is left: the operator that the plain form takes.
"""

from __future__ import annotations

import numpy as np

from unpooled.causal.graphs.pdag import Adjacency
from unpooled.causal.search.compiled.classes import Ints, complete, link, unlink
from unpooled.causal.search.compiled.compiling import compiled
from unpooled.causal.search.compiled.moves import (
    around,
    best_delete,
    best_insert,
    best_turn,
    list_common,
    next_clique,
    parents_and_clique,
    without,
)
from unpooled.causal.search.compiled.shares import Floats, edge_gain

DELETE, TURN, INSERT = 0, 1, 2


@compiled
def look(
    kind: int, y: int, a: Adjacency, near: Ints, degree: Ints, r: Floats, rows: int, penalty: float, least: float,
    bx: int, by: int, clique: Ints,
) -> tuple[int, float, float]:  # fmt: skip
    """The best operator of that kind into y."""
    if kind == DELETE:
        return best_delete(a, near, degree, r, rows, penalty, y, least, clique)
    if kind == TURN:
        return best_turn(a, near, degree, r, rows, penalty, y, least, clique)
    return best_insert(a, near, degree, r, rows, penalty, y, least, bx, by, clique)


@compiled
def climb(
    a: Adjacency, near: Ints, degree: Ints, r: Floats, rows: int, penalty: float, least: float, bx: int, by: int,
    bound: Floats,
) -> tuple[float, int]:  # fmt: skip
    """Apply operators until none gains more than `least`; what was gained, and in how many steps.

    `bound` has shape (3, m) and is the queue; infinity where nobody has looked.
    """
    clique = np.empty(len(a) + 1, np.int32)
    gained, steps, kind = 0.0, 0, DELETE
    now = bound.copy()  # the gain where it is known for this graph, else the bound
    while kind <= INSERT:
        y = int(now[kind].argmax())
        if now[kind, y] <= least:
            kind += 1
            continue
        x, gain, most = look(kind, y, a, near, degree, r, rows, penalty, least, bx, by, clique)
        now[kind, y], bound[kind, y] = gain, most
        if x >= 0 and gain >= now[kind].max():
            gained += gain
            steps += 1
            apply(kind, x, y, a, near, degree, clique, bound)
            now[:] = bound
            kind = DELETE
    return gained, steps


@compiled
def apply(kind: int, x: int, y: int, a: Adjacency, near: Ints, degree: Ints, clique: Ints, bound: Floats) -> None:
    """Go to the class that the operator leads to, and forget the bounds of those who notice."""
    old = a.copy()
    _, lines, _, d = around(a, near, degree, y)
    inside = np.zeros(len(a), np.bool_)
    inside[clique[: clique[-1]]] = True
    line = a[x, y] and a[y, x]
    if kind == DELETE:
        for j in range(d):
            h = lines[j]
            if h != x and (old[h, x] or old[x, h]) and not inside[h]:
                a[h, y] = False
                if old[x, h] and old[h, x]:
                    a[h, x] = False
        a[x, y] = a[y, x] = False
        unlink(near, degree, x, y)
    else:
        for j in range(d):
            w = lines[j]
            if inside[w]:
                a[y, w] = False
            elif kind == TURN and w != x:
                a[w, y] = False
        if kind == TURN:
            for i in range(degree[x]):
                w = near[x, i]
                if w != y and old[x, w] and old[w, x]:
                    if line and inside[w]:
                        a[x, w] = False
                    else:
                        a[w, x] = False
        else:
            link(near, degree, x, y)
        a[x, y], a[y, x] = True, False
    whole = complete(a, near, degree)
    assert whole, "a valid operator leads to a class"
    for u in range(len(a)):
        for i in range(degree[u]):
            v = near[u, i]
            if a[u, v] != old[u, v] or a[v, u] != old[v, u]:
                _forget(a, near, degree, u, bound)
    for u in (x, y):
        _forget(a, near, degree, u, bound)
        if kind != TURN:  # who has a line to one of them may have lost or got a common neighbour
            for i in range(degree[u]):
                w = near[u, i]
                if a[w, u] and a[u, w]:
                    bound[:, w] = np.inf


@compiled
def _forget(a: Adjacency, near: Ints, degree: Ints, u: int, bound: Floats) -> None:
    """What is around u has changed: operators into it, and turns of u's edges into nodes w with w -> u or w - u."""
    bound[:, u] = np.inf
    for i in range(degree[u]):
        if a[near[u, i], u]:
            bound[TURN, near[u, i]] = np.inf


@compiled
def deletions(a: Adjacency, near: Ints, degree: Ints, r: Floats, rows: int, penalty: float) -> tuple[Floats, Ints]:
    """All valid deletions, whatever they gain: gains, and rows (x, y, size of C, C ...); a line's with x < y only."""
    m = len(a)
    gains, found = np.empty(16), np.empty((16, degree.max() + 3), np.int32)
    count = 0
    for y in range(m):
        parents, lines, p, d = around(a, near, degree, y)
        nodes, index = np.empty(p + d + 1, np.int32), np.empty(d + 1, np.int32)
        common = np.empty(d + 1, np.int32)
        for x in np.sort(near[y, : degree[y]]):
            if not a[x, y] or (a[y, x] and x > y):
                continue
            c = list_common(a, lines, d, x, common)
            size = 0
            while size >= 0:
                if count == len(gains):
                    gains = np.concatenate((gains, np.empty_like(gains)))
                    found = np.concatenate((found, np.empty_like(found)))
                k = without(nodes, parents_and_clique(parents, p, common, index, size, nodes), x)
                gains[count] = -edge_gain(r, rows, penalty, y, x, nodes, k)
                found[count, 0], found[count, 1], found[count, 2] = x, y, size
                for t in range(size):
                    found[count, 3 + t] = common[index[t]]
                count += 1
                size = next_clique(a, common, c, index, size)
    return gains[:count], found[:count]
