"""Daisy-chaining alone ("DC" in Kamp, Fischer and Vreeken, ICLR 2023): models hop and are never combined.

Its aggregate is reported as a measurement of the simulation; the protocol itself never forms it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpooled import errors
from unpooled.training.exchange import Exchange
from unpooled.training.operators import every, hop
from unpooled.training.protocols.base import Protocol


@dataclass(frozen=True)
class DaisyChain(Protocol):
    """Every `daisy_period` local steps each model moves to another site, drawn at random or in a circle.

    `hops` is "random", "cyclic" (a shift drawn once for the run) or a fixed shift such as 1.
    """

    daisy_period: int
    hops: int | str = "random"
    summary: ClassVar[str] = "models hop between sites and are never averaged"
    result_model: ClassVar[str] = "local_mean"

    def __post_init__(self) -> None:
        errors.positive(daisy_period=self.daisy_period)
        hop(self.hops)

    def exchange(self) -> Exchange:
        return every(self.daisy_period, hop(self.hops))
