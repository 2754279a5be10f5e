"""One learner and one example at a time, as the papers write it: the oracle of `learners` and of the executor."""

from __future__ import annotations

import math

import numpy as np

from unpooled.combine import Array
from unpooled.training.streams.learners import (
    HingeSGD,
    Learner,
    LogisticSGD,
    PassiveAggressive,
    Perceptron,
)


def learn(learner: Learner, f: Array, X: Array, y: Array, step: int) -> tuple[Array, float, int]:
    """The model (d,) after one batch X (B, d), y (B,), the sum of the losses of the model before, and its mistakes."""
    added, loss, mistakes = [], 0.0, 0
    for x, label in zip(X, y, strict=True):
        score = float(f @ x)
        margin = float(label) * score
        mistakes += int(margin <= 0)
        if isinstance(learner, LogisticSGD):
            loss += math.log(1 + math.exp(-margin))
            rate = learner.rate / (step + 1) ** learner.power
            added.append(rate * label * x / (1 + math.exp(margin)))
            continue
        suffered = max(0.0, 1 - margin)
        loss += suffered
        if isinstance(learner, PassiveAggressive):
            added.append(min(learner.cap, suffered / float(x @ x)) * label * x if suffered else 0 * x)
        elif isinstance(learner, Perceptron):
            added.append(learner.rate * label * x if margin <= 0 else 0 * x)
        elif isinstance(learner, HingeSGD):
            rate = learner.rate / (step + 1) ** learner.power
            added.append(rate * label * x if suffered else 0 * x)
        else:
            raise TypeError(f"{type(learner).__name__} has no plain form: write it here.")
    before = f
    if isinstance(learner, (HingeSGD, LogisticSGD)):
        before = (1 - learner.rate / (step + 1) ** learner.power * learner.decay) * f
    together = np.sum(added, axis=0) if learner.reduction == "sum" else np.mean(added, axis=0)
    return before + together, loss, mistakes
