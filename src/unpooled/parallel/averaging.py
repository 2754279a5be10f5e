"""Averaging at the end: one fit a part, one mean of the parameters. What a Radon machine is compared with.

R. McDonald, K. Hall, G. Mann, "Distributed Training Strategies for the Structured Perceptron", NAACL 2010; Zinkevich,
Weimer, Smola, Li, "Parallelized Stochastic Gradient Descent", NIPS 2010. Any number of parts will do, the parameters
may be many, and a single model that blows up spoils the mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import ClassifierMixin, RegressorMixin

from unpooled.combine import Array, Mean
from unpooled.errors import BadSetting, positive
from unpooled.parallel.base import Machine
from unpooled.parallel.combining import Together, together
from unpooled.parallel.online import OnlineClassifier, OnlineRegressor
from unpooled.parallel.planning import Size


class _Averaging(Machine):
    n_models: int | None
    min_score = None

    def _check_combining(self) -> None:
        if self.n_models is not None:
            positive(n_models=self.n_models)

    def _sized(self, rows: int, parameters: int) -> Size:
        models = self.n_models or min(max(2, effective_n_jobs(self.n_jobs)), max(1, rows // self.min_samples))
        if models > rows:
            raise BadSetting(f"n_models={models} parts need as many rows, got {rows}: use a smaller n_models.")
        return Size(0, parameters + 2, models)

    def _lowered(self, size: Size, models: int) -> Size | None:
        return size

    def _together(self, rows: Array, size: Size, rng: np.random.Generator) -> Together:
        return together(rows, Mean(), size.height, rng)


class AveragingMachineClassifier(OnlineClassifier, ClassifierMixin, _Averaging):  # type: ignore[misc]
    """A classifier fitted to `n_models` parts of the data, whose parameters are averaged.

    Zinkevich et al., NIPS 2010. `n_models` None is one a worker and two at least, if each has `min_samples` rows.
    The other parameters, and the attributes, are those of `RadonMachineClassifier`.
    """

    _classifies = True

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_models: int | None = None,
        min_samples: int = 100,
        feature_map: Any = None,
        scale_penalty: bool = True,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_models = n_models
        self.min_samples = min_samples
        self.feature_map = feature_map
        self.scale_penalty = scale_penalty
        self.n_jobs = n_jobs
        self.random_state = random_state


class AveragingMachineRegressor(OnlineRegressor, RegressorMixin, _Averaging):  # type: ignore[misc]
    """A regressor fitted to `n_models` parts of the data, whose parameters are averaged; see the classifier."""

    _classifies = False

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_models: int | None = None,
        min_samples: int = 100,
        feature_map: Any = None,
        scale_penalty: bool = True,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_models = n_models
        self.min_samples = min_samples
        self.feature_map = feature_map
        self.scale_penalty = scale_penalty
        self.n_jobs = n_jobs
        self.random_state = random_state
