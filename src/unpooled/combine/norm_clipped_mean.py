"""The norm-clipped mean: no model pulls further than a bound."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Literal

import numpy as np

from unpooled.combine.arrays import Array, norms
from unpooled.combine.base import Combiner, Stack
from unpooled.combine.coordinate_median import median
from unpooled.combine.mean import weighted_mean
from unpooled.errors import BadSetting


@dataclass(frozen=True)
class NormClippedMean(Combiner):
    """Move each model towards a centre until it is at most `bound` away (Euclidean, parameter units); then the mean.

    `centre` is the coordinate median ("median"), or the origin ("zero") for rows that are updates rather than models.
    Without a `bound` it is the median of the distances, so that half of the models stay as they are. With a bound below
    all norms and centre "zero" the result points where the mean of the unit vectors does. This is one step of centred
    clipping (Karimireddy, He and Jaggi, "Learning from History for Byzantine Robust Optimization", ICML 2021,
    section 4), started at the median instead of the last round's model. One arbitrary model moves the result by at
    most about 2 * bound / k beyond what it moves the centre. Details: `bound`, `clipped` (k,), True where it applied.

    >>> norm_clipped_mean(np.array([[0.0], [1.0], [2.0], [3.0], [1e9]])).tolist()
    [2.0]
    """

    bound: float | None = None
    centre: Literal["median", "zero"] = "median"
    kind: ClassVar[str] = "norm_clipped_mean"

    def __post_init__(self) -> None:
        if self.bound is not None and not 0.0 < self.bound < inf:
            raise BadSetting(f"bound must be a number above 0 (or left out), got {self.bound!r}.")
        if self.centre not in ("median", "zero"):
            raise BadSetting(f"centre must be 'median' or 'zero', got {self.centre!r}.")

    def _combine(self, stack: Stack) -> tuple[Array, dict[str, Any]]:
        rows = stack.rows.astype(np.float64)
        centre = median(rows, stack.weights)[:, None] if self.centre == "median" else np.zeros_like(rows[:, :1])
        away = rows - centre
        length = norms(away)
        if self.bound is None:
            bound = median(np.minimum(length, np.finfo(np.float64).max)[..., None], stack.weights)
        else:
            bound = np.full((len(rows), 1), self.bound)
        clipped = length > bound
        away *= np.divide(bound, length, out=np.ones_like(length), where=clipped)[..., None]
        return centre[:, 0] + weighted_mean(away, stack.weights), {"bound": bound[:, 0], "clipped": clipped}


norm_clipped_mean = NormClippedMean()
