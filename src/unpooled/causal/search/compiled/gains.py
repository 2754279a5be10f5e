"""Differences of Gaussian scores, from correlations: `scores.gaussian`, compiled.

All of them are sums over the score's K parts. What was found is kept, as a search asks for the same node and parents
again and again while other parts of the graph change.
"""

from __future__ import annotations

import numpy as np

from unpooled.causal.compiling import ZERO, inside
from unpooled.causal.search.compiled.around import put
from unpooled.causal.search.compiled.shares import FLOOR, factorise, solve
from unpooled.causal.search.compiled.state import Floats, Ints, Score


@inside
def edge_gain(s: Score, y: int, x: int, nodes: Ints, size: int) -> float:
    """local_score(y, nodes + x) - local_score(y, nodes); minus infinity where a part has too few rows."""
    e = _entry(s, y, x, nodes, size)
    start = s.entry[e, 4]
    if s.entry[e, 5] == 0:
        s.gain[start] = ZERO
        for k in range(len(s.r)):
            if size + 2 >= s.parts[k, 0]:
                s.gain[start] = -np.inf
                break
            factor, kept, rank, left = _given(s.r[k], y, nodes, size)
            s.gain[start] += _pair_gain(s.r[k], s.parts[k], y, x, left, factor, kept, rank)
        s.entry[e, 5] = 1
        s.used[2] += 1
    return float(s.gain[start])


@inside
def gainful(s: Score, y: int, nodes: Ints, size: int, least: float) -> tuple[int, int]:
    """Where in `s.x` and `s.gain` the nodes are that gain more than `least` as a further parent of y, best first."""
    e = _entry(s, y, y, nodes, size)
    start = s.entry[e, 4]
    if s.entry[e, 5] < 0:
        s.entry[e, 5] = _list_gainful(s, y, nodes, size, least, start)
        s.used[2] += s.entry[e, 5]
    return start, s.entry[e, 5]


@inside
def _list_gainful(s: Score, y: int, nodes: Ints, size: int, least: float, start: int) -> int:
    """Write the list from `start` on; its length."""
    m = s.r.shape[1]
    gains = np.zeros(m)
    for k in range(len(s.r)):
        if size + 2 >= s.parts[k, 0]:
            return 0
        factor, kept, rank, left = _given(s.r[k], y, nodes, size)
        for x in range(m):
            gains[x] += _pair_gain(s.r[k], s.parts[k], y, x, left, factor, kept, rank)
    gains[y] = least
    for t in range(size):
        gains[nodes[t]] = least
    end = start
    for x in range(m):
        if gains[x] > least:
            i = end
            while i > start and s.gain[i - 1] < gains[x]:
                s.x[i], s.gain[i] = s.x[i - 1], s.gain[i - 1]
                i -= 1
            s.x[i], s.gain[i] = x, gains[x]
            end += 1
    return end - start


@inside
def _given(r: Floats, y: int, nodes: Ints, size: int) -> tuple[Floats, Ints, int, float]:
    """The factor of the nodes, y's row below it and one that is free, who is in it; the share of y that is left."""
    factor, kept = np.empty((size + 3, size + 1)), np.empty(size + 1, np.int64)
    rank = factorise(r, nodes, size, factor, kept)
    return factor, kept, rank, solve(r, factor, kept, rank, y, factor[size + 1])


@inside
def _pair_gain(r: Floats, part: Floats, y: int, x: int, left: float, factor: Floats, kept: Ints, rank: int) -> float:
    """One part's gain of x, from what is given of y."""
    own, other = factor[-2], factor[-1]
    pivot = solve(r, factor, kept, rank, x, other)
    if pivot <= FLOOR:
        return float(-part[1])
    common = r[x, y]
    for i in range(rank):
        common -= own[i] * other[i]
    after = max(left - common * common / pivot, FLOOR)
    return float(-0.5 * part[0] * np.log(after / max(left, FLOOR)) - part[1])


@inside
def _entry(s: Score, y: int, x: int, nodes: Ints, size: int) -> int:
    """The entry's number. Of a new one, the number of values is 0, or -1 for a list."""
    slot, entry, known, used = s.slot, s.entry, s.nodes, s.used
    if used[0] == len(entry) or used[1] + size > len(known) or used[2] + s.r.shape[1] > len(s.x):
        for i in range(len(slot)):
            slot[i] = -1
        used[0] = used[1] = used[2] = 0
    key = used[1]  # the parents, ascending, are written to where they belong if the entry is new
    for t in range(size):
        put(known, key, t, nodes[t])
    code = np.uint64(y) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(x + 1)
    for t in range(size):
        code = (code ^ (code >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(known[key + t] + 1)
    code = (code ^ (code >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    mask = len(slot) - 1
    at = np.int64(code >> np.uint64(32)) & mask
    while slot[at] >= 0:
        e = slot[at]
        if entry[e, 0] == y and entry[e, 1] == x and entry[e, 3] == size:
            same = True
            for t in range(size):
                same = same and known[entry[e, 2] + t] == known[key + t]
            if same:
                return int(e)
        at = (at + 1) & mask
    e = used[0]
    slot[at] = e
    entry[e, 0], entry[e, 1], entry[e, 2], entry[e, 3], entry[e, 4] = y, x, key, size, used[2]
    entry[e, 5] = -1 if x == y else 0
    used[0] += 1
    used[1] += size
    return int(e)
