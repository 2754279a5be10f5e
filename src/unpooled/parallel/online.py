"""`partial_fit`: online learners side by side, each with its share of every batch, combined after each batch.

The stream of Kamp et al., NeurIPS 2017, outlook: one learner a part, updated where it is, and one combined model.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, validate_data
from threadpoolctl import threadpool_limits

from unpooled.combine import Array
from unpooled.errors import BadData, BadSetting, positive
from unpooled.parallel.base import Machine, asks, root
from unpooled.parallel.fitting import seeded
from unpooled.parallel.maps import fit_map
from unpooled.parallel.models import Models, checked_size, seeds_of, width_of
from unpooled.parallel.parts import deal, row_numbers
from unpooled.parallel.planning import Size
from unpooled.seeds import Streams


class Online(Machine):
    """What classifiers and regressors share; the first batch decides about classes, the shared map and the height."""

    batches_: int
    _online: list[Any]
    _started: tuple[Size, Any, int]

    def _take(self, X: Any, y: Any, classes: Any, sample_weight: Any) -> Any:
        first = not hasattr(self, "_online")
        new = first and not hasattr(self, "estimator_")
        X, y = validate_data(self, X, y, accept_sparse="csr", reset=new, y_numeric=not self._classifies)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
            self._needs_weights()
        if new:
            self._begin(X, y, classes)
        elif first:
            self._go_on()
        if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise BadSetting(
                "classes differ from those of the first call: leave them out, or begin anew with another machine."
            )
        unknown: Any = np.setdiff1d(y, self.classes_) if self._classifies else ()
        if len(unknown):
            raise BadData(f"y has labels that the first call did not name: {', '.join(map(str, unknown[:5]))}.")
        size, shared, seed = self._started
        batch, self.batches_ = self.batches_, self.batches_ + 1
        streams = Streams(seed)
        start = time.perf_counter()
        dealt = deal(row_numbers(len(y)), size.models, None, streams.generator("parallel", "batch", batch))
        features = X if shared is None else shared.transform(X)
        given = {"classes": self.classes_} if self._classifies else {}
        seconds = []
        with threadpool_limits(limits=1):
            for model, part in zip(self._online, dealt.parts, strict=True):
                begun = time.perf_counter()
                weights = {} if sample_weight is None else {"sample_weight": sample_weight[part]}
                if len(part):
                    model.partial_fit(features[part], y[part], **given, **weights)
                seconds.append(time.perf_counter() - begun)
        wall = time.perf_counter() - start
        layout = self._parts_of_the_estimator()[1]
        rows = np.stack([layout.read(model) for model in self._online])
        finite = np.isfinite(rows).all(axis=(1, 2))
        lower: Size | None = size if finite.all() else self._lowered(size, int(finite.sum()))
        if lower is None or not finite.any():
            raise BadData(
                f"Only {finite.sum()} of {size.models} online learners still have finite parameters: lower their "
                "learning rate, or scale the features (feature_map='scale')."
            )
        found = Models(
            rows[finite], lower, self._online[0], shared, int((~finite).sum()), seconds=tuple(seconds), wall=wall
        )
        return self._finish(found, layout, streams)

    def _go_on(self) -> None:
        """From the models that `fit` has left behind."""
        shared, model = (self.estimator_[:-1], self.estimator_[-1]) if self._mapped else (None, self.estimator_)
        layout = self._parts_of_the_estimator()[1]
        models = self.levels_[0].swapaxes(0, 1) if self.levels_ else [layout.read(model)]
        self._online = [layout.write(model, np.asarray(row)) for row in models]
        size = Size(self.height_, self.radon_number_, len(self._online))
        self._started, self.batches_ = (size, shared, root(self.random_state)), 0

    def _begin(self, X: Any, y: Array, classes: Any) -> None:
        positive(min_samples=self.min_samples)
        self._check_combining()
        if self._classifies:
            if classes is None:
                raise BadSetting("The first call of partial_fit needs classes, all labels that may come.")
            self._set_classes(np.unique(classes))
        steps, layout = self._parts_of_the_estimator()
        seed = root(self.random_state)
        streams = Streams(seed)
        shared = fit_map(steps, X, y, streams.generator("parallel", "map"))
        parameters = layout.dimension(width_of(shared, X))
        if parameters is None:
            raise BadSetting(f"partial_fit is for linear learners; {type(layout.learner).__name__} can only be fitted.")
        size = checked_size(self, len(y), parameters)
        self._online = [seeded(clone(layout.learner), s) for s in seeds_of(streams, 0, size.models)]
        self._started, self.batches_ = (size, shared, seed), 0


class OnlineClassifier(Online):
    """Gives classifiers `partial_fit` where their learner has it."""

    @available_if(asks("partial_fit"))  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Any:
        """Deal one batch to the online learners and combine them; `classes` names all labels in the first call.

        That call also decides about the height, so it should have min_samples rows for each part.
        """
        return self._take(X, y, classes, sample_weight)


class OnlineRegressor(Online):
    """Gives regressors `partial_fit` where their learner has it."""

    @available_if(asks("partial_fit"))  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Deal one batch to the online learners and combine them; the first call decides about the height."""
        return self._take(X, y, None, sample_weight)
