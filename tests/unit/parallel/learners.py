"""Data and learners for the tests of machines."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info

from unpooled.combine import Array


def logistic(rows: int, features: int = 5, classes: int = 2, seed: int = 0) -> tuple[Array, Array]:
    """Normal features, labels of a noisy linear model."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features))
    scores = x @ rng.normal(size=(features, classes)) + rng.gumbel(size=(rows, classes))
    return x, scores.argmax(axis=1)


class Nearest(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Nearest class mean: a learner with parameters of its own, and no coef_."""

    def fit(self, x: Array, y: Array) -> Nearest:
        self.classes_ = np.unique(y)
        self.means_ = np.stack([x[y == c].mean(axis=0) for c in self.classes_])
        return self

    def predict(self, x: Array) -> Array:
        away = ((x[:, None] - self.means_) ** 2).sum(axis=2)
        return np.asarray(self.classes_[away.argmin(axis=1)])

    def get_parameters(self) -> Array:
        return np.asarray(self.means_.ravel())

    def set_parameters(self, vector: Array) -> None:
        self.means_ = np.asarray(vector).reshape(self.means_.shape)


class Secretive(LogisticRegression):  # type: ignore[misc]
    """A learner with a state beside its coefficients."""

    def fit(self, x: Array, y: Array, sample_weight: Any = None) -> Any:
        self.shift_ = x.mean()
        return super().fit(x, y, sample_weight)

    def decision_function(self, x: Array) -> Array:
        return np.asarray(super().decision_function(x) + self.shift_)

    def predict_proba(self, x: Array) -> Array:
        chance = 1 / (1 + np.exp(-self.decision_function(x)))
        return np.column_stack([1 - chance, chance])


class Fails(LogisticRegression):  # type: ignore[misc]
    """Raises, or gives NaN, for the share of parts whose first number is below `below`."""

    def __init__(self, below: float = -np.inf, how: str = "raise") -> None:
        super().__init__()
        self.below = below
        self.how = how

    def fit(self, x: Array, y: Array, sample_weight: Any = None) -> Any:
        super().fit(x, y, sample_weight)
        if x[0, 0] < self.below:
            if self.how == "raise":
                raise RuntimeError("no luck")
            self.coef_ = self.coef_ * np.nan
        return self


class Dies(LogisticRegression):  # type: ignore[misc]
    """Kills its process: always, or only if `once` is a file that is not there yet."""

    def __init__(self, once: str = "") -> None:
        super().__init__()
        self.once = once

    def fit(self, x: Array, y: Array, sample_weight: Any = None) -> Any:
        if not self.once or not Path(self.once).exists():
            if self.once:
                Path(self.once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(x, y, sample_weight)


class OneThread(LogisticRegression):  # type: ignore[misc]
    """Refuses to be fitted with more than one BLAS thread."""

    def fit(self, x: Array, y: Array, sample_weight: Any = None) -> Any:
        if any(pool["num_threads"] > 1 for pool in threadpool_info()):
            raise RuntimeError("more than one thread")
        return super().fit(x, y, sample_weight)
