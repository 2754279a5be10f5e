"""Arrays in and out: NumPy inside, whatever came in outside, and no torch here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unpooled.errors import BadSetting

Array = np.ndarray[Any, np.dtype[Any]]


def to_numpy(rows: Any) -> tuple[Array, Callable[[Array], Any]]:
    """`rows` as floating-point NumPy, and the way back to their type, dtype and device.

    A torch tensor is known by its methods, so torch need not be installed; gradients do not pass. Whole numbers
    come back as float64, as from `numpy.mean`.

    >>> stack, back = to_numpy(np.ones((2, 3), dtype=np.float32))
    >>> back(stack[0].astype(np.float64)).dtype
    dtype('float32')
    """
    if hasattr(rows, "detach") and hasattr(rows, "new_tensor"):
        tensor = rows.detach() if rows.is_floating_point() else rows.detach().double()
        return tensor.cpu().double().numpy(), tensor.new_tensor
    stack = np.asarray(rows)
    if not np.issubdtype(stack.dtype, np.floating):
        stack = stack.astype(np.float64)
    return stack, lambda out: np.asarray(out).astype(stack.dtype)


def all_finite(stack: Array) -> bool:
    """Whether there is neither NaN nor infinity; one pass without a temporary in the usual case."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(stack.sum())) or bool(np.isfinite(stack).all())


def checked(weights: Any, models: int) -> Array:
    """Weights in float64, shape (models,). Raises `BadSetting` unless none is below 0 and one above it."""
    share = to_numpy(weights)[0].astype(np.float64)
    if share.shape != (models,) or (share < 0).any() or not 0 < share.sum() < np.inf:
        raise BadSetting(f"{models} models need as many weights, none below 0 and one above it; got {weights!r}.")
    return share


def norms(vectors: Array) -> Array:
    """Euclidean length along the last axis; what overflows is infinitely long."""
    with np.errstate(over="ignore"):
        return np.asarray(np.sqrt(np.einsum("...p,...p->...", vectors, vectors)))
