"""Federated averaging, of which periodic averaging is the case without subsampling.

H. B. McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017.
Choices: the period counts local steps (mini-batches), not epochs; the plain mean is the default, as in the papers on
daisy-chaining, and `weighted_by_samples` gives McMahan's weights; an extra aggregation after the last step makes
the output. A period of 1 is continuous averaging. With a `server_lr` other than 1 the server's model r takes a step
r <- r + server_lr (mean - r) instead of becoming the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpooled import errors
from unpooled.combine import Setting
from unpooled.training.exchange import Exchange
from unpooled.training.operators import averaging, cycle
from unpooled.training.protocols.base import Protocol


@dataclass(frozen=True)
class FedAvg(Protocol):
    """Every `aggregate_period` local steps all models (or those of a `fraction` of sites) become their mean."""

    aggregate_period: int
    fraction: float = 1.0
    weighted_by_samples: bool = False
    combine: Setting = "mean"
    server_lr: float = 1.0
    summary: ClassVar[str] = "models are averaged now and then"

    def __post_init__(self) -> None:
        errors.positive(aggregate_period=self.aggregate_period)
        errors.fraction(fraction=self.fraction)
        self.exchange()

    def exchange(self) -> Exchange:
        aggregation = averaging(self.combiner, self.weighted_by_samples, self.server_lr)
        return cycle(aggregation, self.aggregate_period, fraction=self.fraction)
