"""The coordinate-wise mean, plain or weighted."""

from __future__ import annotations

from typing import Any

import numpy as np

from unpooled.errors import BadSetting

Array = np.ndarray[Any, np.dtype[Any]]


def mean(rows: Array, weights: Array | None = None) -> Array:
    """The mean of `rows`, shape (k, P) to (P,), in their dtype; sums are taken in float64.

    `weights` of shape (k,) are at least 0 and not all 0; they need not add up to one. Raises `BadSetting`
    otherwise.

    >>> mean(np.array([[0.0, 2.0], [2.0, 4.0]])).tolist()
    [1.0, 3.0]
    >>> mean(np.array([[0.0, 2.0], [2.0, 4.0]]), weights=np.array([3, 1])).tolist()
    [0.5, 2.5]
    """
    if weights is None:
        return np.asarray(rows.mean(axis=0, dtype=np.float64).astype(rows.dtype))
    share = checked(weights, len(rows))
    return np.asarray(np.einsum("k,kp->p", share / share.sum(), rows, dtype=np.float64).astype(rows.dtype))


def checked(weights: Array, models: int) -> Array:
    """Weights in float64, shape (models,). Raises `BadSetting` unless none is below 0 and one above it."""
    share = np.asarray(weights, dtype=np.float64)
    if share.shape != (models,) or (share < 0).any() or not 0 < share.sum() < np.inf:
        raise BadSetting(f"{models} models need as many weights, none below 0 and one above it; got {weights!r}.")
    return share
