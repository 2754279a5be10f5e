"""Many models become one: plain arrays in, plain arrays out. One row a model."""

from __future__ import annotations

from typing import Protocol

from unpooled.combine.coordinate_median import coordinate_median
from unpooled.combine.mean import Array, mean


class Combine(Protocol):
    """`rows` of shape (k, P), optional `weights` of shape (k,), to one row of shape (P,)."""

    __name__: str

    def __call__(self, rows: Array, weights: Array | None = None) -> Array: ...


COMBINERS: dict[str, Combine] = {"mean": mean, "coordinate_median": coordinate_median}
"""Every combiner by the name that configs use."""

__all__ = ["COMBINERS", "Array", "Combine", "coordinate_median", "mean"]
