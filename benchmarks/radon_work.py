"""Data for benchmarks/radon.py: made ones from a named stream, and real sets where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from record import ROOT
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.datasets import load_svmlight_file
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.model_selection import train_test_split

from unpooled.combine import Array
from unpooled.seeds import Streams

Split = tuple[Any, Array, Any, Array]
"""Training features and labels, test features and labels."""


def data_folder() -> Path:
    """Where the real data sets lie: UNPOOLED_DATA, or ../shared/data."""
    return Path(os.environ.get("UNPOOLED_DATA") or ROOT.parent / "shared" / "data")


def logistic(rows: int, features: int, seed: int = 0, name: str = "logistic") -> tuple[Array, Array]:
    """Normal features; labels of a logistic model with mild products of neighbouring features in it."""
    rng = Streams(seed).generator("benchmarks", "radon", name)
    x = rng.normal(size=(rows, features))
    weights = rng.normal(size=features) * 1.5 / features**0.5
    score = x @ weights + 0.3 * (x * np.roll(x, 1, axis=1)).sum(axis=1) / features**0.5
    return x, (rng.random(rows) < 1 / (1 + np.exp(-score))).astype(int)


def heavy_tailed(rows: int, features: int, seed: int = 0) -> tuple[Array, Array]:
    """Features of Student's t with 2 degrees of freedom: small parts of them are separable now and then."""
    rng = Streams(seed).generator("benchmarks", "radon", "heavy tails")
    x = rng.standard_t(2, size=(rows, features))
    return x, (rng.random(rows) < 1 / (1 + np.exp(-x @ (rng.normal(size=features) * 0.28)))).astype(int)


def real(name: str, seed: int) -> Split:
    """A real set of two classes. a9a has a test file; the others are split 7 : 3 by the seed.

    "higgs-7k, derived" has the last seven features only, which physicists computed from the others.
    """
    folder = data_folder() / name.split(",")[0]
    if name == "a9a":
        x, y = load_svmlight_file(str(folder / "a9a.gz"), n_features=123)
        x_test, y_test = load_svmlight_file(str(folder / "a9a.t.gz"), n_features=123)
        return x, y.astype(int), x_test, y_test.astype(int)
    if name.startswith("higgs-7k"):
        whole = pd.concat([pd.read_csv(folder / f"{part}.csv.gz") for part in ("train", "test")])
        x, y = whole.drop(columns="label").to_numpy(float), whole["label"].to_numpy(int)
        x = x[:, -7:] if name.endswith("derived") else x
    elif name == "landmine":
        found = np.load(folder / "landmine.npz")
        x, y = found["features"], found["labels"].astype(int)
    else:
        table = pd.read_csv(folder / "covtype_10k.csv.gz").to_numpy(float)
        x, y = table[:, :-1], (table[:, -1] == 2).astype(int)
    train, test = train_test_split(np.arange(len(y)), test_size=0.3, stratify=y, random_state=seed)
    return x[train], y[train], x[test], y[test]


class PlainNewton(LinearClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Logistic regression by Newton's method as in a textbook: no penalty, no line search, a fixed number of steps.

    On separable rows its steps grow without bound: the kind of learner that makes single models useless.
    """

    def __init__(self, steps: int = 12) -> None:
        self.steps = steps

    def fit(self, x: Array, y: Array) -> PlainNewton:
        """Two classes; least squares where the Hessian is singular."""
        self.classes_ = np.unique(y)
        inputs, target = np.column_stack([x, np.ones(len(x))]), (y == self.classes_[1]).astype(float)
        weights = np.zeros(inputs.shape[1])
        for _ in range(self.steps):
            chance = expit(inputs @ weights)
            curvature = (inputs * (chance * (1 - chance))[:, None]).T @ inputs
            weights = weights + np.linalg.lstsq(curvature, inputs.T @ (target - chance), rcond=None)[0]
        self.coef_, self.intercept_ = weights[None, :-1], weights[-1:]
        return self
