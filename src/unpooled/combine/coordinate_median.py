"""The coordinate-wise median: up to half of the models may be arbitrary in each coordinate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unpooled.combine.arrays import Array
from unpooled.combine.base import Combiner, Stack


@dataclass(frozen=True)
class CoordinateMedian(Combiner):
    """The median of each column of `rows`, shape (k, P) to (P,); weighted: the lower weighted median.

    Yin, Chen, Ramchandran and Bartlett, "Byzantine-Robust Distributed Learning", ICML 2018, section 4. The result
    need not lie in the convex hull of the models.

    >>> coordinate_median(np.array([[0.0, 1.0], [1.0, 5.0], [90.0, 2.0]])).tolist()
    [1.0, 2.0]
    """

    kind: ClassVar[str] = "coordinate_median"

    def _combine(self, stack: Stack) -> tuple[Array, dict[str, Any]]:
        return median(stack.rows, stack.weights), {}


def median(rows: Array, weights: Array | None) -> Array:
    """(..., k, P) to (..., P) in float64; with weights (k,), the least value that holds half the weight."""
    if weights is None:
        last = rows.shape[-2] // 2
        first = last - 1 + rows.shape[-2] % 2
        middle = np.partition(rows, (first, last), axis=-2)[..., first : last + 1, :].astype(np.float64)
        return np.asarray((middle * (0.5 if first < last else 1.0)).sum(axis=-2))
    order = np.argsort(rows, axis=-2, kind="stable")
    share = np.cumsum(weights[order], axis=-2)
    half = (share >= share[..., -1:, :] / 2).argmax(axis=-2, keepdims=True)
    return np.take_along_axis(rows, np.take_along_axis(order, half, axis=-2), axis=-2)[..., 0, :].astype(np.float64)


coordinate_median = CoordinateMedian()
