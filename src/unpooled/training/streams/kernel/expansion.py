"""Models that are sums of kernels at examples, and what can be computed of them.

f = sum over x in S of alpha_x k(x, .), with support set S (M. Kamp, S. Bothe, M. Boley, M. Mock,
"Communication-Efficient Distributed Online Learning with Kernels", ECML PKDD 2016). A support vector is known by the
learner that found it and a running number, never by its coordinates. The average of m models is exact: the union of
their support sets, each coefficient the mean over models, 0 where a model lacks the vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from unpooled.combine import Array
from unpooled.errors import BadSetting

Ids = np.ndarray[Any, np.dtype[np.int64]]
ROWS = 512
"""Rows of a kernel matrix that are computed at once."""


class Kernel(Protocol):
    """A positive semidefinite function of two examples."""

    def __call__(self, X: Array, Z: Array) -> Array:
        """k of each row of X (n, p) with each row of Z (q, p), shape (n, q)."""
        ...


@dataclass(frozen=True)
class Gaussian:
    """exp(-gamma |x - z|^2)."""

    gamma: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.gamma < float("inf"):
            raise BadSetting(f"gamma must be a finite number above 0, got {self.gamma!r}.")

    def __call__(self, X: Array, Z: Array) -> Array:
        squares = (X**2).sum(axis=1)[:, None] + (Z**2).sum(axis=1) - 2 * X @ Z.T
        return np.asarray(np.exp(-self.gamma * np.maximum(squares, 0.0)))


@dataclass(frozen=True)
class Linear:
    """x . z: the dual form of a linear model."""

    def __call__(self, X: Array, Z: Array) -> Array:
        return np.asarray(X @ Z.T)


def name_of(learner: int, number: int) -> int:
    """The identity of a learner's support vector with that running number."""
    return learner << 32 | number


@dataclass(frozen=True, eq=False)
class Expansion:
    """`ids` (n,) in rising order, support vectors `X` (n, p), coefficients `a` (n,)."""

    ids: Ids
    X: Array
    a: Array

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, kernel: Kernel, Z: Array) -> Array:
        """f at the rows of Z (q, p), shape (q,)."""
        if not len(self):
            return np.zeros(len(Z))
        return np.asarray(kernel(Z, self.X) @ self.a)

    def scaled(self, by: float) -> Expansion:
        """by times f."""
        return Expansion(self.ids, self.X, by * self.a)


def empty(width: int) -> Expansion:
    """The model 0."""
    return Expansion(np.empty(0, dtype=np.int64), np.empty((0, width)), np.empty(0))


def total(parts: Sequence[Expansion]) -> Expansion:
    """The sum of models, on the union of their support sets."""
    ids = np.concatenate([part.ids for part in parts])
    union, first, place = np.unique(ids, return_index=True, return_inverse=True)
    a = np.bincount(place, weights=np.concatenate([part.a for part in parts]), minlength=len(union))
    return Expansion(union, np.concatenate([part.X for part in parts])[first], a)


def mean(models: Sequence[Expansion]) -> Expansion:
    """The average of models: exactly the pointwise mean of their predictions."""
    return total(models).scaled(1 / len(models))


def inner(kernel: Kernel, f: Expansion, g: Expansion) -> float:
    """<f, g> in the kernel's Hilbert space, computed directly: |S_f| |S_g| kernel values."""
    parts = (slice(start, start + ROWS) for start in range(0, len(f), ROWS))
    return float(sum(f.a[part] @ g.at(kernel, f.X[part]) for part in parts))


def distance(kernel: Kernel, f: Expansion, g: Expansion) -> float:
    """|f - g|^2 in the kernel's Hilbert space, computed directly on the union of the support sets."""
    apart = total([f, g.scaled(-1.0)])
    return max(inner(kernel, apart, apart), 0.0)
