"""What protocols with an optimizer at the server share: hops between aggregations, on which alone the server acts."""

from __future__ import annotations

import abc

from unpooled import errors
from unpooled.training.exchange import Exchange
from unpooled.training.operators import cycle, permute, server
from unpooled.training.protocols.base import Protocol
from unpooled.training.server_optimizers import ServerOptimizer


class ServerProtocol(Protocol):
    """Its settings are fields of each protocol, which come in the order of its own paper."""

    aggregate_period: int
    daisy_period: int | None
    fraction: float
    weighted_by_samples: bool

    def __post_init__(self) -> None:
        errors.positive(aggregate_period=self.aggregate_period)
        if self.daisy_period is not None:
            errors.positive(daisy_period=self.daisy_period)
        errors.fraction(fraction=self.fraction)
        self.exchange()

    @property
    @abc.abstractmethod
    def optimizer(self) -> ServerOptimizer:
        """How the server moves towards what the combiner gives."""

    def exchange(self) -> Exchange:
        return cycle(
            server(self.optimizer, self.combiner, self.weighted_by_samples),
            self.aggregate_period,
            daisy_period=self.daisy_period,
            hop=permute(),
            fraction=self.fraction,
        )
