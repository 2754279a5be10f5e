"""BIC of tables with columns of numbers and columns of categories: the conditional Gaussian score.

Lauritzen and Wermuth, Annals of Statistics 17, 1989; Andrews, Ramsey and Cooper, "Scoring Bayesian networks of mixed
variables", International Journal of Data Science and Analytics 6, 2018. For a set of columns, numbers C and categories
D, C is Gaussian in each cell (combination of D), with the cell's own mean and covariance. J(C, D) is the maximised log
likelihood less log(n) / 2 for each parameter, and local_score(y, S) = J(S + y) - J(S), which all DAGs of a class share.
Deviation: a cell with too few rows for a covariance takes the one pooled within all cells, not that of the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unpooled.causal.scores.gaussian import FLOOR, spread
from unpooled.causal.scores.tables import Missing, complete_rows, numbers
from unpooled.errors import BadSetting, did_you_mean

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ConditionalGaussian:
    """The score in nats; `mixed` makes it from a table.

    `values`, shape (n, m), has numbers with mean 0 and variance 1, and categories as 0 .. sizes[j] - 1; sizes[j] is 0
    for a column of numbers. Of categories alone it is `DiscreteBIC`; of numbers alone it differs from `gaussian` by a
    constant for each node. What the rest of a set determines keeps a share `FLOOR` of its variance in the whole table.
    Sets that leave fewer rows than a pooled covariance needs score minus infinity.
    """

    names: tuple[str, ...]
    values: Floats
    sizes: tuple[int, ...]
    log_deviation: Floats
    unit: str = field(default="nats", init=False)
    _known: dict[frozenset[int], float] = field(default_factory=dict, init=False, repr=False)

    def local_score(self, node: int, parents: Sequence[int]) -> float:
        """In nats; O(n k^2) for k parents."""
        whole = self._joint(frozenset({node, *parents}))
        return whole - self._joint(frozenset(parents)) if np.isfinite(whole) else -np.inf

    def _joint(self, chosen: frozenset[int]) -> float:
        if chosen not in self._known:
            self._known[chosen] = self._compute(sorted(chosen))
        return self._known[chosen]

    def _compute(self, chosen: list[int]) -> float:
        """J."""
        n = len(self.values)
        categories = [j for j in chosen if self.sizes[j]]
        columns = [j for j in chosen if not self.sizes[j]]
        cell = np.zeros(n, np.int64)
        for j in categories:
            cell = np.unique(cell * self.sizes[j] + self.values[:, j].astype(np.int64), return_inverse=True)[1].ravel()
        counts = np.bincount(cell)
        likelihood = float((counts * np.log(counts / n)).sum())
        free = float(np.prod([float(self.sizes[j]) for j in categories])) - 1.0
        k = len(columns)
        if k:
            x = self.values[:, columns]
            means = np.stack([np.bincount(cell, x[:, t]) for t in range(k)], axis=1) / counts[:, None]
            rest = x - means[cell]
            small = counts < k + 2
            if small.any():
                if n - len(counts) < k + 1:
                    return -np.inf
                inside = small[cell]
                likelihood += _gaussian(rest[inside], rest.T @ rest / n)
                free += k * (k + 1) / 2
            for c in np.flatnonzero(~small):
                own = rest[cell == c]
                likelihood += _gaussian(own, own.T @ own / len(own))
            free += k * len(counts) + k * (k + 1) / 2 * int((~small).sum())
            likelihood -= n * float(self.log_deviation[columns].sum())
        return likelihood - 0.5 * float(np.log(n)) * free


def _gaussian(rest: Floats, covariance: Floats) -> float:
    """Log density of rows (n, k) around 0; what the columns before leave of a column is at least `FLOOR`."""
    k = len(covariance)
    factor, left = np.eye(k), np.zeros(k)  # covariance = factor diag(left) factor'
    for i in range(k):
        for j in range(i):
            factor[i, j] = (covariance[i, j] - (factor[i, :j] * left[:j]) @ factor[j, :j]) / left[j]
        left[i] = max(covariance[i, i] - factor[i, :i] ** 2 @ left[:i], FLOOR)
    white = np.linalg.solve(factor, rest.T)
    return float(-0.5 * ((white**2 / left[:, None]).sum() + len(rest) * (k * np.log(2 * np.pi) + np.log(left).sum())))


def mixed(table: pd.DataFrame, *, categorical: Sequence[str] = (), missing: Missing = "refuse") -> ConditionalGaussian:
    """The score of a table: columns of numbers are numbers, all others and those named `categorical` are categories.

    Booleans are categories. Raises `BadData` for infinite values, and for missing ones unless `missing` is "drop";
    `BadSetting` for a name that is no column.
    """
    names = [str(c) for c in table.columns]
    for name in categorical:
        if name not in names:
            raise BadSetting(f"categorical names {name!r}, which is no column.{did_you_mean(name, names)}")
    rows = complete_rows(table, missing)
    values, sizes, deviation = np.zeros((len(rows), len(names))), [], np.zeros(len(names))
    for j, name in enumerate(names):
        column = rows.iloc[:, j]
        kind = column.dtype
        if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) and name not in categorical:
            x = numbers(column.to_frame(), missing)
            variance = float(spread(x)[0, 0])
            deviation[j] = 0.5 * np.log(variance) if variance else 0.0
            values[:, j] = (x[:, 0] - x.mean()) / np.exp(deviation[j]) if variance else 0.0
            sizes.append(0)
        else:
            codes, kinds = pd.factorize(column, sort=True)
            values[:, j] = codes
            sizes.append(len(kinds))
    return ConditionalGaussian(tuple(names), values, tuple(sizes), deviation)
