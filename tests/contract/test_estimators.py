"""Machines are scikit-learn estimators like any other: the checks that scikit-learn has for its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from unpooled.parallel import (
    AveragingMachineClassifier,
    AveragingMachineRegressor,
    RadonMachineClassifier,
    RadonMachineRegressor,
)

# The checks fit a handful of rows, which machines, and the learners inside, rightly warn of.
pytestmark = pytest.mark.filterwarnings("ignore")

UNLIKE = (
    "rows are dealt to parts at random, so a row of weight 2 is in one part and two equal rows may be in two; "
    "SGDClassifier itself is not held to it either"
)
ESTIMATORS = (
    RadonMachineClassifier(LogisticRegression(), min_samples=10),
    RadonMachineClassifier(SGDClassifier(), min_samples=3),
    RadonMachineRegressor(Ridge(), min_samples=3),
    AveragingMachineClassifier(LinearSVC()),
    AveragingMachineRegressor(Ridge(), min_samples=3),
)
"""Few rows a part, so that the small data of the checks make real machines; one with `partial_fit`."""


def expected(estimator: Any) -> dict[str, str]:
    """The two Radon machines over other learners pass: for so few rows they fit one model."""
    unlike = hasattr(estimator, "n_models") or hasattr(estimator, "partial_fit")
    return {f"check_sample_weight_equivalence_on_{k}_data": UNLIKE for k in ("dense", "sparse")} if unlike else {}


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected)
def test_scikit_learn_takes_it_for_its_own(
    estimator: Any, check: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # else scikit-learn skips its checks of array-API input, here NumPy's
    check(estimator)
