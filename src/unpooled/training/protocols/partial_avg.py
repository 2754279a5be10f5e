"""Averaging some layers only: a fixed set, or sets in turn; the other layers never leave their site.

L. Adilova, M. Andriushchenko, M. Kamp, A. Fischer, M. Jaggi, "Layer-wise Linear Mode Connectivity", ICLR 2024 (sets of
layers, and one layer a round in rotation); P. P. Liang et al., "Think Locally, Act Globally", 2020 (`share = "head"`).
Choices: the period counts local steps. Sharing all layers is `FedAvg`, sharing none is `Local`. The paper found that
partial averaging rarely beats averaging all unless sites differ much: compare both, and look at local and aggregate
figures. The aggregate that is reported averages private layers too: it is a measurement, no site has that model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpooled import errors
from unpooled.combine import Setting
from unpooled.errors import BadSetting, did_you_mean
from unpooled.training.exchange import Exchange
from unpooled.training.operators import Body, Head, Nothing, aggregate, cycle, every, only, permute, rotate
from unpooled.training.protocols.base import Protocol

SETS = ("all", "head", "body")


@dataclass(frozen=True)
class PartialAvg(Protocol):
    """Every `aggregate_period` local steps the layers in `share` become their mean.

    `share` names layers ("0.weight") or modules ("0"), or is "all", "head" (what the model's last module owns) or
    "body" (all but the head). With a `daisy_period` the shared layers also hop, all together.
    """

    aggregate_period: int
    share: tuple[str, ...] | str
    daisy_period: int | None = None
    weighted_by_samples: bool = False
    combine: Setting = "mean"
    summary: ClassVar[str] = "some layers are averaged now and then, the others stay at their site"

    def __post_init__(self) -> None:
        errors.positive(aggregate_period=self.aggregate_period)
        if self.daisy_period is not None:
            errors.positive(daisy_period=self.daisy_period)
        if isinstance(self.share, str) and self.share not in SETS:
            hint = did_you_mean(self.share, SETS)
            raise BadSetting(
                f"share must be a list of names of layers, or one of {', '.join(SETS)}; got {self.share!r}.{hint}"
            )
        self.exchange()

    def exchange(self) -> Exchange:
        if not self.share:
            return Nothing()
        program = cycle(
            aggregate(self.combiner, self.weighted_by_samples),
            self.aggregate_period,
            daisy_period=self.daisy_period,
            hop=permute(),
        )
        if self.share == "all":
            return program
        if isinstance(self.share, str):
            return only(Head() if self.share == "head" else Body(), program)
        return only(self.share, program)


@dataclass(frozen=True)
class RotatingAvg(Protocol):
    """Every `aggregate_period` local steps one group of layers becomes its mean, each group in turn.

    `groups` are lists of names of layers or modules; without them each layer is a group, in the model's order.
    """

    aggregate_period: int
    groups: tuple[tuple[str, ...], ...] = ()
    weighted_by_samples: bool = False
    combine: Setting = "mean"
    summary: ClassVar[str] = "one group of layers after the other is averaged"

    def __post_init__(self) -> None:
        errors.positive(aggregate_period=self.aggregate_period)
        if any(not group for group in self.groups):
            raise BadSetting("Each group in groups needs at least one name of a layer; one is empty.")
        _ = self.combiner

    def exchange(self) -> Exchange:
        one = rotate(self.aggregate_period, aggregate(self.combiner, self.weighted_by_samples), self.groups)
        return every(self.aggregate_period, one, last=True)
