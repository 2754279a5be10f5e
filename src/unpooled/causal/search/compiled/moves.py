"""The best valid operator into one node y: `graphs.operators`, compiled.

Each function returns (x, gain, bound) and leaves the clique in `clique[: clique[-1]]`: the best valid operator, and
the largest gain there would be if no path and nothing known were in the way. x is -1 where none gains. Cliques and
gains depend on what is around y alone; paths and what is known concern the whole graph, so `bound` is what stays known
of y while the graph changes far away. A clique that is looked at is `index[:size]`, numbers in a list of nodes.
"""

from __future__ import annotations

import numpy as np

from unpooled.causal.compiling import ZERO, inside
from unpooled.causal.search.compiled.applying import DELETE, INSERT, TURN, apply, copied
from unpooled.causal.search.compiled.around import (
    NOWHERE,
    PAST,
    around,
    holds_common,
    list_common,
    next_clique,
    parents_and_clique,
    reach,
    separates,
    without,
)
from unpooled.causal.search.compiled.gains import edge_gain, gainful
from unpooled.causal.search.compiled.knowledge import agrees
from unpooled.causal.search.compiled.state import Graph, Ints, Known, Queue, Score

Best = tuple[int, float, float]


@inside
def best_insert(
    g: Graph, s: Score, known: Known, y: int, least: float, out: Ints, clique: Ints, kept: Ints,
    queue: Queue,
) -> Best:  # fmt: skip
    """The best Insert(x, y, C); Insert of the arrow `out` is kept out."""
    a, near, degree = g
    parents, lines, p, d = around(a, near, degree, y)
    nodes, index = np.empty(p + d + 1, np.int64), np.empty(d + 1, np.int64)
    before, ahead = np.empty(len(a), np.int64), np.empty(len(a), np.int64)
    chosen, most, bound = -1, least, least
    queue.paths[INSERT, y] = 0
    size = ZERO
    while size >= 0:
        start, count = gainful(s, y, nodes, parents_and_clique(parents, p, lines, index, size, nodes), least)
        _keep(kept, lines, index, size)
        searched = False
        for e in range(start, start + count):
            x, gain = s.x[e], s.gain[e]
            if gain <= most:
                break
            kept_out = x == out[0] and y == out[1]
            if a[x, y] or a[y, x] or kept_out or not holds_common(a, lines, d, x, lines, index, size):
                continue
            bound = max(bound, gain)
            if not searched:
                _block(before, kept)
                reach(a, near, degree, y, y, before, ahead)
                searched = True
            if before[x] != NOWHERE:
                _note(queue, INSERT, y, x, before)
            elif _allowed(g, known, INSERT, x, y, kept):
                chosen, most = x, gain
                _keep(clique, lines, index, size)
                break
        size = next_clique(a, lines, d, index, size)
    return chosen, most, bound


@inside
def best_delete(g: Graph, s: Score, known: Known, y: int, least: float, clique: Ints, kept: Ints) -> Best:
    """The best Delete(x, y, C)."""
    chosen, most, bound = -1, least, least
    for i in range(g.degree[y]):
        x = g.near[y, i]
        if g.a[x, y]:
            gain, highest = best_delete_of(g, s, known, x, y, most, clique, kept)
            bound = max(bound, highest)
            if gain > most:
                chosen, most = x, gain
    return chosen, most, bound


@inside
def best_delete_of(
    g: Graph, s: Score, known: Known, x: int, y: int, least: float, clique: Ints, kept: Ints
) -> tuple[float, float]:
    """What the best Delete(x, y, C) gains, `least` where none gains more; and the bound."""
    a, near, degree = g
    parents, lines, p, d = around(a, near, degree, y)
    nodes, index, common = np.empty(p + d + 1, np.int64), np.empty(d + 1, np.int64), np.empty(d + 1, np.int64)
    most, bound = least, least
    c = list_common(a, lines, d, x, common)
    size = ZERO
    while size >= 0:
        k = without(nodes, parents_and_clique(parents, p, common, index, size, nodes), x)
        gain = -edge_gain(s, y, x, nodes, k)
        bound = max(bound, gain)
        if gain > most:
            _keep(kept, common, index, size)
            if _allowed(g, known, DELETE, x, y, kept):
                most = gain
                _keep(clique, common, index, size)
        size = next_clique(a, common, c, index, size)
    return most, bound


@inside
def best_turn(
    g: Graph, s: Score, known: Known, y: int, least: float, out: Ints, clique: Ints, kept: Ints,
    queue: Queue,
) -> Best:  # fmt: skip
    """The best Turn(x, y, C): y -> x or y - x becomes x -> y; the arrow `out` is kept out."""
    a, near, degree = g
    parents, lines, p, d = around(a, near, degree, y)
    nodes, index = np.empty(p + d + 1, np.int64), np.empty(d + 1, np.int64)
    rest, own = np.empty(d + 1, np.int64), np.empty(len(a), np.int64)
    before, ahead = np.empty(len(a), np.int64), np.empty(len(a), np.int64)
    chosen, most, bound = -1, least, least
    queue.paths[TURN, y] = 0
    for i in range(degree[y]):
        x = near[y, i]
        if not a[y, x] or (x == out[0] and y == out[1]):
            continue
        line = a[x, y]
        c = ZERO
        for j in range(d):
            if lines[j] != x:
                rest[c] = lines[j]
                c += 1
        size = ZERO
        while size >= 0:
            if line:
                fits = separates(a, near, degree, lines, d, x, rest, index, size)
            else:
                fits = holds_common(a, lines, d, x, rest, index, size)
            if fits:
                gain = edge_gain(s, y, x, nodes, parents_and_clique(parents, p, rest, index, size, nodes))
                gain -= edge_gain(s, x, y, own, _own(g, x, y, line, rest, index, size, own))
                bound = max(bound, gain)
                if gain > most:
                    _keep(kept, rest, index, size)
                    if not line and _closes_cycle(g, x, y, kept, before, ahead):
                        _note(queue, TURN, y, x, before)
                    elif _allowed(g, known, TURN, x, y, kept):
                        chosen, most = x, gain
                        _keep(clique, rest, index, size)
            size = next_clique(a, rest, c, index, size)
    return chosen, most, bound


@inside
def _allowed(g: Graph, known: Known, kind: int, x: int, y: int, clique: Ints) -> bool:
    """Whether the operator leads to a class with a DAG that agrees with what is known."""
    if not known.some:
        return True
    other = copied(g)
    apply(other, kind, x, y, clique)
    return agrees(other, known)


@inside
def _own(g: Graph, x: int, y: int, line: bool, rest: Ints, index: Ints, size: int, out: Ints) -> int:
    """x's parents besides y before the turn, those in C included where a line is turned; how many."""
    a, near, degree = g
    q = 0
    for j in range(degree[x]):
        w = near[x, j]
        if w != y and a[w, x] and not a[x, w]:
            out[q] = w
            q += 1
    if line:
        for t in range(size):
            w = rest[index[t]]
            if a[w, x] and a[x, w]:
                out[q] = w
                q += 1
    return q


@inside
def _closes_cycle(g: Graph, x: int, y: int, clique: Ints, before: Ints, ahead: Ints) -> bool:
    """Whether a path leads from y to x past C and x's lines, besides the arrow y -> x."""
    a, near, degree = g
    _block(before, clique)
    for j in range(degree[x]):
        if a[x, near[x, j]] and a[near[x, j], x]:
            before[near[x, j]] = PAST
    reach(a, near, degree, y, x, before, ahead)
    return bool(before[x] != NOWHERE)


@inside
def _note(queue: Queue, kind: int, y: int, x: int, before: Ints) -> None:
    """Keep the path to x that is in the way, if it still fits: `paths` is -1 where it did not."""
    count = queue.paths[kind, y]
    while count >= 0 and before[x] >= 0:
        if count == queue.path.shape[2]:
            count = -1
        else:
            queue.path[kind, y, count, 0], queue.path[kind, y, count, 1] = before[x], x
            count += 1
            x = before[x]
    queue.paths[kind, y] = count


@inside
def _block(before: Ints, clique: Ints) -> None:
    """Nothing is reached yet, and no path leads through the clique."""
    for node in range(len(before)):
        before[node] = NOWHERE
    for t in range(clique[-1]):
        before[clique[t]] = PAST


@inside
def _keep(kept: Ints, nodes: Ints, index: Ints, size: int) -> None:
    for t in range(size):
        kept[t] = nodes[index[t]]
    kept[-1] = size
