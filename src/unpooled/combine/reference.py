"""The combiners written as plainly as their papers: slow, for one stack, and what the fast forms are tested against."""

from __future__ import annotations

import numpy as np

from unpooled.combine.arrays import Array


def radon_point(points: Array) -> Array:
    """(P + 2, P) to (P,): the last right singular vector of the points over a row of ones, split by sign."""
    null = np.linalg.svd(np.vstack([points.T, np.ones(len(points))]))[2][-1]
    part = np.maximum(null, 0.0)
    return np.asarray(part @ points / part.sum())


def krum_scores(rows: Array, byzantine: int) -> list[float]:
    """For each row, the sum of squared distances to the n - f - 2 nearest others, at least one."""
    nearest = max(len(rows) - byzantine - 2, 1)
    return [sum(sorted(float(np.sum((a - b) ** 2)) for b in _others(rows, i))[:nearest]) for i, a in enumerate(rows)]


def krum(rows: Array, byzantine: int) -> Array:
    """The row with the least score, (k, P) to (P,)."""
    return np.asarray(rows[np.argmin(krum_scores(rows, byzantine))])


def multi_krum(rows: Array, byzantine: int, keep: int) -> Array:
    """The mean of the rows with the least scores."""
    return np.asarray(rows[np.argsort(krum_scores(rows, byzantine))[:keep]].mean(axis=0))


def bulyan(rows: Array, byzantine: int) -> Array:
    """Krum n - 2f times without replacement, then per coordinate the mean of the n - 4f values nearest the median."""
    left, picked = list(rows), []
    for _ in range(len(rows) - 2 * byzantine):
        scores = krum_scores(np.array(left), byzantine)
        ties = [i for i, s in enumerate(scores) if s <= min(scores) * (1 + 1e-9)]
        total = [sum(float(np.sum((left[i] - b) ** 2)) for b in rows) for i in ties]
        picked.append(left.pop(ties[int(np.argmin(total))]))
    columns = np.array(picked).T
    keep = len(rows) - 4 * byzantine
    return np.array([np.mean(sorted(c, key=lambda v: abs(v - np.median(c)))[:keep]) for c in columns])


def trimmed_mean(rows: Array, trim: float) -> Array:
    """Sort each column, drop floor(trim * k) on each side, mean of the rest."""
    cut = int(trim * len(rows) + 1e-9)
    return np.array([np.mean(sorted(column)[cut : len(rows) - cut]) for column in rows.T])


def weiszfeld(rows: Array, steps: int = 10_000) -> Array:
    """The geometric median of rows in general position by the plain iteration from the mean."""
    point = np.asarray(rows.mean(axis=0))
    for _ in range(steps):
        inverse = 1 / np.linalg.norm(rows - point, axis=1)
        point = inverse @ rows / inverse.sum()
    return point


def _others(rows: Array, i: int) -> Array:
    return np.delete(rows, i, axis=0)
