"""FedAvgM: federated averaging with momentum at the server.

T.-M. H. Hsu, H. Qi, M. Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
Classification", 2019: v <- beta v + Delta, w <- w - v. paper -> here: beta momentum; Delta is the mean of the sites'
models minus the server's, so its sign is the opposite one. With momentum 0 and server_lr 1 it is `FedAvg`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpooled.combine import Setting
from unpooled.training.protocols.server_protocol import ServerProtocol
from unpooled.training.server_optimizers import Momentum


@dataclass(frozen=True)
class FedAvgM(ServerProtocol):
    """Every `aggregate_period` local steps the server moves by its momentum; with `daisy_period` models also hop."""

    aggregate_period: int
    momentum: float = 0.9
    server_lr: float = 1.0
    daisy_period: int | None = None
    fraction: float = 1.0
    weighted_by_samples: bool = False
    combine: Setting = "mean"
    summary: ClassVar[str] = "models are averaged now and then, and the server's model has momentum"

    @property
    def optimizer(self) -> Momentum:
        return Momentum(self.server_lr, self.momentum)
