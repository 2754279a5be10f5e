"""Keeping a model's support set small, at a price that is reported.

Truncation drops the smallest coefficients (J. Kivinen, A. Smola, R. Williamson, "Online Learning with Kernels", 2004,
drop the oldest; dropping the smallest costs least). Projection replaces what is dropped by its projection on what is
kept (F. Orabona, J. Keshet, B. Caputo, "The Projectron", ICML 2008). Either gives |f' - f| <= error, the epsilon of an
approximate update rule in Kamp et al., ECML PKDD 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Protocol

import numpy as np

from unpooled import errors
from unpooled.combine import Array
from unpooled.training.streams.kernel.expansion import Expansion, Kernel, inner, total

RIDGE = 1e-10
"""Added to the diagonal where two kept vectors nearly coincide."""


class Compression(Protocol):
    """Settings of a way to keep at most `budget` support vectors."""

    budget: int

    def change(self, kernel: Kernel, f: Expansion) -> Expansion | None:
        """What is to be added to f, as a model on f's own support set; None where f fits the budget."""
        ...


@dataclass(frozen=True)
class Truncation:
    """The smallest coefficients are dropped; of an average of m tight models that is most of it (docs/streams.md)."""

    budget: int

    def __post_init__(self) -> None:
        errors.positive(budget=self.budget)

    def change(self, kernel: Kernel, f: Expansion) -> Expansion | None:
        if len(f) <= self.budget:
            return None
        gone = _smallest(f, self.budget)
        return Expansion(f.ids[gone], f.X[gone], -f.a[gone])


@dataclass(frozen=True)
class Projection:
    """What has the smallest coefficients is replaced by its best approximation on the rest: O(budget^3)."""

    budget: int

    def __post_init__(self) -> None:
        errors.positive(budget=self.budget)

    def change(self, kernel: Kernel, f: Expansion) -> Expansion | None:
        if len(f) <= self.budget:
            return None
        gone = _smallest(f, self.budget)
        kept = np.setdiff1d(np.arange(len(f)), gone)
        gram = kernel(f.X[kept], f.X[kept]) + RIDGE * np.eye(len(kept))
        found = np.linalg.solve(gram, kernel(f.X[kept], f.X[gone]) @ f.a[gone])
        change = np.empty(len(f))
        change[kept], change[gone] = found, -f.a[gone]
        return Expansion(f.ids, f.X, change)


def compressed(kernel: Kernel, f: Expansion, how: Compression | None) -> tuple[Expansion, float]:
    """The model within its budget, and the distance |f' - f|."""
    change = None if how is None else how.change(kernel, f)
    if change is None:
        return f, 0.0
    return without_zeros(total([f, change])), sqrt(max(inner(kernel, change, change), 0.0))


def without_zeros(f: Expansion) -> Expansion:
    """Without the vectors whose coefficient is exactly 0."""
    there = f.a != 0
    return Expansion(f.ids[there], f.X[there], f.a[there])


def _smallest(f: Expansion, budget: int) -> Array:
    """Positions of the smallest coefficients, so many that `budget` are left."""
    return np.sort(np.argsort(np.abs(f.a), kind="stable")[: len(f) - budget])
