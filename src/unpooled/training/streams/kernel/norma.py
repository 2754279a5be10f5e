"""NORMA with hinge loss, and the distance to a reference kept up to date along the way.

J. Kivinen, A. Smola, R. Williamson, "Online Learning with Kernels", IEEE Transactions on Signal Processing, 2004,
without offset: f <- (1 - eta lambda) f + eta y k(x, .) where y f(x) < 1. paper -> here: eta rate, lambda decay; rho is
1.

Distances: with <f, f>, <f, r> and <r, r> at hand, adding a model d changes them by 2 <f, d> + <d, d> and <r, d>, and
decay by c multiplies them by c^2 and c. For one new example that is O(|S|) instead of O(|S|^2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpooled import errors
from unpooled.combine import Array
from unpooled.errors import BadSetting
from unpooled.training.streams.kernel.compression import Compression, without_zeros
from unpooled.training.streams.kernel.expansion import (
    Expansion,
    Gaussian,
    Kernel,
    empty,
    inner,
    name_of,
    total,
)


@dataclass(frozen=True)
class Norma:
    """Settings of a kernel learner. `compression` bounds its support set; None lets it grow."""

    kernel: Kernel = Gaussian(1.0)  # noqa: RUF009  frozen
    rate: float = 0.5
    decay: float = 0.002
    compression: Compression | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.rate < float("inf"):
            raise BadSetting(f"rate must be a finite number above 0, got {self.rate!r}.")
        errors.not_negative(decay=self.decay)
        if self.rate * self.decay >= 1:
            raise BadSetting(f"rate * decay must be below 1, got {self.rate:g} * {self.decay:g}: lower one of them.")

    @property
    def label(self) -> str:
        """A short name for tables."""
        more = "" if self.compression is None else f", {self.compression}"
        return f"NORMA, {self.kernel}, rate {self.rate:g}, decay {self.decay:g}{more}"


class KernelLearner:
    """Learner number `number`. With `tracked` it keeps its distance to the reference, at first the model 0."""

    def __init__(self, settings: Norma, number: int, width: int, *, tracked: bool) -> None:
        self.settings, self.number, self._tracked = settings, number, tracked
        self.f = self.r = empty(width)
        self._found = 0
        self._ff = self._fr = self._rr = 0.0
        self.error = 0.0

    def predict(self, x: Array) -> float:
        """f(x) for one example (p,)."""
        return float(self.f.at(self.settings.kernel, x[None])[0])

    def learn(self, x: Array, y: float) -> float:
        """One example; returns the score of the model before."""
        score, s = self.predict(x), self.settings
        keep = 1 - s.rate * s.decay
        if keep != 1.0:
            self.f = self.f.scaled(keep)
            self._ff, self._fr = keep**2 * self._ff, keep * self._fr
        if y * score < 1:
            ids = np.array([name_of(self.number, self._found)])
            self._add(Expansion(ids, x[None].copy(), np.array([s.rate * y])), at=np.array([keep * score]))
            self._found += 1
            self._compress()
        return score

    def _add(self, d: Expansion, at: Array | None = None) -> float:
        """f + d; `at` are the values of f at d's support vectors. Returns |d|^2 where distances are kept."""
        square, kernel = 0.0, self.settings.kernel
        if self._tracked:
            square = inner(kernel, d, d)
            values = self.f.at(kernel, d.X) if at is None else at
            self._ff += 2 * float(d.a @ values) + square
            self._fr += float(d.a @ self.r.at(kernel, d.X))
        self.f = total([self.f, d])
        return square

    def _compress(self) -> None:
        how, kernel = self.settings.compression, self.settings.kernel
        change = None if how is None else how.change(kernel, self.f)
        if change is None:
            return
        square = self._add(change)
        self.error += max(square if self._tracked else inner(kernel, change, change), 0.0) ** 0.5
        self.f = without_zeros(self.f)

    @property
    def distance(self) -> float:
        """|f - r|^2."""
        return max(self._ff - 2 * self._fr + self._rr, 0.0)

    def receive(self, f: Expansion, square: float, product: float, *, reference: bool) -> None:
        """Continue from f; `square` is <f, f> and `product` <f, r> with the old reference, which f may replace."""
        self.f, self._ff, self._fr = f, square, product
        if reference:
            self.r, self._fr, self._rr = f, square, square
