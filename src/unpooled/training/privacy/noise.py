"""Clip and noise as plain functions of arrays: rows of several sites at once, each treated by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unpooled.combine import Array
from unpooled.seeds import Streams


def clipped(own: Array, received: Array, clip: float) -> Array:
    """received + Delta / max(1, |Delta|_2 / clip) with Delta = own - received, each row by itself; float64."""
    change = own.astype(np.float64) - received
    largest = np.maximum(np.abs(change).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    norms = largest * np.sqrt(((change / largest) ** 2).sum(axis=1, keepdims=True))  # no square overflows
    change /= np.maximum(1.0, norms / clip)
    change += received
    return change


def gaussian(streams: Sequence[Streams], sites: Sequence[str], numbers: Sequence[int], width: int) -> Array:
    """Standard normal rows (k, width): a stream for each site and the number of its answer, so none is used twice."""
    named = zip(streams, sites, numbers, strict=True)
    return np.stack([s.generator("site", name, "noise", n).standard_normal(width) for s, name, n in named])
