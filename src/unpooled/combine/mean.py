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
    share = np.asarray(weights, dtype=np.float64)
    if share.shape != (len(rows),) or (share < 0).any() or not share.sum() > 0:
        raise BadSetting(f"{len(rows)} models need as many weights, none below 0 and one above it; got {weights!r}.")
    return np.asarray(np.einsum("k,kp->p", share / share.sum(), rows, dtype=np.float64).astype(rows.dtype))
