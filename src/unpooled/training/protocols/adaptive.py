"""FedAdagrad, FedAdam and FedYogi: the server takes the step of an adaptive optimizer towards the average.

S. J. Reddi, Z. Charles, M. Zaheer, Z. Garrett, K. Rush, J. Konecny, S. Kumar, H. B. McMahan, "Adaptive Federated
Optimization", ICLR 2021, Algorithm 2; the rules are in `unpooled.training.server_optimizers`.
paper -> here: eta server_lr, beta_1 beta1, beta_2 beta2, tau tau.
Choices: the period counts local steps; Delta is the plain mean (or another `combine`) of the sites' models minus the
server's model, and `weighted_by_samples` weights it; an extra server step after the last local step makes the output.
With a `daisy_period` models also hop, and the server acts on aggregations only. A coordinate moves by about `server_lr`
an aggregation, so it needs tuning; 0.03 is the value of the experiments on daisy-chaining (Kamp et al., ICLR 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpooled.combine import Setting
from unpooled.training.protocols.server_protocol import ServerProtocol
from unpooled.training.server_optimizers import Adaptive, Rule


@dataclass(frozen=True)
class _Adaptive(ServerProtocol):
    """The settings that the three share."""

    aggregate_period: int
    server_lr: float = 0.03
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3
    daisy_period: int | None = None
    fraction: float = 1.0
    weighted_by_samples: bool = False
    combine: Setting = "mean"
    rule: ClassVar[Rule]

    @property
    def optimizer(self) -> Adaptive:
        return Adaptive(self.rule, self.server_lr, self.beta1, self.beta2, self.tau)


@dataclass(frozen=True)
class FedAdagrad(_Adaptive):
    """Every `aggregate_period` local steps the server takes a step of Adagrad; `beta2` has no meaning here."""

    rule: ClassVar[Rule] = "adagrad"
    summary: ClassVar[str] = "models are averaged now and then, and the server moves towards the average by Adagrad"


@dataclass(frozen=True)
class FedAdam(_Adaptive):
    """Every `aggregate_period` local steps the server takes a step of Adam, without bias correction."""

    rule: ClassVar[Rule] = "adam"
    summary: ClassVar[str] = "models are averaged now and then, and the server moves towards the average by Adam"


@dataclass(frozen=True)
class FedYogi(_Adaptive):
    """Every `aggregate_period` local steps the server takes a step of Yogi."""

    rule: ClassVar[Rule] = "yogi"
    summary: ClassVar[str] = "models are averaged now and then, and the server moves towards the average by Yogi"
