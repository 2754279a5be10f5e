"""The coordinate-wise mean, plain or weighted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unpooled.combine.arrays import Array
from unpooled.combine.base import Combiner, Stack


@dataclass(frozen=True)
class Mean(Combiner):
    """The mean of `rows`, shape (k, P) to (P,), weighted by `weights` of shape (k,) where they are given.

    They need not add up to one. One arbitrary model makes the mean arbitrary, and one NaN makes it NaN: no
    model is left out.

    >>> mean(np.array([[0.0, 2.0], [2.0, 4.0]])).tolist()
    [1.0, 3.0]
    >>> mean(np.array([[0.0, 2.0], [2.0, 4.0]]), weights=np.array([3, 1])).tolist()
    [0.5, 2.5]
    """

    kind: ClassVar[str] = "mean"
    keeps_all: ClassVar[bool] = True

    def _combine(self, stack: Stack) -> tuple[Array, dict[str, Any]]:
        return weighted_mean(stack.rows, stack.weights), {}


def weighted_mean(rows: Array, weights: Array | None) -> Array:
    """(B, k, P) to (B, P) in float64, with weights (k,) or none."""
    if weights is None:
        return np.asarray(rows.mean(axis=-2, dtype=np.float64))
    return np.asarray(np.einsum("k,bkp->bp", weights / weights.sum(), rows, dtype=np.float64))


mean = Mean()
