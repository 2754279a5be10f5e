"""Shares of variance that others leave, from correlations: one Cholesky step a node."""

from __future__ import annotations

import numpy as np

from unpooled.causal.compiling import ZERO, inside
from unpooled.causal.scores.gaussian import FLOOR as _FLOOR
from unpooled.causal.search.compiled.state import Floats, Ints

FLOOR = _FLOOR


@inside
def factorise(r: Floats, nodes: Ints, size: int, factor: Floats, kept: Ints) -> int:
    """The Cholesky factor of the correlations of `nodes[:size]`, those left out that others determine; its size."""
    rank = ZERO
    for s in range(size):
        pivot = solve(r, factor, kept, rank, nodes[s], factor[rank])
        if pivot > FLOOR:
            factor[rank, rank] = np.sqrt(pivot)
            kept[rank] = nodes[s]
            rank += 1
    return rank


@inside
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
