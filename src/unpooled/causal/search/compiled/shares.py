"""Differences of Gaussian scores, from correlations: `scores.gaussian`, compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unpooled.causal.scores.gaussian import FLOOR as _FLOOR
from unpooled.causal.search.compiled.classes import Ints
from unpooled.causal.search.compiled.compiling import compiled

Floats = NDArray[np.float64]
FLOOR = _FLOOR


@compiled
def factorise(r: Floats, nodes: Ints, size: int, factor: Floats, kept: Ints) -> int:
    """The Cholesky factor of the correlations of `nodes[:size]`, those left out that others determine; its size."""
    rank = 0
    for s in range(size):
        pivot = solve(r, factor, kept, rank, nodes[s], factor[rank])
        if pivot > FLOOR:
            factor[rank, rank] = np.sqrt(pivot)
            kept[rank] = nodes[s]
            rank += 1
    return rank


@compiled
def solve(r: Floats, factor: Floats, kept: Ints, rank: int, node: int, row: Floats) -> float:
    """Fill `row` with the factor's row for another node; returns the share of its variance that is left."""
    left = 1.0
    for i in range(rank):
        value = r[kept[i], node]
        for j in range(i):
            value -= factor[i, j] * row[j]
        row[i] = value / factor[i, i]
        left -= row[i] * row[i]
    return left


@compiled
def edge_gain(r: Floats, rows: int, penalty: float, y: int, x: int, nodes: Ints, size: int) -> float:
    """local_score(y, nodes + x) - local_score(y, nodes)."""
    if size + 2 >= rows:
        return -np.inf
    factor = np.empty((size + 1, size + 1))
    kept = np.empty(size + 1, np.int32)
    rank = factorise(r, nodes, size, factor, kept)
    own, other = np.empty(rank), np.empty(rank)
    left = solve(r, factor, kept, rank, y, own)
    pivot = solve(r, factor, kept, rank, x, other)
    return pair_gain(r, rows, penalty, y, x, left, pivot, own, other, rank)


@compiled
def pair_gain(
    r: Floats,
    rows: int,
    penalty: float,
    y: int,
    x: int,
    left: float,
    pivot: float,
    own: Floats,
    other: Floats,
    rank: int,
) -> float:
    """The same, from what the parents leave of y and x and the factor's rows of both."""
    if pivot <= FLOOR:
        return -penalty
    common = r[x, y]
    for i in range(rank):
        common -= own[i] * other[i]
    after = max(left - common * common / pivot, FLOOR)
    return float(-0.5 * rows * np.log(after / max(left, FLOOR)) - penalty)
