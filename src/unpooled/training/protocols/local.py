"""Isolated training: the baseline that shares nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpooled.training.exchange import Exchange
from unpooled.training.operators import Nothing
from unpooled.training.protocols.base import Protocol


@dataclass(frozen=True)
class Local(Protocol):
    """Each site trains alone; what matters is the mean and the worst of the local models."""

    summary: ClassVar[str] = "each site trains alone"
    result_model: ClassVar[str] = "local_mean"

    def exchange(self) -> Exchange:
        return Nothing()
