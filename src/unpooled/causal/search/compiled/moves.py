"""The best valid operator into one node y: `graphs.operators`, compiled.

Each function returns (x, gain, bound) and leaves the clique in `clique[: clique[-1]]`: the best valid operator, and
the largest gain there would be if no path were in the way. x is -1 where none gains. Cliques and deletions depend on
what is around y alone; paths depend on the whole graph, so `bound` is what stays known of y while the graph changes
far away.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unpooled.causal.graphs.pdag import Adjacency
from unpooled.causal.search.compiled.classes import Ints
from unpooled.causal.search.compiled.compiling import compiled
from unpooled.causal.search.compiled.shares import Floats, edge_gain, factorise, pair_gain, solve

Best = tuple[int, float, float]


@compiled
def best_insert(
    a: Adjacency, near: Ints, degree: Ints, r: Floats, rows: int, penalty: float, y: int, least: float,
    bx: int, by: int, clique: Ints,
) -> Best:  # fmt: skip
    """The best Insert(x, y, C); (bx, by) is a pair that must not be inserted, or -1."""
    m = len(a)
    parents, lines, p, d = around(a, near, degree, y)
    nodes = np.empty(p + d + 1, np.int32)
    index = np.empty(d + 1, np.int32)
    factor, kept = np.empty((p + d + 1, p + d + 1)), np.empty(p + d + 1, np.int32)
    own, other = np.empty(p + d + 1), np.empty(p + d + 1)
    reached, ahead = np.empty(m, np.bool_), np.empty(m, np.int32)
    outside = np.empty(m, np.bool_)
    chosen, most, bound = -1, least, least
    size = 0
    while size >= 0:
        k = parents_and_clique(parents, p, lines, index, size, nodes)
        if k + 2 < rows:
            outside[:] = False  # nodes adjacent to a line of y that is not in C
            t = 0
            for i in range(d):
                if t < size and index[t] == i:
                    t += 1
                else:
                    w = lines[i]
                    for j in range(degree[w]):
                        outside[near[w, j]] = True
            rank = factorise(r, nodes, k, factor, kept)
            left = solve(r, factor, kept, rank, y, own)
            searched = False
            for x in range(m):
                if x == y or outside[x] or a[x, y] or a[y, x] or (x == bx and y == by) or (x == by and y == bx):
                    continue
                pivot = solve(r, factor, kept, rank, x, other)
                gain = pair_gain(r, rows, penalty, y, x, left, pivot, own, other, rank)
                bound = max(bound, gain)
                if gain > most:
                    if not searched:
                        reached[:] = False
                        for t in range(size):
                            reached[lines[index[t]]] = True
                        reach(a, near, degree, y, -1, reached, ahead)
                        searched = True
                    if not reached[x]:
                        chosen, most = x, gain
                        _keep(clique, lines, index, size)
        size = next_clique(a, lines, d, index, size)
    return chosen, most, bound


@compiled
def best_delete(
    a: Adjacency, near: Ints, degree: Ints, r: Floats, rows: int, penalty: float, y: int, least: float, clique: Ints
) -> Best:
    """The best Delete(x, y, C)."""
    parents, lines, p, d = around(a, near, degree, y)
    nodes, index = np.empty(p + d + 1, np.int32), np.empty(d + 1, np.int32)
    common = np.empty(d + 1, np.int32)
    chosen, most = -1, least
    for i in range(degree[y]):
        x = near[y, i]
        if not a[x, y]:
            continue
        c = list_common(a, lines, d, x, common)
        size = 0
        while size >= 0:
            k = without(nodes, parents_and_clique(parents, p, common, index, size, nodes), x)
            gain = -edge_gain(r, rows, penalty, y, x, nodes, k)
            if gain > most:
                chosen, most = x, gain
                _keep(clique, common, index, size)
            size = next_clique(a, common, c, index, size)
    return chosen, most, most


@compiled
def best_turn(
    a: Adjacency, near: Ints, degree: Ints, r: Floats, rows: int, penalty: float, y: int, least: float, clique: Ints
) -> Best:
    """The best Turn(x, y, C): y -> x or y - x becomes x -> y."""
    m = len(a)
    parents, lines, p, d = around(a, near, degree, y)
    nodes, index = np.empty(p + d + 1, np.int32), np.empty(d + 1, np.int32)
    rest, before = np.empty(d + 1, np.int32), np.empty(2 * m + 1, np.int32)
    reached, ahead = np.empty(m, np.bool_), np.empty(m, np.int32)
    chosen, most, bound = -1, least, least
    for i in range(degree[y]):
        x = near[y, i]
        if not a[y, x]:
            continue
        line = a[x, y]
        c = 0
        for j in range(d):
            if lines[j] != x:
                rest[c] = lines[j]
                c += 1
        size = 0
        while size >= 0:
            if (line and _separates(a, near, degree, lines, d, x, rest, index, size)) or (
                not line and _holds_common(a, lines, d, x, rest, index, size)
            ):
                k = parents_and_clique(parents, p, rest, index, size, nodes)
                gain = edge_gain(r, rows, penalty, y, x, nodes, k)
                q = 0
                for j in range(degree[x]):
                    w = near[x, j]
                    if w != y and a[w, x] and not a[x, w]:
                        before[q] = w
                        q += 1
                if line:
                    for t in range(size):
                        w = rest[index[t]]
                        if a[w, x] and a[x, w]:
                            before[q] = w
                            q += 1
                gain -= edge_gain(r, rows, penalty, x, y, before, q)
                bound = max(bound, gain)
                if gain > most:
                    free = True
                    if not line:
                        reached[:] = False
                        for t in range(size):
                            reached[rest[index[t]]] = True
                        for j in range(degree[x]):
                            if a[x, near[x, j]] and a[near[x, j], x]:
                                reached[near[x, j]] = True
                        reach(a, near, degree, y, x, reached, ahead)
                        free = not reached[x]
                    if free:
                        chosen, most = x, gain
                        _keep(clique, rest, index, size)
            size = next_clique(a, rest, c, index, size)
    return chosen, most, bound


@compiled
def around(a: Adjacency, near: Ints, degree: Ints, y: int) -> tuple[Ints, Ints, int, int]:
    """y's parents and the nodes joined to it by a line, ascending, and how many there are of each."""
    parents, lines = np.empty(degree[y] + 1, np.int32), np.empty(degree[y] + 1, np.int32)
    p = d = 0
    for w in np.sort(near[y, : degree[y]]):
        if a[w, y]:
            if a[y, w]:
                lines[d] = w
                d += 1
            else:
                parents[p] = w
                p += 1
    return parents, lines, p, d


@compiled
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


@compiled
def reach(a: Adjacency, near: Ints, degree: Ints, start: int, never: int, reached: Adjacency, ahead: Ints) -> None:
    """Mark all nodes that arrows and lines lead to from start past the marked ones, without the step to `never`."""
    reached[start] = True
    ahead[0] = start
    length = 1
    while length > 0:
        length -= 1
        node = ahead[length]
        for i in range(degree[node]):
            w = near[node, i]
            if a[node, w] and not reached[w] and not (node == start and w == never):
                reached[w] = True
                ahead[length] = w
                length += 1


@compiled
def parents_and_clique(parents: Ints, p: int, nodes: Ints, index: Ints, size: int, out: Ints) -> int:
    out[:p] = parents[:p]
    for t in range(size):
        out[p + t] = nodes[index[t]]
    return p + size


@compiled
def without(nodes: Ints, size: int, x: int) -> int:
    """Take x out of the list; its new length."""
    k = 0
    for i in range(size):
        if nodes[i] != x:
            nodes[k] = nodes[i]
            k += 1
    return k


@compiled
def list_common(a: Adjacency, lines: Ints, d: int, x: int, out: Ints) -> int:
    """NA_yx, and how many nodes it has."""
    c = 0
    for j in range(d):
        if a[lines[j], x] or a[x, lines[j]]:
            out[c] = lines[j]
            c += 1
    return c


@compiled
def _marks(m: int, nodes: Ints, index: Ints, size: int) -> NDArray[np.bool_]:
    inside = np.zeros(m, np.bool_)
    for t in range(size):
        inside[nodes[index[t]]] = True
    return inside


@compiled
def _holds_common(a: Adjacency, lines: Ints, d: int, x: int, nodes: Ints, index: Ints, size: int) -> bool:
    """Whether NA_yx lies in the clique."""
    inside = _marks(len(a), nodes, index, size)
    missing = 0
    for j in range(d):
        missing += (a[lines[j], x] or a[x, lines[j]]) and not inside[lines[j]]
    return missing == 0


@compiled
def _separates(
    a: Adjacency, near: Ints, degree: Ints, lines: Ints, d: int, x: int, nodes: Ints, index: Ints, size: int
) -> bool:
    """Whether C is not in NA_yx, and C with NA_yx cuts the rest of C from the rest of NA_yx among y's lines."""
    inside = _marks(len(a), nodes, index, size)
    free = np.zeros(len(a), np.bool_)  # y's lines without C and NA_yx
    ahead = np.empty(len(a), np.int32)
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


@compiled
def _keep(clique: Ints, nodes: Ints, index: Ints, size: int) -> None:
    for t in range(size):
        clique[t] = nodes[index[t]]
    clique[-1] = size
