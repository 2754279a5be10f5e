"""The same regularisation for a part as for all rows.

Kamp, Boley, Missura and Gaertner, NeurIPS 2017, regularise the mean of the losses. Learners that penalise their sum
(`C` in front of it, or `alpha` beside it) would shrink a part's model N / n times too much, and no combination of
biased models takes the bias away again. Learners that already take the mean are left as they are.
"""

from __future__ import annotations

from typing import Any

from sklearn.base import clone
from sklearn.linear_model import HuberRegressor, LogisticRegression, LogisticRegressionCV, Ridge, RidgeClassifier
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

IN_FRONT = (LogisticRegression, LinearSVC, LinearSVR, SVC, SVR)
"""Learners with the objective penalty + C * sum of losses."""
BESIDE = (Ridge, RidgeClassifier, HuberRegressor)
"""Learners with the objective sum of losses + alpha * penalty."""


def scaled(learner: Any, share: float) -> Any:
    """An unfitted copy for a part with `share` = n / N of all rows.

    >>> scaled(LogisticRegression(C=2.0), 0.1).C, scaled(Ridge(alpha=3.0), 0.5).alpha
    (20.0, 1.5)
    """
    copy = clone(learner, safe=False)
    if isinstance(learner, IN_FRONT) and not isinstance(learner, LogisticRegressionCV):
        copy.C = learner.C / share
    elif isinstance(learner, BESIDE):
        copy.alpha = learner.alpha * share
    return copy
