"""FedProx: federated averaging whose local steps are held near the last aggregate.

T. Li, A. K. Sahu, M. Zaheer, M. Sanjabi, A. Talwalkar, V. Smith, "Federated Optimization in Heterogeneous Networks",
MLSys 2020, Algorithm 2: the local objective is F_k(w) + (mu / 2) |w - w^t|^2.
paper -> here: mu proximal, w^t the last aggregate that the site received (the initial model before it).
Choices: the period counts local steps; each local step is one of the chosen optimizer, not a solution to some accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpooled import errors
from unpooled.combine import Setting
from unpooled.training.exchange import Exchange
from unpooled.training.protocols.base import Protocol
from unpooled.training.protocols.fedavg import FedAvg


@dataclass(frozen=True)
class FedProx(Protocol):
    """`FedAvg` with the proximal term; `proximal` 0.1 is the value of the experiments on daisy-chaining."""

    aggregate_period: int
    proximal: float = 0.1
    fraction: float = 1.0
    weighted_by_samples: bool = False
    combine: Setting = "mean"
    summary: ClassVar[str] = "models are averaged now and then, and held near their last average"

    def __post_init__(self) -> None:
        errors.not_negative(proximal=self.proximal)
        self.exchange()

    def exchange(self) -> Exchange:
        return FedAvg(self.aggregate_period, self.fraction, self.weighted_by_samples, self.combine).exchange()
