"""What a measure will cost, told before its work begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from unpooled.connectivity.plain import Told

T = TypeVar("T")
Silent: Told = lambda done, total: None  # noqa: E731


@dataclass(frozen=True)
class Plan:
    """What will be computed, and what it will cost."""

    models: int
    passes: float
    samples: int
    at_once: int
    engine: str
    why: str
    seconds: float

    def __str__(self) -> str:
        if not self.models:
            return "No model has to be scored."
        scored = f" on {self.samples} samples, {self.at_once} at a time" if self.samples else ""
        return (
            f"{self.models} models to score{scored}; engine {self.engine}{self.why}: the work of {self.passes:.1f} "
            f"passes through a whole model, about {self.seconds:.1f} s."
        )


NOTHING = Plan(0, 0.0, 0, 0, "none", "", 0.0)
"""Where no model is scored."""


def together(plans: Sequence[Plan]) -> Plan:
    """The cost of one after the other, of the same kind."""
    models, passes, seconds = (sum(getattr(plan, name) for plan in plans) for name in ("models", "passes", "seconds"))
    return replace(plans[0], models=models, passes=passes, seconds=seconds)


@dataclass(frozen=True)
class Prepared(Generic[T]):
    """A measure made ready: what it will cost, and the work itself, which is told how many models are done."""

    plan: Plan
    run: Callable[[Told], T]
