"""Averaging at the end: sites train alone, and their models are averaged once, after the last step.

M. Zinkevich, M. Weimer, A. Smola, L. Li, "Parallelized Stochastic Gradient Descent", NIPS 2010, Algorithm 3.
Choices: all sites begin with one model and keep their own samples (the paper shares them out at random). With
`combine = "radon"` it is the Radon machine of Kamp, Boley, Missura and Gaertner, 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpooled.combine import Setting
from unpooled.training.exchange import Exchange
from unpooled.training.operators import aggregate, at_end
from unpooled.training.protocols.base import Protocol


@dataclass(frozen=True)
class AverageAtEnd(Protocol):
    """One model up and one down a site, whatever the number of steps."""

    weighted_by_samples: bool = False
    combine: Setting = "mean"
    summary: ClassVar[str] = "each site trains alone, and the models are averaged once at the end"

    def __post_init__(self) -> None:
        _ = self.combiner

    def exchange(self) -> Exchange:
        return at_end(aggregate(self.combiner, self.weighted_by_samples))
