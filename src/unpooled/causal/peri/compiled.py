"""Residual variances for a batch of parent sets: `gaussian.residual_share`, compiled."""

from __future__ import annotations

import numpy as np

from unpooled.causal.compiling import compiled
from unpooled.causal.search.compiled.shares import FLOOR, factorise, solve
from unpooled.causal.search.compiled.state import Floats, Ints


@compiled
def residual_shares(r: Floats, nodes: Ints, sizes: Ints, parents: Ints) -> Floats:
    """The share of each node's variance that its parents leave, shape (q,), at least `FLOOR`."""
    found = np.empty(len(nodes))
    most = sizes.max() + 1 if len(sizes) else 1
    factor = np.zeros((most, most))
    kept, row = np.empty(most, np.int32), np.empty(most)
    start = 0
    for i in range(len(nodes)):
        rank = factorise(r, parents[start : start + sizes[i]], sizes[i], factor, kept)
        found[i] = max(solve(r, factor, kept, rank, nodes[i], row), FLOOR)
        start += sizes[i]
    return found
