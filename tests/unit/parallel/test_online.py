"""`partial_fit`: one online learner a part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, SGDClassifier, SGDRegressor

from tests.unit.parallel.learners import logistic
from unpooled.errors import BadData, BadSetting
from unpooled.parallel import RadonMachineClassifier, RadonMachineRegressor


def machine(**settings: Any) -> Any:
    return RadonMachineClassifier(
        SGDClassifier(loss="log_loss", alpha=0.01), random_state=0, min_samples=10, **settings
    )


def test_batches_are_dealt_and_combined() -> None:
    x, y = logistic(6000, features=3)
    online = machine(height=1)
    for low in range(0, 6000, 600):
        online.partial_fit(x[low : low + 600], y[low : low + 600], classes=[0, 1])
    assert (online.n_models_, online.batches_) == (6, 10)
    assert online.score(x, y) > LogisticRegression().fit(x, y).score(x, y) - 0.03


def test_a_batch_smaller_than_the_number_of_models_updates_some() -> None:
    x, y = logistic(600, features=3)
    online = machine(height=1).partial_fit(x, y, classes=[0, 1])
    before = online.levels_[0][0]
    online.partial_fit(x[:2], y[:2])
    after = online.levels_[0][0]
    changed = [row for row in after if not (np.abs(before - row).max(axis=1) < 1e-12).any()]
    assert len(changed) == 2


def test_it_goes_on_from_what_fit_has_left() -> None:
    x, y = logistic(3000, features=3)
    fitted = machine(height=1).fit(x, y)
    models = np.sort(fitted.levels_[0][0], axis=0)
    fitted.partial_fit(x[:6], y[:6])
    assert fitted.n_models_ == 6
    assert 0 < np.abs(np.sort(fitted.levels_[0][0], axis=0) - models).max() < 1.0
    assert not hasattr(fitted.fit(x, y), "batches_")


def test_regression_and_a_shared_map() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 2)) * [1.0, 50.0]
    y = x @ [1.0, 0.02]
    online = RadonMachineRegressor(SGDRegressor(), height=1, feature_map="scale", random_state=0)
    for low in range(0, 4000, 500):
        online.partial_fit(x[low : low + 500], y[low : low + 500])
    assert online.score(x, y) > 0.98


def test_calls_that_cannot_be_are_named() -> None:
    x, y = logistic(600, features=3)
    with pytest.raises(BadSetting, match="first call of partial_fit needs classes"):
        machine().partial_fit(x, y)
    online = machine(height=1).partial_fit(x, y, classes=[0, 1])
    with pytest.raises(BadData, match="labels that the first call did not name: 2"):
        online.partial_fit(x[:1], [2])
    with pytest.raises(BadSetting, match="classes differ from those of the first call"):
        online.partial_fit(x, y, classes=[0, 1, 2])
    with pytest.raises(BadData, match="Only 0 of 6 online learners still have finite parameters"):
        RadonMachineRegressor(Diverging(), height=1).partial_fit(x, y.astype(float))


class Diverging(SGDRegressor):  # type: ignore[misc]
    """Its parameters become infinite at once."""

    def partial_fit(self, x: Any, y: Any, sample_weight: Any = None) -> Any:
        super().partial_fit(x, y)
        self.coef_ = self.coef_ + np.inf
        return self
