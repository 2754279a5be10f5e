"""Bulyan: choose by Krum again and again, then average each coordinate near its median."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unpooled.combine.arrays import Array
from unpooled.combine.base import Stack
from unpooled.combine.coordinate_median import median
from unpooled.combine.krum import Krum, corrupt_models, ranked, squared_distances


@dataclass(frozen=True)
class Bulyan(Krum):
    """Krum picks theta = n - 2f models one by one; per coordinate, the mean of the theta - 2f values at the median.

    El Mhamdi, Guerraoui and Rouault, "The Hidden Vulnerability of Distributed Learning in Byzantium", ICML 2018,
    section 4. `byzantine` is f; without it, the most that n models allow; n must be at least 4f + 3. Each pick scores
    the models that are left by their n' - f - 2 nearest, at least one. The median of an even number of values
    lies between the middle two. Details: `chosen` (theta,) in the order picked, `byzantine`.

    >>> bulyan(np.array([[0.0], [0.1], [0.2], [0.3], [0.4], [0.5], [9.0]])).round(6).tolist()
    [0.3]
    """

    kind: ClassVar[str] = "bulyan"

    def needed(self, parameters: int) -> int:
        return 4 * (self.byzantine or 0) + 3

    def _combine(self, stack: Stack) -> tuple[Array, dict[str, Any]]:
        models = stack.rows.shape[1]
        corrupt = corrupt_models(self, stack, each=4)
        chosen = _picks(squared_distances(stack.rows), corrupt, models - 2 * corrupt)
        picked = np.take_along_axis(stack.rows, chosen[..., None], axis=1).astype(np.float64)
        picked.sort(axis=1)
        off = np.abs(picked - median(picked, None)[:, None])
        near = np.argsort(off, axis=1, kind="stable")[:, : models - 4 * corrupt]
        row = np.take_along_axis(picked, near, axis=1).mean(axis=1)
        return row, {"chosen": chosen, "byzantine": corrupt}


def _picks(apart: Array, corrupt: int, picks: int) -> Array:
    """(B, picks): the best Krum score among the models that are left, time and again."""
    given, apart, items = apart, apart.copy(), np.arange(len(apart))
    models = apart.shape[-1]
    gone = np.zeros(apart.shape[:2], dtype=bool)
    chosen = np.zeros((len(apart), picks), dtype=np.int64)
    for pick in range(picks):
        left = models - pick
        nearest = min(max(left - corrupt - 2, 1), left - 1)
        scores = np.partition(apart, max(nearest - 1, 0), axis=-1)[..., :nearest].sum(axis=-1)
        scores = np.where(gone, np.inf, np.minimum(scores, np.finfo(np.float64).max))
        chosen[:, pick] = best = ranked(scores, given)[:, 0]
        gone[items, best] = True
        apart[items, best] = apart[items, :, best] = np.inf
    return chosen


bulyan = Bulyan()
