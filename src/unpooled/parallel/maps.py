"""Feature maps that all parts share: fitted once, before the rows are dealt.

Models of different parts can be combined only where their parameters mean the same. So scaling, random Fourier
features, Nystroem landmarks and projections have one set of constants for all parts. Rahimi and Recht, "Random
Features for Large-Scale Kernel Machines", NIPS 2007; Williams and Seeger, "Using the Nystroem Method", NIPS 2000;
Kamp et al., NeurIPS 2017, name projections as a remedy for many features. A Radon point takes r = D + 3 models of D
features, so that D of 10 to 40 is what one machine can use.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler
from sklearn.random_projection import GaussianRandomProjection

from unpooled.combine import Array
from unpooled.errors import BadSetting, did_you_mean
from unpooled.parallel.fitting import seeded

PILOT = 10_000
"""Rows that a map is fitted on, at most, unless it can take all of them in pieces."""
PIECE = 32_000_000
"""Bytes of one such piece."""
IN_PIECES = (StandardScaler, MinMaxScaler, MaxAbsScaler)
COMPONENTS = 20
"""D of the maps that are named and not given."""


def map_and_learner(estimator: Any, feature_map: Any) -> tuple[list[Any], Any]:
    """Steps to be shared, unfitted and in their order, and the learner itself.

    `feature_map` is None, a name, or any transformer; the steps of a `Pipeline` before its learner are shared too.
    """
    steps = [] if feature_map is None else _steps(_named(feature_map))
    if isinstance(estimator, Pipeline):
        inner = _steps(estimator)
        return [*steps, *inner[:-1]], inner[-1]
    return steps, estimator


def _named(feature_map: Any) -> Any:
    known = {
        "scale": StandardScaler(),
        "fourier": make_pipeline(StandardScaler(), RBFSampler(gamma="scale", n_components=COMPONENTS)),
        "nystroem": make_pipeline(StandardScaler(), Nystroem(n_components=COMPONENTS)),
        "projection": make_pipeline(StandardScaler(with_mean=False), GaussianRandomProjection(COMPONENTS)),
    }
    if not isinstance(feature_map, str):
        if not hasattr(feature_map, "transform"):
            raise BadSetting(f"feature_map is None, one of {', '.join(known)}, or a transformer; got {feature_map!r}.")
        return feature_map
    if feature_map not in known:
        raise BadSetting(
            f"There is no feature map '{feature_map}'; there are {', '.join(known)}, and any transformer."
            f"{did_you_mean(feature_map, known)}"
        )
    return known[feature_map]


def _steps(transformer: Any) -> list[Any]:
    if not isinstance(transformer, Pipeline):
        return [transformer]
    return [step for _, whole in transformer.steps for step in _steps(whole) if step not in (None, "passthrough")]


def fit_map(steps: list[Any], features: Any, targets: Array, rng: np.random.Generator) -> Any:
    """One fitted pipeline of the steps, or None without any.

    Scalers see all rows, piece by piece; every other step sees at most `PILOT` rows, drawn at random.
    """
    if not steps:
        return None
    count = len(targets)
    pilot = np.arange(count) if count <= PILOT else np.sort(rng.choice(count, PILOT, replace=False))
    few, few_targets = features[pilot], targets[pilot]
    fitted: list[Any] = []
    for step in steps:
        fresh = seeded(clone(step), int(rng.integers(2**31)))
        if isinstance(fresh, IN_PIECES):
            for piece in _pieces(features, fitted):
                fresh.partial_fit(piece)
        else:
            fresh.fit(few, few_targets)
        few = fresh.transform(few)
        fitted.append(fresh)
    return make_pipeline(*fitted)


def _pieces(features: Any, fitted: list[Any]) -> Iterator[Any]:
    rows, columns = features.shape
    size = max(1, PIECE // (8 * columns))
    for low in range(0, rows, size):
        piece = features[low : low + size]
        for step in fitted:
            piece = step.transform(piece)
        yield piece
