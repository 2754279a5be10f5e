"""The trimmed mean: in each coordinate the lowest and the highest values go, the rest is averaged."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import Any, ClassVar

import numpy as np

from unpooled.combine.arrays import Array
from unpooled.combine.base import Combiner, Stack
from unpooled.errors import BadSetting

ROUNDING = 1e-9
"""So that 0.29 of 100 models are 29, not the 28 that binary fractions make of it."""


@dataclass(frozen=True)
class TrimmedMean(Combiner):
    """In each coordinate, drop the floor(trim * k) lowest and as many of the highest values; mean of the rest.

    Yin, Chen, Ramchandran and Bartlett, "Byzantine-Robust Distributed Learning", ICML 2018, section 4; `trim` (beta)
    must be at least the share of corrupt models, and lies in (0, 0.5). With weights, exactly the share `trim` of
    the weight goes on each side, if need be by a part of one model's weight; equal weights are no weights where
    trim * k is whole. Fewer than 1 / trim models would all stay, and are refused. Details: `trimmed`, models on each
    side (without weights).

    >>> trimmed_mean(np.array([[0.0], [1.0], [2.0], [3.0], [1e9]])).tolist()
    [2.0]
    """

    trim: float = 0.2
    kind: ClassVar[str] = "trimmed_mean"

    def __post_init__(self) -> None:
        if not 0.0 < self.trim < 0.5:
            raise BadSetting(f"trim must lie above 0 and below 0.5, got {self.trim!r}.")

    def needed(self, parameters: int) -> int:
        return ceil(1 / self.trim - ROUNDING)

    def _combine(self, stack: Stack) -> tuple[Array, dict[str, Any]]:
        rows, models = stack.rows, stack.rows.shape[-2]
        if stack.weights is not None:
            return _weighted(rows, stack.weights, self.trim), {}
        cut = floor(self.trim * models + ROUNDING)
        if cut == 0:
            raise BadSetting(
                f"Trimming {self.trim:g} of the models on each side needs {self.needed(0)} models, got {models}: use a "
                "larger trim, or combine.coordinate_median."
            )
        inner = np.partition(rows, (cut, models - cut - 1), axis=-2)[..., cut : models - cut, :]
        return inner.mean(axis=-2, dtype=np.float64), {"trimmed": cut}


def _weighted(rows: Array, weights: Array, trim: float) -> Array:
    """Each value counts by that part of its weight which lies between the shares trim and 1 - trim."""
    order = np.argsort(rows, axis=-2, kind="stable")
    upper = np.cumsum((weights / weights.sum())[order], axis=-2)
    lower = np.concatenate([np.zeros_like(upper[..., :1, :]), upper[..., :-1, :]], axis=-2)
    inside = np.clip(np.minimum(upper, 1 - trim) - np.maximum(lower, trim), 0.0, None)
    values = np.take_along_axis(rows, order, axis=-2).astype(np.float64)
    return np.asarray((values * inside).sum(axis=-2) / inside.sum(axis=-2))


trimmed_mean = TrimmedMean()
