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
from unpooled.training.operators import averaging, cycle, hop, seen, subset
from unpooled.training.protocols.base import Protocol


@dataclass(frozen=True)
class FedDC(Protocol):
    """Every `daisy_period` local steps models hop to another site; every `aggregate_period` they are combined.

    `proximal` adds FedProx's term to the local loss, referring to the last aggregate, not to the last model received.
    With `fraction` below 1 a set of sites is drawn anew for each aggregation period; only they train and exchange.
    `hops` is "random", "cyclic" (in a circle whose shift is drawn anew after each aggregation: k data sets in k - 1
    hops, for certain) or a fixed shift such as 1. `weighted_by_seen` weights each model by the samples it has seen
    since the last aggregation, wherever it saw them; `server_lr` is the server's step size, as in `FedAvg`.
    """

    daisy_period: int
    aggregate_period: int
    combine: Setting = "mean"
    fraction: float = 1.0
    proximal: float = 0.0
    hops: int | str = "random"
    weighted_by_seen: bool = False
    server_lr: float = 1.0
    summary: ClassVar[str] = "models hop between sites, and are averaged now and then"

    def __post_init__(self) -> None:
        errors.positive(daisy_period=self.daisy_period, aggregate_period=self.aggregate_period)
        errors.fraction(fraction=self.fraction)
        errors.not_negative(proximal=self.proximal)
        self.exchange()

    def exchange(self) -> Exchange:
        hops = hop(self.hops, self.aggregate_period)
        aggregation = averaging(self.combiner, self.weighted_by_seen, self.server_lr)
        if not self.weighted_by_seen:
            return cycle(
                aggregation, self.aggregate_period, daisy_period=self.daisy_period, hop=hops, fraction=self.fraction
            )
        program = seen(aggregation, self.aggregate_period, hops, self.daisy_period)
        return program if self.fraction == 1.0 else subset(self.fraction, program, self.aggregate_period)
