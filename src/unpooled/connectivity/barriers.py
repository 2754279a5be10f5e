"""From scores along a cut to barriers, each with the name of what it is measured against.

Adilova, Andriushchenko, Kamp, Fischer, Jaggi, "Layer-wise linear mode connectivity", ICLR 2024. w[l <- a] is the
default model with layer l at (1 - a) of the first and a of the second model; L(w), L(w') belong to the full models.

- mean: L(w[l <- 1/2]) - (L(w) + L(w')) / 2, the paper's.
- chord: max over a of L(w[l <- a]) - (1 - a) L(w) - a L(w') (Entezari et al., ICLR 2022).
- worse: max over a of L(w[l <- a]) - max(L(w), L(w')).
- default: L(w[l <- 1/2]) - L(default).
- hybrid-chord: the chord between the cut's own ends, the default model and the one with the other's layer.

An influence-free layer has mean = +-(L(w) - L(w')) / 2, so every row says both end-points and whether they are unequal.
Standard errors are of the same samples for all models; where a is chosen as the greatest they hold for that a.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unpooled.connectivity.moments import Array, Moments

REFERENCES = ("mean", "chord", "worse", "default", "hybrid-chord")
CLEAR = 2.0
"""Standard errors from which a difference is more than the choice of samples."""
POINTS = 2.0
"""End-points differ where their errors do by more than these per cent (the margin of Frankle et al., ICML 2020)."""
SHARE = 0.1
"""End-points differ where their losses do by more than this share of the smaller one."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Scores of one cut: `places` says where each alpha stands in the moments; `first` and `second` are the ends."""

    moments: Moments
    places: Mapping[float, int]
    default: str

    @property
    def first(self) -> int:
        """The place of the first full model."""
        return int(self.moments.mean.shape[1]) - 2

    @property
    def second(self) -> int:
        """The place of the second full model."""
        return self.first + 1

    def rows(self, metrics: tuple[str, ...]) -> list[dict[str, Any]]:
        """One row a metric and reference."""
        found = []
        for m, name in enumerate(metrics):
            unequal = self.unequal(m, name)
            found += [self._row(m, name, reference, unequal) for reference in REFERENCES]
        return found

    def _row(self, metric: int, name: str, reference: str, unequal: bool) -> dict[str, Any]:
        values = self.moments.mean[metric]
        a, b, half = values[self.first], values[self.second], values[self.places[0.5]]
        own, other = (0.0, 1.0) if self.default == "a" else (1.0, 0.0)
        alpha, weights = self._weighted(values, reference)
        return {
            "metric": name,
            "reference": reference,
            "barrier": float(weights @ values),
            "standard_error": self.moments.error(weights, metric),
            "alpha": alpha,
            "end_a": float(a),
            "end_b": float(b),
            "at_default": float(values[self.places[own]]),
            "at_half": float(half),
            "at_swap": float(values[self.places[other]]),
            "unequal_ends": unequal,
        }

    def _weighted(self, values: Array, reference: str) -> tuple[float, Array]:
        """Where the barrier is attained, and the weighted sum of models that it is."""
        if reference == "mean":
            return 0.5, self._sum({0.5: 1.0}, (-0.5, -0.5))
        if reference == "default":
            return 0.5, self._sum({0.5: 1.0}, (-1.0, 0.0) if self.default == "a" else (0.0, -1.0))
        heights = {
            alpha: values[place] - sum(share * values[i] for i, share in self._below(alpha, values, reference))
            for alpha, place in self.places.items()
        }
        top = max(heights, key=lambda alpha: heights[alpha])
        if not all(map(math.isfinite, heights.values())):
            return top, np.full(len(values), np.nan)
        weights = self._sum({top: 1.0}, (0.0, 0.0))
        for i, share in self._below(top, values, reference):
            weights[i] -= share
        return top, weights

    def _below(self, alpha: float, values: Array, reference: str) -> tuple[tuple[int, float], ...]:
        """What the height at alpha is measured from: places of models and their shares."""
        if reference == "worse":
            return ((self.first if values[self.first] >= values[self.second] else self.second, 1.0),)
        low, high = (self.first, self.second) if reference == "chord" else (self.places[0.0], self.places[1.0])
        return (low, 1 - alpha), (high, alpha)

    def _sum(self, inner: Mapping[float, float], ends: tuple[float, float]) -> Array:
        weights = np.zeros(self.moments.mean.shape[1])
        for alpha, share in inner.items():
            weights[self.places[alpha]] += share
        weights[self.first] += ends[0]
        weights[self.second] += ends[1]
        return weights

    def unequal(self, metric: int, name: str) -> bool:
        """Whether the full models differ in this metric: by a margin, and by more than the choice of samples."""
        values = self.moments.mean[metric]
        a, b = values[self.first], values[self.second]
        if not (math.isfinite(a) and math.isfinite(b)):
            return True
        spread = self.moments.error(self._sum({}, (1.0, -1.0)), metric)
        margin = POINTS if name == "error" else SHARE * min(abs(a), abs(b))
        return bool(abs(a - b) > margin and not abs(a - b) <= CLEAR * spread)
