"""FedBN: all layers are shared but those of normalisation, which stay at each site.

X. Li, M. Jiang, X. Zhang, M. Kamp, Q. Dou, "FedBN: Federated Learning on Non-IID Features via Local Batch
Normalization", ICLR 2021, Algorithm 1.
Choices: parameters and running statistics of every normalisation module of torch.nn stay (the paper has batch norm
only); the module's type tells, not its name. The plain mean, as in the paper. A model without such modules is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpooled import errors
from unpooled.combine import Setting
from unpooled.training.exchange import Exchange
from unpooled.training.operators import NotNorms, aggregate, cycle, only, permute
from unpooled.training.protocols.base import Protocol


@dataclass(frozen=True)
class FedBN(Protocol):
    """Every `aggregate_period` local steps all layers but normalisation become their mean.

    With a `daisy_period` the shared layers also hop. What counts are the local models, on each site's own test samples.
    """

    aggregate_period: int
    daisy_period: int | None = None
    weighted_by_samples: bool = False
    combine: Setting = "mean"
    summary: ClassVar[str] = "all layers but normalisation are averaged now and then"
    result_model: ClassVar[str] = "local_mean"

    def __post_init__(self) -> None:
        errors.positive(aggregate_period=self.aggregate_period)
        if self.daisy_period is not None:
            errors.positive(daisy_period=self.daisy_period)
        _ = self.combiner

    def exchange(self) -> Exchange:
        program = cycle(
            aggregate(self.combiner, self.weighted_by_samples),
            self.aggregate_period,
            daisy_period=self.daisy_period,
            hop=permute(),
        )
        return only(NotNorms(), program)
