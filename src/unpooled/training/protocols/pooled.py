"""Pooled training: what a site would get if all data lay in one place. A baseline for simulations only.

The rows are asked for through the door like anything else (question `rows`), so they are counted as the traffic that
pooling would cost, and a site whose policy does not allow it refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpooled.training.exchange import Exchange
from unpooled.training.operators import Nothing
from unpooled.training.protocols.base import Protocol


@dataclass(frozen=True)
class Pooled(Protocol):
    """One model trained on all rows; a step sees as many rows as all sites together see in one local step."""

    summary: ClassVar[str] = "all rows in one place: a comparison, not a method"
    tolerates_absence: ClassVar[bool] = False
    simulation_only: ClassVar[bool] = True

    def exchange(self) -> Exchange:
        return Nothing()
