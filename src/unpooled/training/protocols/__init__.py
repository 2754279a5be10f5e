"""One paper a file: each protocol is a frozen dataclass of settings that composes an exchange."""

from __future__ import annotations

from unpooled.training.protocols.base import Protocol, label_of
from unpooled.training.protocols.daisy_chain import DaisyChain
from unpooled.training.protocols.dynamic import DynamicAveraging
from unpooled.training.protocols.fedavg import FedAvg
from unpooled.training.protocols.feddc import FedDC
from unpooled.training.protocols.fedprox import FedProx
from unpooled.training.protocols.local import Local
from unpooled.training.protocols.pooled import Pooled

PROTOCOLS: dict[str, type[Protocol]] = {
    p.__name__: p for p in (FedDC, FedAvg, FedProx, DynamicAveraging, DaisyChain, Local, Pooled)
}
"""Every protocol by the name that configs use."""

__all__ = [
    "PROTOCOLS",
    "DaisyChain",
    "DynamicAveraging",
    "FedAvg",
    "FedDC",
    "FedProx",
    "Local",
    "Pooled",
    "Protocol",
    "label_of",
]
