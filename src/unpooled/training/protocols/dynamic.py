"""Dynamic averaging: sites send models only when their own model has moved far from the last common one.

The method, its sources and the choices made are told in `unpooled.training.balance`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpooled.training.balance import Augmentation, Schedule, balance
from unpooled.training.exchange import Exchange
from unpooled.training.protocols.base import Protocol


@dataclass(frozen=True)
class DynamicAveraging(Protocol):
    """Every `check_period` local steps a site checks |f - r|^2 <= `threshold`; only violations cost models.

    The threshold has the unit of squared parameters: begin with the median of |f - r|^2 after one check period.
    `augmentation`, `schedule` and the weights by examples seen (`weighted_by_samples`) are those of `balance`.
    """

    threshold: float
    check_period: int = 1
    augmentation: Augmentation = "random"
    weighted_by_samples: bool = False
    schedule: Schedule = "constant"
    summary: ClassVar[str] = "models are averaged only when they have drifted apart"
    tolerates_absence: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self.exchange()

    @property
    def anchored(self) -> bool:
        return True

    def exchange(self) -> Exchange:
        return balance(self.threshold, self.check_period, self.augmentation, self.weighted_by_samples, self.schedule)
