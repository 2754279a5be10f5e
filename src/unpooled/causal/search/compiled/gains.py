"""Differences of Gaussian scores, from correlations: `scores.gaussian`, compiled.

All of them are sums over the score's K parts. `gainful` keeps what it found, as a search asks for the same node and
parents again and again while other parts of the graph change.
"""

from __future__ import annotations

import numpy as np

from unpooled.causal.search.compiled.compiling import inside
from unpooled.causal.search.compiled.shares import FLOOR, factorise, solve
from unpooled.causal.search.compiled.state import Floats, Ints, Score


@inside
def _pair_gain(
    s: Score, k: int, y: int, x: int, left: float, own: Floats, factor: Floats, kept: Ints, rank: int, other: Floats
) -> float:
    """One part's gain, from what the parents leave of y and the factor's row of y."""
    pivot = solve(s.r[k], factor, kept, rank, x, other)
    if pivot <= FLOOR:
        return float(-s.penalty[k])
    common = s.r[k, x, y]
    for i in range(rank):
        common -= own[i] * other[i]
    after = max(left - common * common / pivot, FLOOR)
    return float(-0.5 * s.rows[k] * np.log(after / max(left, FLOOR)) - s.penalty[k])


@inside
def edge_gain(s: Score, y: int, x: int, nodes: Ints, size: int) -> float:
    """local_score(y, nodes + x) - local_score(y, nodes); minus infinity where a part has too few rows."""
    at = _look_up(s, y, x, nodes, size)
    if s.slot[at] < 0:
        e = _new_entry(s, at, y, x, size)
        s.gain[s.found[e, 0]] = _edge_gain(s, y, x, nodes, size)
        s.found[e, 1] = 1
        s.used[2] += 1
    return float(s.gain[s.found[s.slot[at], 0]])


@inside
def gainful(s: Score, y: int, nodes: Ints, size: int, least: float) -> tuple[int, int]:
    """Where in `s.x` and `s.gain` the nodes are that gain more than `least` as a further parent of y, best first."""
    at = _look_up(s, y, -1, nodes, size)
    if s.slot[at] < 0:
        e = _new_entry(s, at, y, -1, size)
        s.found[e, 1] = _list_gainful(s, y, nodes, size, least, s.found[e, 0])
        s.used[2] += s.found[e, 1]
    e = s.slot[at]
    return s.found[e, 0], s.found[e, 1]


@inside
def _look_up(s: Score, y: int, x: int, nodes: Ints, size: int) -> int:
    """The slot where the entry is, or where it belongs (then the slot is -1); `s.scratch` has the nodes ascending."""
    key = s.scratch
    for t in range(size):
        i = t
        while i > 0 and key[i - 1] > nodes[t]:
            key[i] = key[i - 1]
            i -= 1
        key[i] = nodes[t]
    code = np.uint64(y) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(x + 1)
    for t in range(size):
        code = (code ^ (code >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key[t] + 1)
    code = (code ^ (code >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    mask = len(s.slot) - 1
    full = s.used[0] == len(s.key) or s.used[1] + size > len(s.nodes) or s.used[2] + s.r.shape[1] > len(s.x)
    if full:
        s.slot[:] = -1
        s.used[:] = 0
    at = np.int64(code >> np.uint64(32)) & mask
    while s.slot[at] >= 0:
        e = s.slot[at]
        if s.key[e, 0] == y and s.key[e, 1] == x and s.key[e, 3] == size:
            same = True
            for t in range(size):
                same = same and s.nodes[s.key[e, 2] + t] == key[t]
            if same:
                break
        at = (at + 1) & mask
    return int(at)


@inside
def _new_entry(s: Score, at: int, y: int, x: int, size: int) -> int:
    e = int(s.used[0])
    s.slot[at] = e
    s.key[e, 0], s.key[e, 1], s.key[e, 2], s.key[e, 3] = y, x, s.used[1], size
    for t in range(size):
        s.nodes[s.used[1] + t] = s.scratch[t]
    s.found[e, 0] = s.used[2]
    s.used[0] += 1
    s.used[1] += size
    return e


@inside
def _edge_gain(s: Score, y: int, x: int, nodes: Ints, size: int) -> float:
    factor = np.empty((size + 3, size + 1))
    kept = np.empty(size + 1, np.int64)
    gain = 0.0
    for k in range(len(s.r)):
        if size + 2 >= s.rows[k]:
            return -np.inf
        rank = factorise(s.r[k], nodes, size, factor, kept)
        left = solve(s.r[k], factor, kept, rank, y, factor[size + 1])
        gain += _pair_gain(s, k, y, x, left, factor[size + 1], factor, kept, rank, factor[size + 2])
    return gain


@inside
def _list_gainful(s: Score, y: int, nodes: Ints, size: int, least: float, start: int) -> int:
    """Write the list from `start` on; its length."""
    m = s.r.shape[1]
    gains = np.zeros(m)
    factor = np.empty((size + 3, size + 1))
    kept = np.empty(size + 1, np.int64)
    for k in range(len(s.r)):
        if size + 2 >= s.rows[k]:
            return 0
        rank = factorise(s.r[k], nodes, size, factor, kept)
        left = solve(s.r[k], factor, kept, rank, y, factor[size + 1])
        for x in range(m):
            gains[x] += _pair_gain(s, k, y, x, left, factor[size + 1], factor, kept, rank, factor[size + 2])
    gains[y] = least
    for t in range(size):
        gains[nodes[t]] = least
    count = 0
    for x in np.argsort(-gains, kind="mergesort"):
        if not gains[x] > least:
            break
        s.x[start + count], s.gain[start + count] = x, gains[x]
        count += 1
    return count
