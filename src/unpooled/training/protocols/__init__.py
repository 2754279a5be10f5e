"""One paper a file: each protocol is a frozen dataclass of settings that composes an exchange."""

from __future__ import annotations

from unpooled.training.protocols.adaptive import FedAdagrad, FedAdam, FedYogi
from unpooled.training.protocols.average_at_end import AverageAtEnd
from unpooled.training.protocols.base import Protocol, label_of
from unpooled.training.protocols.daisy_chain import DaisyChain
from unpooled.training.protocols.dynamic import DynamicAveraging
from unpooled.training.protocols.fedavg import FedAvg
from unpooled.training.protocols.fedavgm import FedAvgM
from unpooled.training.protocols.fedbn import FedBN
from unpooled.training.protocols.feddc import FedDC
from unpooled.training.protocols.fedmr import FedMR
from unpooled.training.protocols.fedper import FedPer
from unpooled.training.protocols.fedprox import FedProx
from unpooled.training.protocols.local import Local
from unpooled.training.protocols.mini_batch import MiniBatch
from unpooled.training.protocols.partial_avg import PartialAvg, RotatingAvg
from unpooled.training.protocols.pooled import Pooled
from unpooled.training.protocols.scaffold import Scaffold

_ALL: tuple[type[Protocol], ...] = (
    FedDC,
    FedAvg,
    FedProx,
    Scaffold,
    FedAvgM,
    FedAdagrad,
    FedAdam,
    FedYogi,
    DynamicAveraging,
    FedMR,
    PartialAvg,
    RotatingAvg,
    FedPer,
    FedBN,
    MiniBatch,
    AverageAtEnd,
    DaisyChain,
    Local,
    Pooled,
)
PROTOCOLS: dict[str, type[Protocol]] = {p.__name__: p for p in _ALL}
"""Every protocol by the name that configs use."""

__all__ = [
    "PROTOCOLS",
    "AverageAtEnd",
    "DaisyChain",
    "DynamicAveraging",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "FedBN",
    "FedDC",
    "FedMR",
    "FedPer",
    "FedProx",
    "FedYogi",
    "Local",
    "MiniBatch",
    "PartialAvg",
    "Pooled",
    "Protocol",
    "RotatingAvg",
    "Scaffold",
    "label_of",
]
