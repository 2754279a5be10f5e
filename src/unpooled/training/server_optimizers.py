"""How a server moves its model, given the difference between what the sites' models combine to and what it holds.

S. J. Reddi, Z. Charles, M. Zaheer, Z. Garrett, K. Rush, J. Konecny, S. Kumar, H. B. McMahan, "Adaptive Federated
Optimization", ICLR 2021, Algorithm 2 (`Adaptive`); T.-M. H. Hsu, H. Qi, M. Brown, "Measuring the Effects of
Non-Identical Data Distribution for Federated Visual Classification", 2019 (`Momentum`).
paper -> here: Delta delta, eta lr, beta_1 beta1, beta_2 beta2, tau tau, m and v the moments.
All is done coordinate by coordinate and in double precision. v holds squares of Delta's coordinates; with the norm of
Delta in their place, as in some published code, it would be another method. There is no bias correction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np

from unpooled import errors
from unpooled.combine import Array
from unpooled.errors import BadSetting, did_you_mean

Rule = Literal["adagrad", "adam", "yogi"]
Moments = dict[str, Array]


class ServerOptimizer(Protocol):
    """Steps of a model of P parameters; `moments` is what it remembers, arrays of shape (P,)."""

    def init(self, width: int) -> Moments:
        """The moments before the first aggregation."""
        ...

    def step(self, delta: Array, moments: Moments) -> tuple[Array, Moments]:
        """By how much to move the model, and the new moments; `delta` has shape (P,) and is float64."""
        ...


@dataclass(frozen=True)
class Momentum:
    """v <- momentum v + delta, x <- x + lr v. Without momentum: x <- x + lr (combined - x)."""

    lr: float = 1.0
    momentum: float = 0.0

    def __post_init__(self) -> None:
        errors.above_zero(server_lr=self.lr)
        errors.below_one(momentum=self.momentum)

    def init(self, width: int) -> Moments:
        return {"v": np.zeros(width)} if self.momentum else {}

    def step(self, delta: Array, moments: Moments) -> tuple[Array, Moments]:
        if not self.momentum:
            return self.lr * delta, moments
        v = self.momentum * moments["v"] + delta
        return self.lr * v, {"v": v}


@dataclass(frozen=True)
class Adaptive:
    """m <- beta1 m + (1 - beta1) delta, v by `rule`, x <- x + lr m / (tau + sqrt(v)); m_0 = 0 and v_0 = tau^2.

    `adagrad`: v + delta^2; `adam`: beta2 v + (1 - beta2) delta^2; `yogi`: v - (1 - beta2) delta^2 sign(v - delta^2).
    """

    rule: Rule
    lr: float
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3

    def __post_init__(self) -> None:
        if self.rule not in get_args(Rule):
            hint = did_you_mean(str(self.rule), get_args(Rule))
            raise BadSetting(f"There is no rule '{self.rule}'; there are {', '.join(get_args(Rule))}.{hint}")
        errors.above_zero(server_lr=self.lr, tau=self.tau)
        errors.below_one(beta1=self.beta1, beta2=self.beta2)

    def init(self, width: int) -> Moments:
        return {"m": np.zeros(width), "v": np.full(width, self.tau**2)}

    def step(self, delta: Array, moments: Moments) -> tuple[Array, Moments]:
        m = self.beta1 * moments["m"] + (1 - self.beta1) * delta
        v, squares = moments["v"], delta**2
        if self.rule == "adagrad":
            v = v + squares
        elif self.rule == "adam":
            v = self.beta2 * v + (1 - self.beta2) * squares
        else:
            v = v - (1 - self.beta2) * squares * np.sign(v - squares)
        return self.lr * m / (self.tau + np.sqrt(v)), {"m": m, "v": v}
