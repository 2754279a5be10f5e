"""The coordinate-wise median: up to half of the models may be arbitrary in each coordinate."""

from __future__ import annotations

import numpy as np

from unpooled.combine.mean import Array, checked


def coordinate_median(rows: Array, weights: Array | None = None) -> Array:
    """The median of each column of `rows`, shape (k, P) to (P,); weighted: the lower weighted median.

    Yin, Chen, Ramchandran and Bartlett, "Byzantine-Robust Distributed Learning", ICML 2018, section 4.
    Weights as for `mean`.

    >>> coordinate_median(np.array([[0.0, 1.0], [1.0, 5.0], [90.0, 2.0]])).tolist()
    [1.0, 2.0]
    """
    if weights is None:
        return np.asarray(np.median(rows, axis=0)).astype(rows.dtype)
    order = np.argsort(rows, axis=0, kind="stable")
    share = np.cumsum(checked(weights, len(rows))[order], axis=0)
    half = (share >= share[-1] / 2).argmax(axis=0)
    return np.asarray(np.take_along_axis(rows, order, axis=0)[half, np.arange(rows.shape[1])])
