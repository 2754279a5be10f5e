"""Inner products of models that share most of their support vectors, with kernel values computed once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unpooled.combine import Array
from unpooled.training.streams.kernel.expansion import Expansion, Ids, Kernel


class Products:
    """A kernel matrix over the vectors met so far; gives what `inner` and `distance` compute directly."""

    def __init__(self, kernel: Kernel, width: int) -> None:
        self.kernel = kernel
        self._ids: Ids = np.empty(0, dtype=np.int64)
        self._X, self._gram = np.empty((0, width)), np.empty((0, 0))

    def inner(self, f: Expansion, g: Expansion) -> float:
        """<f, g>."""
        self._meet(f)
        self._meet(g)
        return float(self._dense(f) @ self._gram @ self._dense(g))

    def distance(self, f: Expansion, g: Expansion) -> float:
        """|f - g|^2."""
        self._meet(f)
        self._meet(g)
        apart = self._dense(f) - self._dense(g)
        return max(float(apart @ self._gram @ apart), 0.0)

    def forget_all_but(self, models: Sequence[Expansion]) -> None:
        """Keep the vectors of these models only."""
        kept = np.isin(self._ids, np.concatenate([f.ids for f in models]))
        self._ids, self._X = self._ids[kept], self._X[kept]
        self._gram = self._gram[np.ix_(kept, kept)]

    def _meet(self, f: Expansion) -> None:
        new = ~np.isin(f.ids, self._ids)
        if not new.any():
            return
        X, before = f.X[new], len(self._ids)
        across = self.kernel(self._X, X)
        gram = np.empty((before + len(X), before + len(X)))
        gram[:before, :before], gram[:before, before:] = self._gram, across
        gram[before:, :before], gram[before:, before:] = across.T, self.kernel(X, X)
        ids = np.concatenate([self._ids, f.ids[new]])
        order = np.argsort(ids)
        self._ids, self._X = ids[order], np.concatenate([self._X, X])[order]
        self._gram = gram[np.ix_(order, order)]

    def _dense(self, f: Expansion) -> Array:
        out = np.zeros(len(self._ids))
        out[np.searchsorted(self._ids, f.ids)] = f.a
        return out
