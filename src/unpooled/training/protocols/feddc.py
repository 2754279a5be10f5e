"""FedDC: federated daisy-chaining with rare aggregation.

M. Kamp, J. Fischer, J. Vreeken, "Federated Learning from Small Datasets", ICLR 2023, Algorithm 1.
paper -> here: m sites, d daisy_period, b aggregate_period, agg combine; all periods count local steps.
Choices: aggregation has priority when both periods end on one step (the printed `else if`, read literally, would
never aggregate for d = 1; permuting first gives the same mean); all models start from one initialisation; an extra
aggregation after the last step makes the output. Not to be confused with FedDC of Gao et al., CVPR 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpooled import errors
from unpooled.combine import Setting
from unpooled.training.exchange import Exchange
from unpooled.training.operators import aggregate, every, first, permute, subset
from unpooled.training.protocols.base import Protocol


@dataclass(frozen=True)
class FedDC(Protocol):
    """Every `daisy_period` local steps models hop to another site; every `aggregate_period` they are combined.

    `proximal` adds FedProx's term to the local loss, referring to the last aggregate, not to the last model received.
    With `fraction` below 1 a set of sites is drawn anew for each aggregation period; only they train and exchange.
    """

    daisy_period: int
    aggregate_period: int
    combine: Setting = "mean"
    fraction: float = 1.0
    proximal: float = 0.0
    summary: ClassVar[str] = "models hop between sites, and are averaged now and then"

    def __post_init__(self) -> None:
        errors.positive(daisy_period=self.daisy_period, aggregate_period=self.aggregate_period)
        errors.fraction(fraction=self.fraction)
        errors.not_negative(proximal=self.proximal)
        _ = self.combiner

    def exchange(self) -> Exchange:
        program = first(
            every(self.aggregate_period, aggregate(self.combiner), last=True),
            every(self.daisy_period, permute()),
        )
        return program if self.fraction == 1.0 else subset(self.fraction, program, self.aggregate_period)
