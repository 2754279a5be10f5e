"""FedPer: the body of the model is shared, each site keeps a head of its own.

M. G. Arivazhagan, V. Aggarwal, A. K. Singh, S. Choudhary, "Federated Learning with Personalization Layers", 2019.
paper -> here: base layers are the body, personalization layers the head.
FedBABU (J. Oh, S. Kim, S.-Y. Yun, ICLR 2022) also keeps the head at its first values while the body is learned, and
tunes it afterwards: freeze the head (`requires_grad_(False)`); frozen parameters are not trained and never travel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpooled import errors
from unpooled.combine import Setting
from unpooled.training.exchange import Exchange
from unpooled.training.operators import Body, aggregate, every, only
from unpooled.training.protocols.base import Protocol


@dataclass(frozen=True)
class FedPer(Protocol):
    """Every `aggregate_period` local steps all layers but the head become their mean, weighted by samples.

    `head` names its layers or modules; without it, it is all that the model's last module with parameters owns. What
    counts are the local models, on each site's own test samples.
    """

    aggregate_period: int
    head: tuple[str, ...] = ()
    weighted_by_samples: bool = True
    combine: Setting = "mean"
    summary: ClassVar[str] = "all layers but the last are averaged; each site keeps a last layer of its own"
    result_model: ClassVar[str] = "local_mean"

    def __post_init__(self) -> None:
        self.exchange()

    def exchange(self) -> Exchange:
        errors.positive(aggregate_period=self.aggregate_period)
        program = every(self.aggregate_period, aggregate(self.combiner, self.weighted_by_samples), last=True)
        return only(Body(self.head), program)
