"""Update rules of online linear learners: loss of the current model, and what an example adds to it.

All have the form f <- s f + mean over the batch of c(x, y) x, with a number c that depends on the example, so all
learners of a process are updated at once. `reference` holds the plain form, one learner and one example at a time.
K. Crammer et al., "Online Passive-Aggressive Algorithms", JMLR 7 (2006): PA-I. F. Rosenblatt, 1958: the perceptron.
The losses are hinge, max(0, 1 - y f(x)), and logistic, log(1 + exp(-y f(x))), in nats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from unpooled import errors
from unpooled.combine import Array
from unpooled.errors import BadSetting

Reduction = Literal["mean", "sum"]


class Learner(Protocol):
    """Settings of an update rule. Arrays have any one shape: scores f(x), labels -1 or +1, squared norms |x|^2."""

    @property
    def label(self) -> str:
        """A short name for tables."""
        ...

    @property
    def reduction(self) -> Reduction:
        """Whether the additions of a batch are averaged or summed."""
        ...

    def loss(self, score: Array, y: Array) -> Array:
        """The loss suffered."""
        ...

    def coefficient(self, score: Array, y: Array, square: Array, step: int) -> Array:
        """c: how much of x is added."""
        ...

    def shrink(self, step: int) -> float:
        """s: what the model is multiplied by before."""
        ...


def hinge(score: Array, y: Array) -> Array:
    """max(0, 1 - y f(x))."""
    return np.maximum(0.0, 1.0 - y * score)


@dataclass(frozen=True)
class PassiveAggressive:
    """PA-I: the smallest change that corrects the example, min(`cap`, hinge / |x|^2) y x. No change without loss."""

    cap: float = 0.5
    reduction: Reduction = "mean"

    def __post_init__(self) -> None:
        _above_zero(cap=self.cap)

    @property
    def label(self) -> str:
        return f"passive-aggressive, cap {self.cap:g}"

    def loss(self, score: Array, y: Array) -> Array:
        return hinge(score, y)

    def coefficient(self, score: Array, y: Array, square: Array, step: int) -> Array:
        return y * np.minimum(self.cap, hinge(score, y) / np.maximum(square, np.finfo(float).tiny))

    def shrink(self, step: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Perceptron:
    """`rate` y x after a mistake, y f(x) <= 0; otherwise no change. Its loss is counted as hinge loss."""

    rate: float = 1.0
    reduction: Reduction = "mean"

    def __post_init__(self) -> None:
        _above_zero(rate=self.rate)

    @property
    def label(self) -> str:
        return f"perceptron, rate {self.rate:g}"

    def loss(self, score: Array, y: Array) -> Array:
        return hinge(score, y)

    def coefficient(self, score: Array, y: Array, square: Array, step: int) -> Array:
        return np.where(y * score <= 0, self.rate * y, 0.0)

    def shrink(self, step: int) -> float:
        return 1.0


@dataclass(frozen=True)
class _GradientDescent:
    """Step size `rate` / (round + 1)^`power`, rounds counted from 0; `decay` is the weight lambda of |f|^2 / 2."""

    rate: float = 0.01
    decay: float = 0.0
    power: float = 0.0
    reduction: Reduction = "mean"

    def __post_init__(self) -> None:
        _above_zero(rate=self.rate)
        errors.not_negative(decay=self.decay, power=self.power)
        if self.rate * self.decay >= 1:
            raise BadSetting(f"rate * decay must be below 1, got {self.rate:g} * {self.decay:g}: lower one of them.")

    def step_size(self, step: int) -> float:
        return self.rate / float(step + 1) ** self.power if self.power else self.rate

    def shrink(self, step: int) -> float:
        return 1.0 - self.step_size(step) * self.decay

    def _label(self, name: str) -> str:
        more = (f", decay {self.decay:g}" if self.decay else "") + (f", power {self.power:g}" if self.power else "")
        return f"{name}, rate {self.rate:g}{more}"


@dataclass(frozen=True)
class HingeSGD(_GradientDescent):
    """Stochastic gradient descent on the hinge loss."""

    @property
    def label(self) -> str:
        return self._label("hinge SGD")

    def loss(self, score: Array, y: Array) -> Array:
        return hinge(score, y)

    def coefficient(self, score: Array, y: Array, square: Array, step: int) -> Array:
        return np.where(y * score < 1, self.step_size(step) * y, 0.0)


@dataclass(frozen=True)
class LogisticSGD(_GradientDescent):
    """Stochastic gradient descent on the logistic loss."""

    @property
    def label(self) -> str:
        return self._label("logistic SGD")

    def loss(self, score: Array, y: Array) -> Array:
        return np.asarray(np.logaddexp(0.0, -y * score))

    def coefficient(self, score: Array, y: Array, square: Array, step: int) -> Array:
        return np.asarray(self.step_size(step) * y * np.exp(-np.logaddexp(0.0, y * score)))


def _above_zero(**settings: float) -> None:
    for name, value in settings.items():
        if not 0.0 < value < float("inf"):
            raise BadSetting(f"{name} must be a finite number above 0, got {value!r}.")


LEARNERS: dict[str, type[Learner]] = {
    "passive_aggressive": PassiveAggressive,
    "perceptron": Perceptron,
    "hinge_sgd": HingeSGD,
    "logistic_sgd": LogisticSGD,
}
"""Every learner by the name that configs use."""
