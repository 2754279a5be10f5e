"""The geometric median: the point with the least sum of distances to all models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unpooled import errors
from unpooled.combine.arrays import Array, norms
from unpooled.combine.base import Combiner, Stack
from unpooled.combine.coordinate_median import median
from unpooled.errors import BadSetting

SAME = 1e-14
"""Points closer than this share of the spread count as one."""
LOOK_EVERY = 8
"""Iterations between two tests whether the nearest model is itself the median."""


@dataclass(frozen=True)
class GeometricMedian(Combiner):
    """argmin over x of sum_i w_i |x - rows_i|: up to half of the weight may be arbitrary.

    Weiszfeld's iteration with the step of Vardi and Zhang, "The multivariate L1-median and associated data depth",
    PNAS 97 (2000), equations 2.4 to 2.6, which also leaves and finds medians that are models. Starts at the coordinate
    median; stops when a step is below `tolerance` times the median distance to it, or after `limit` iterations. Where
    the median is not unique (an even number of models on one line) the result depends on that start. Details:
    `iterations`, `converged`, `objective` (the weighted mean distance, parameter units).

    >>> geometric_median(np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [1.0, 1.0]])).round(6).tolist()
    [1.0, 1.0]
    """

    tolerance: float = 1e-10
    limit: int = 1000
    kind: ClassVar[str] = "geometric_median"

    def __post_init__(self) -> None:
        errors.positive(limit=self.limit)
        if not 0.0 < self.tolerance < 1.0:
            raise BadSetting(f"tolerance must lie between 0 and 1, got {self.tolerance!r}.")

    def _combine(self, stack: Stack) -> tuple[Array, dict[str, Any]]:
        weights = np.ones(stack.rows.shape[1]) if stack.weights is None else stack.weights
        weights = weights / weights.sum()
        found = [
            _weiszfeld(rows[weights > 0], weights[weights > 0], start, self.tolerance, self.limit)
            for rows, start in zip(stack.rows.astype(np.float64), median(stack.rows, stack.weights), strict=True)
        ]
        points, iterations, converged = (np.array(part) for part in zip(*found, strict=True))
        details: dict[str, Any] = {"iterations": iterations, "converged": converged}
        if stack.full:
            details["objective"] = norms(stack.rows - points[:, None]) @ weights
        return points, details


def _weiszfeld(rows: Array, weights: Array, start: Array, tolerance: float, limit: int) -> tuple[Array, int, bool]:
    """Point (P,), iterations, whether they converged; all weights are above 0."""
    point = start
    away = rows - point
    far = norms(away)
    spread = float(np.median(far)) or float(far.min(where=far > 0, initial=np.inf))
    if not 0 < spread < np.inf:
        return point, 0, True
    for iteration in range(1, limit + 1):
        pull, stiffness, here = _pull(away, far, weights, SAME * spread)
        strength = float(norms(pull))
        if strength <= here:
            return point, iteration, True
        if iteration % LOOK_EVERY == 0:
            nearest = rows[np.where(far > SAME * spread, far, np.inf).argmin()]
            beyond = rows - nearest
            other, _, there = _pull(beyond, norms(beyond), weights, SAME * spread)
            if norms(other) <= there:
                return nearest, iteration, True
        step = (1 - here / strength) * pull / stiffness
        point = point + step
        if norms(step) <= tolerance * spread:
            return point, iteration, True
        away = rows - point
        far = norms(away)
    return point, limit, False


def _pull(away: Array, far: Array, weights: Array, same: float) -> tuple[Array, float, float]:
    """R = sum w (x_i - y) / d, sum w / d, and the weight of the models at y itself (eta)."""
    apart = far > same
    coefficients = np.divide(weights, far, out=np.zeros_like(weights), where=apart)
    return coefficients @ away, float(coefficients.sum()), float(weights[~apart].sum())


geometric_median = GeometricMedian()
