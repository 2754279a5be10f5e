"""The serial reference: one learner sees all examples of all streams, in the order of their arrival."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpooled.training.exchange import Exchange
from unpooled.training.operators import Nothing
from unpooled.training.protocols import Protocol


@dataclass(frozen=True)
class Serial(Protocol):
    """One model and one learner, given each learner's batch in turn. Costs every example instead of models."""

    summary: ClassVar[str] = "one learner sees every stream: a comparison, not a method"
    simulation_only: ClassVar[bool] = True

    def exchange(self) -> Exchange:
        return Nothing()
