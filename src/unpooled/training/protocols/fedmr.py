"""FedMR: the layers of all models are shuffled apart, and averaged now and then.

M. Hu et al., "FedMR: Federated Learning via Model Recombination", arXiv 2208.07677.
paper -> here: a layer is what one module of the model owns (a weight and its bias move together).
Choices: shuffling and aggregating have periods in local steps, as in FedDC, and aggregation has priority. The paper
aggregates once, at its end: an `aggregate_period` beyond the run does that. Its first stage, of plain averaging, is
absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpooled import errors
from unpooled.combine import Setting
from unpooled.training.exchange import Exchange
from unpooled.training.operators import aggregate, cycle, recombine
from unpooled.training.protocols.base import Protocol


@dataclass(frozen=True)
class FedMR(Protocol):
    """Every `shuffle_period` local steps each layer hops by itself; every `aggregate_period` models are combined."""

    shuffle_period: int
    aggregate_period: int
    combine: Setting = "mean"
    fraction: float = 1.0
    summary: ClassVar[str] = "layers hop between sites each by itself, and models are averaged now and then"

    def __post_init__(self) -> None:
        errors.positive(shuffle_period=self.shuffle_period, aggregate_period=self.aggregate_period)
        errors.fraction(fraction=self.fraction)
        _ = self.combiner

    def exchange(self) -> Exchange:
        return cycle(
            aggregate(self.combiner),
            self.aggregate_period,
            daisy_period=self.shuffle_period,
            hop=recombine(),
            fraction=self.fraction,
        )
