"""All deletions from a class, and whether one is still valid: `graphs.operators.deletes`, compiled."""

from __future__ import annotations

import numpy as np

from unpooled.causal.compiling import ZERO, inside
from unpooled.causal.search.compiled.around import around, list_common, next_clique, parents_and_clique, without
from unpooled.causal.search.compiled.gains import edge_gain
from unpooled.causal.search.compiled.state import Floats, Graph, Ints, Score


@inside
def deletions(g: Graph, s: Score) -> Ints:
    """All valid Delete(x, y, C), those that cost least first: a row (x, y, size of C, C ...) each."""
    room, count = 0, 1
    while count > room:
        room = count
        rows, gains = np.empty((room, len(g.a) + 1), np.int64), np.empty(room)
        count = _list(g, s, rows, gains)
    ordered = np.empty((count, len(g.a) + 1), np.int64)
    place = np.empty(count, np.int64)
    for n in range(count):
        i = n
        while i > 0 and gains[place[i - 1]] < gains[n]:
            place[i] = place[i - 1]
            i -= 1
        place[i] = n
    for i in range(count):
        for j in range(3 + rows[place[i], 2]):
            ordered[i, j] = rows[place[i], j]
    return ordered


@inside
def _list(g: Graph, s: Score, rows: Ints, gains: Floats) -> int:
    """Write as many as there is room for, in order; how many there are."""
    a, near, degree = g
    count = 0
    for y in range(len(a)):
        parents, lines, p, d = around(a, near, degree, y)
        nodes, index, common = np.empty(p + d + 1, np.int64), np.empty(d + 1, np.int64), np.empty(d + 1, np.int64)
        for x in range(len(a)):
            if not a[x, y]:
                continue
            c = list_common(a, lines, d, x, common)
            size = ZERO
            while size >= 0:
                if count < len(gains):
                    k = without(nodes, parents_and_clique(parents, p, common, index, size, nodes), x)
                    gains[count] = -edge_gain(s, y, x, nodes, k)
                    rows[count, 0], rows[count, 1], rows[count, 2] = x, y, size
                    for t in range(size):
                        rows[count, 3 + t] = common[index[t]]
                count += 1
                size = next_clique(a, common, c, index, size)
    return count


@inside
def gain_now(g: Graph, s: Score, row: Ints, clique: Ints) -> float:
    """What a deletion of the list gains now, its C in `clique`; minus infinity where it is no longer valid."""
    a, near, degree = g
    x, y, size = row[0], row[1], row[2]
    if not a[x, y]:
        return -np.inf
    here = around(a, near, degree, y)
    parents, p = here[0], here[2]
    index = np.empty(size, np.int64)
    for t in range(size):
        c = clique[t] = row[3 + t]
        index[t] = t
        if not (a[c, y] and a[y, c] and (a[c, x] or a[x, c])):
            return -np.inf
        for u in range(t):
            if not (a[c, clique[u]] or a[clique[u], c]):
                return -np.inf
    clique[-1] = size
    nodes = np.empty(p + size + 1, np.int64)
    k = without(nodes, parents_and_clique(parents, p, clique, index, size, nodes), x)
    return -edge_gain(s, y, x, nodes, k)
