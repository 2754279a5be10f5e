"""Linear-Gaussian BIC and AIC from a covariance matrix.

Each node is a linear function of its parents plus Gaussian noise, intercept fitted; the local score is the maximised
log-likelihood minus a penalty for each parent. Schwarz, Annals of Statistics 6, 1978; Akaike, 1974.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unpooled.causal.scores.tables import Missing, numbers
from unpooled.errors import BadData, BadSetting, not_negative

Floats = NDArray[np.float64]
FLOOR = 1e-10
"""A share of residual variance below this is rounding: it is taken for this, and such a parent adds nothing."""


@dataclass(frozen=True, eq=False)
class Gaussian:
    """-(n/2) log sigma2(node | parents) - penalty (|parents| + 1), in nats, constants left out.

    `correlation` has shape (m, m), `log_variance` shape (m,), `rows` is n. Defined where data is degenerate: a constant
    column has log variance 0 and correlation 0 with all, so no edge ever pays; a parent that the others determine (a
    duplicate) adds nothing but its penalty; what the parents determine keeps a share `FLOOR` of its variance; parent
    sets of n - 1 or more, which fit any rows perfectly, score minus infinity.
    """

    names: tuple[str, ...]
    rows: int
    correlation: Floats
    log_variance: Floats
    penalty: float
    unit: str = field(default="nats", init=False)

    def local_score(self, node: int, parents: Sequence[int]) -> float:
        """In nats; O(k^3) for k parents."""
        if len(parents) + 1 >= self.rows:
            return -np.inf
        share = residual_share(self.correlation, node, parents)
        return float(-0.5 * self.rows * (self.log_variance[node] + np.log(share)) - self.penalty * (len(parents) + 1))


def residual_share(correlation: Floats, node: int, parents: Sequence[int]) -> float:
    """The share of the node's variance that its parents leave, at least `FLOOR`: one Cholesky step a parent.

    `factor` holds rows of the Cholesky factor of the parents' correlations, the node's own entries last; each new
    parent costs O(|parents|^2).
    """
    kept: list[int] = []
    factor = np.zeros((len(parents) + 1, len(parents) + 1))
    for parent in parents:
        row, pivot = _next_row(correlation, factor, kept, parent)
        if pivot > FLOOR:
            k = len(kept)
            factor[k, :k], factor[k, k] = row, np.sqrt(pivot)
            kept.append(parent)
    return max(_next_row(correlation, factor, kept, node)[1], FLOOR)


def _next_row(correlation: Floats, factor: Floats, kept: list[int], new: int) -> tuple[Floats, float]:
    """The factor's next row, without its diagonal, and that diagonal squared: what `kept` leaves of `new`."""
    row = np.zeros(len(kept))
    for i, other in enumerate(kept):
        row[i] = (correlation[other, new] - factor[i, :i] @ row[:i]) / factor[i, i]
    return row, float(1.0 - row @ row)


Criterion = Literal["bic", "aic"]


def gaussian(
    table: pd.DataFrame, criterion: Criterion = "bic", *, weight: float = 1.0, missing: Missing = "refuse"
) -> Gaussian:
    """The score of a table of numbers, one row an observation. "bic": log(n) / 2 a parent, "aic": 1; times `weight`.

    Raises `BadData` for columns that are not of finite numbers or lack values (unless `missing` is "drop"),
    `BadSetting` for another criterion.
    """
    values = numbers(table, missing)
    covariance = spread(values)
    return from_covariance(covariance, len(values), [str(c) for c in table.columns], criterion, weight=weight)


def spread(values: Floats) -> Floats:
    """The covariance of a table (n, m), divided by n; exactly 0 for a column whose spread is rounding in its mean."""
    covariance = np.atleast_2d(np.cov(values, rowvar=False, bias=True))
    small = (np.finfo(np.float64).eps * np.abs(values).max(axis=0, initial=0.0)) ** 2 * 16
    covariance[covariance.diagonal() <= small] = 0.0
    covariance[:, covariance.diagonal() == 0.0] = 0.0
    return covariance


def from_covariance(
    covariance: Floats, rows: int, names: Sequence[str], criterion: Criterion = "bic", *, weight: float = 1.0
) -> Gaussian:
    """The score from moments alone: covariance of shape (m, m), divided by n, and n; no rows are needed.

    Raises `BadData` for a matrix that is not symmetric with a diagonal of at least 0 and of m names.
    """
    if criterion not in ("bic", "aic"):
        raise BadSetting(f"criterion must be 'bic' or 'aic', got {criterion!r}.")
    not_negative(weight=weight)
    matrix = np.array(covariance, np.float64)
    if matrix.shape != (len(names), len(names)) or not np.allclose(matrix, matrix.T):
        raise BadData(f"{len(names)} columns need a symmetric covariance of that size, got shape {matrix.shape}.")
    variance = matrix.diagonal().copy()
    if (variance < 0).any() or rows < 2:
        raise BadData(f"Variances of at least 0 and 2 rows or more are needed, got {variance.min()} and {rows} rows.")
    constant = variance == 0.0
    scale = np.sqrt(np.where(constant, 1.0, variance))
    correlation = matrix / np.outer(scale, scale)
    correlation[constant], correlation[:, constant] = 0.0, 0.0
    np.fill_diagonal(correlation, 1.0)
    penalty = weight * (0.5 * np.log(rows) if criterion == "bic" else 1.0)
    log_variance = np.where(constant, 0.0, 2.0 * np.log(scale))
    return Gaussian(tuple(names), rows, correlation, log_variance, float(penalty))
