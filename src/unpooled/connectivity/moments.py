"""Means and covariances of scores over samples, gathered piece by piece, so that no table of all scores is kept.

T. Chan, G. Golub, R. LeVeque, "Algorithms for computing the sample variance", 1983: pieces are centred before they are
joined. All models are scored on the same samples, so the standard error of any weighted sum of models is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

Array = np.ndarray[Any, np.dtype[np.float64]]


class Moments:
    """Of V models in each of M metrics: `mean` (M, V) and centred products (M, V, V) over `count` samples."""

    def __init__(self, metrics: int, models: int) -> None:
        self.count = 0
        self.mean: Array = np.zeros((metrics, models))
        self.products: Array = np.zeros((metrics, models, models))

    def add(self, scores: Tensor) -> None:
        """Scores of more samples, shape (M, V, n), double."""
        add_all([self], scores[None])

    def _join(self, count: int, mean: Array, products: Array) -> None:
        """The mean and the centred products of `count` more samples."""
        apart = mean - self.mean
        total = self.count + count
        self.products += products + apart[:, :, None] * apart[:, None, :] * (self.count * count / total)
        self.mean += apart * (count / total)
        self.count = total

    def error(self, weights: Array, metric: int) -> float:
        """Standard error of a weighted sum of the models' means, weights (V,); NaN for a single sample."""
        if self.count < 2:
            return math.nan
        square = float(weights @ self.products[metric] @ weights)
        return math.sqrt(max(square, 0.0) / (self.count - 1) / self.count) if square == square else math.nan


def add_all(many: Sequence[Moments], scores: Tensor) -> None:
    """Scores of more samples for several moments at once, shape (len(many), M, V, n), double."""
    mean = scores.mean(dim=3)
    centred = scores - mean[..., None]
    products = (centred @ centred.transpose(2, 3)).cpu().numpy()
    for one, own_mean, own_products in zip(many, mean.cpu().numpy(), products, strict=True):
        one._join(scores.shape[3], own_mean, own_products)
