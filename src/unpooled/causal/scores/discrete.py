"""Scores of tables of categories, from counts: BIC and BDeu.

BIC: Schwarz, Annals of Statistics 6, 1978. BDeu: Heckerman, Geiger and Chickering, Machine Learning 20, 1995; Buntine,
UAI 1991. N_jk counts rows with the j-th combination of parents and the node's k-th category.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaln

from unpooled.causal.scores.tables import Missing, complete_rows
from unpooled.errors import above_zero

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Categories:
    """`codes` of shape (n, m), column j in 0 .. sizes[j] - 1; categories are the ones that occur."""

    names: tuple[str, ...]
    codes: Codes
    sizes: tuple[int, ...]

    def counts(self, node: int, parents: Sequence[int]) -> NDArray[np.int64]:
        """N_jk of shape (combinations of parents that occur, sizes[node])."""
        combination = np.zeros(len(self.codes), np.int64)
        for parent in parents:  # renumbered after each parent, so that no number overflows
            combination = combination * self.sizes[parent] + self.codes[:, parent]
            combination = np.unique(combination, return_inverse=True)[1].ravel()
        cells = combination * self.sizes[node] + self.codes[:, node]
        rows = int(combination.max()) + 1
        return np.bincount(cells, minlength=rows * self.sizes[node]).reshape(rows, self.sizes[node])


def categories(table: pd.DataFrame, *, missing: Missing = "refuse") -> Categories:
    """Every column as categories, whatever its type. A constant column has one, and gains nothing from any parent.

    Raises `BadData` where values are missing, unless `missing` is "drop".
    """
    rows = complete_rows(table, missing)
    columns = [pd.factorize(rows[name], sort=True) for name in rows.columns]
    codes = np.stack([c for c, _ in columns], axis=1).astype(np.int64)
    return Categories(tuple(str(c) for c in rows.columns), codes, tuple(len(kinds) for _, kinds in columns))


@dataclass(frozen=True, eq=False)
class DiscreteBIC:
    """sum_jk N_jk log(N_jk / N_j) - (log(n) / 2) q (r - 1), in nats.

    r: the node's categories; q: the product of its parents' categories, combinations that never occur included, so
    that the score is the same for all DAGs of a class.
    """

    data: Categories
    unit: str = field(default="nats", init=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return self.data.names

    def local_score(self, node: int, parents: Sequence[int]) -> float:
        """In nats; O(n |parents| log n)."""
        n = self.data.counts(node, parents).astype(np.float64)
        filled = n > 0
        shares = np.divide(n, n.sum(axis=1, keepdims=True), out=np.ones_like(n), where=filled)
        free = np.prod([float(self.data.sizes[p]) for p in parents]) * (self.data.sizes[node] - 1)
        return float((n * np.log(shares)).sum() - 0.5 * np.log(len(self.data.codes)) * free)


@dataclass(frozen=True, eq=False)
class BDeu:
    """log of the marginal likelihood under a Dirichlet prior worth `equivalent` rows, in nats.

    sum_j [lnG(a_j) - lnG(a_j + N_j) + sum_k lnG(a_jk + N_jk) - lnG(a_jk)], a_j = equivalent / q, a_jk = a_j / r; lnG is
    the log of the gamma function. Combinations that never occur add 0. The same for all DAGs of a class.
    """

    data: Categories
    equivalent: float = 1.0
    unit: str = field(default="nats", init=False)

    def __post_init__(self) -> None:
        above_zero(equivalent=self.equivalent)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return self.data.names

    def local_score(self, node: int, parents: Sequence[int]) -> float:
        """In nats; O(n |parents| log n)."""
        n = self.data.counts(node, parents)
        a_j = self.equivalent / float(np.prod([float(self.data.sizes[p]) for p in parents]))
        a_jk = a_j / self.data.sizes[node]
        of_combinations = gammaln(a_j) - gammaln(a_j + n.sum(axis=1))
        of_cells = gammaln(a_jk + n) - gammaln(a_jk)
        return float(of_combinations.sum() + of_cells.sum())
