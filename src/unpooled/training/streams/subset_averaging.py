"""Averages of a random subset while everybody goes on learning.

The variant of federated averaging that M. Kamp et al., ECML PKDD 2018, compare with on streams: no learner is frozen;
now and then a random subset sends its models, and all learners continue from their mean. The mean of all models is not
kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unpooled import errors
from unpooled.combine import Array, mean
from unpooled.training.exchange import Channel, Exchange, Facts, Memory, Pull, Sites
from unpooled.training.operators import Stateless
from unpooled.training.protocols import Protocol


@dataclass(frozen=True)
class SubsetAveraging(Protocol):
    """Every `aggregate_period` rounds the mean of max(1, round(`fraction` m)) learners goes to all."""

    aggregate_period: int
    fraction: float
    summary: ClassVar[str] = "all continue from the mean of a few, drawn anew each time"

    def __post_init__(self) -> None:
        errors.positive(aggregate_period=self.aggregate_period)
        errors.fraction(fraction=self.fraction)

    def exchange(self) -> Exchange:
        return _MeanOfSome(self.aggregate_period, self.fraction)


@dataclass(frozen=True)
class _MeanOfSome(Stateless):
    period: int
    fraction: float

    def _some(self, round: int, facts: Facts) -> Sites:
        count = max(1, int(np.floor(self.fraction * facts.sites + 0.5)))
        rng = facts.streams.generator("subset", round // self.period)
        return np.sort(rng.choice(facts.sites, size=count, replace=False)).astype(np.int64)

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        return Pull(self._some(round, facts)) if round % self.period == self.period - 1 else None

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        return mean(rows[self._some(round, facts)])

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        channel.push(mean(channel.pull(self._some(channel.round, facts)), None), anchor=True)
        return memory
