"""What all machines do, step by step, as algorithm 1 of Kamp et al., NeurIPS 2017.

Deal the rows to parts, fit the learner to each, combine the parameters, and put them into a model of the same kind.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from unpooled.combine import Array
from unpooled.errors import BadData, BadSetting, positive
from unpooled.parallel.combining import Together
from unpooled.parallel.fitting import takes_weights
from unpooled.parallel.maps import map_and_learner
from unpooled.parallel.models import Models, fit_here, fit_where_it_lies
from unpooled.parallel.parameters import Layout, carrier
from unpooled.parallel.partitions import Partitions, partitions
from unpooled.parallel.parts import codes_of
from unpooled.parallel.planning import Size
from unpooled.parallel.rows import Rows
from unpooled.parallel.warning import warn
from unpooled.seeds import Streams


def asks(name: str) -> Callable[[Any], bool]:
    """Whether the learner inside, or the kind that carries its parameters, has a method of that name."""

    def found(machine: Any) -> bool:
        learner = map_and_learner(machine.estimator, None)[1]
        getattr(carrier(learner), name)  # its AttributeError says why not
        return True

    return found


class Machine(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """The frame of Radon and averaging machines; see `RadonMachineClassifier` for the attributes after `fit`."""

    estimator: Any
    feature_map: Any
    n_jobs: int | None
    min_samples: int
    min_score: float | None
    scale_penalty: bool
    random_state: Any
    _classifies: bool

    @abstractmethod
    def _sized(self, rows: int, parameters: int) -> Size:
        """How many models are to be trained."""

    @abstractmethod
    def _together(self, rows: Array, size: Size, rng: np.random.Generator) -> Together:
        """Combine finite rows (m, blocks, d)."""

    @abstractmethod
    def _check_combining(self) -> None:
        """Refuse settings that cannot be, before anything is fitted."""

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit to features X (n, p) and targets y (n,), dense, sparse, or mapped from a file.

        X may also lie in partitions: `unpooled.parallel.Parquet`, a Dask array or data frame (y likewise), a Spark data
        frame (y the name of its target column). Then each is fitted where it lies, and only parameters move.
        """
        positive(min_samples=self.min_samples)
        self._check_combining()
        streams = Streams(root(self.random_state))
        self._forget()
        lying = partitions(X, y, sample_weight, self.n_jobs)
        if lying is not None:
            return self._fit_lying(lying, streams)
        X, y = validate_data(self, X, y, accept_sparse="csr", y_numeric=not self._classifies)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
            self._needs_weights()
        codes = None
        if self._classifies:
            check_classification_targets(y)
            self._set_classes(np.unique(y))
            codes = codes_of(y, self.classes_)
        steps, layout = self._parts_of_the_estimator()
        rows = Rows(X, y, sample_weight)
        found = fit_here(self, rows, self._classes(), codes, steps, layout, streams)
        return self._finish(found, layout, streams)

    def _fit_lying(self, lying: Partitions, streams: Streams) -> Any:
        if lying.weighted:
            self._needs_weights()
        mapped = bool(map_and_learner(self.estimator, self.feature_map)[0])
        summary = lying.summary(streams, pilot=mapped, classifies=self._classifies)
        self.n_features_in_ = summary.features
        if lying.names is not None:
            self.feature_names_in_ = np.asarray(lying.names, dtype=object)
        if self._classifies:
            self._set_classes(summary.classes)
        steps, layout = self._parts_of_the_estimator()
        found = fit_where_it_lies(self, lying, summary, self._classes(), steps, layout, streams)
        return self._finish(found, layout, streams)

    def _forget(self) -> None:
        """Begin anew, so that a later `partial_fit` does not go on from before."""
        for name in ("_online", "_started", "batches_"):
            self.__dict__.pop(name, None)

    def _classes(self) -> Array | None:
        return self.classes_ if self._classifies else None

    def _needs_weights(self) -> None:
        learner = map_and_learner(self.estimator, None)[1]
        if not takes_weights(learner):
            raise BadSetting(f"{type(learner).__name__} cannot weight samples: leave sample_weight out.")

    def _parts_of_the_estimator(self) -> tuple[list[Any], Layout]:
        steps, learner = map_and_learner(self.estimator, self.feature_map)
        classes = len(self.classes_) if self._classifies else 0
        separate = getattr(self, "multi_class", "stacked")
        if separate not in ("stacked", "one_vs_rest"):
            raise BadSetting(f"multi_class is 'stacked' or 'one_vs_rest', got {separate!r}.")
        return steps, Layout(learner, classes, separate == "one_vs_rest")

    def _set_classes(self, classes: Array) -> None:
        if len(classes) < 2:
            raise BadData(f"y has one class, {classes[0]!r}, and a classifier needs two: fit to rows of both classes.")
        self.classes_ = classes

    def _finish(self, found: Models, layout: Layout, streams: Streams) -> Any:
        """Combine, and keep what there is to tell."""
        start = time.perf_counter()
        if found.size.models == 1:
            model, combined = found.template, None
        else:
            combined = self._together(found.rows, found.size, streams.generator("parallel", "combine"))
            model = layout.write(found.template, combined.row)
        seconds = time.perf_counter() - start
        self._mapped = found.shared is not None
        self.estimator_ = make_pipeline(*found.shared, model) if self._mapped else model
        self.radon_number_, self.height_ = found.size.radon_number, found.size.height
        self.n_models_, self.n_dropped_, self.n_refilled_ = len(found.rows), found.dropped, found.refilled
        self.n_unconverged_ = found.unfinished
        self.bad_share_ = found.bad_share
        self.levels_ = () if combined is None else combined.levels
        self.hull_gap_max_ = float("nan") if combined is None else combined.hull_gap
        self.cond_max_ = float("nan") if combined is None else combined.condition
        slowest = max(found.seconds, default=0.0)
        self.timings_ = {
            "map": found.mapped_in,
            "fit": found.wall,
            "parts_total": float(sum(found.seconds)),
            "slowest_part": slowest,
            "combine": seconds,
            "critical_path": slowest + seconds,
        }
        if found.unfinished:
            warn(
                f"{found.unfinished} of {found.size.models} local fits stopped at max_iter: raise max_iter, scale the "
                "features (feature_map='scale'), or regularise more."
            )
        return self

    def predict(self, X: Any) -> Array:
        """Predictions (n,) of the combined model."""
        return np.asarray(self._asked("predict", X))

    @available_if(asks("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Array:
        """Scores (n,), or (n, classes), of the combined model."""
        return np.asarray(self._asked("decision_function", X))

    @available_if(asks("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:
        """Probabilities (n, classes) of the combined model."""
        return np.asarray(self._asked("predict_proba", X))

    @available_if(asks("predict_log_proba"))  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of the probabilities."""
        return np.asarray(self._asked("predict_log_proba", X))

    def _asked(self, method: str, X: Any) -> Any:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype="numeric")
        return getattr(self.estimator_, method)(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator) if hasattr(self.estimator, "__sklearn_tags__") else None
        if inner is not None:
            tags.input_tags.sparse = inner.input_tags.sparse
            if tags.classifier_tags is not None and inner.classifier_tags is not None:
                tags.classifier_tags.multi_class = inner.classifier_tags.multi_class
                tags.classifier_tags.poor_score = inner.classifier_tags.poor_score
            if tags.regressor_tags is not None and inner.regressor_tags is not None:
                tags.regressor_tags.poor_score = inner.regressor_tags.poor_score
        tags.input_tags.allow_nan = False
        return tags


def root(random_state: Any) -> int:
    """A root seed; None asks the system for a new one, and the global generator is left alone."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))
