"""Weights by the data that each MODEL has seen, wherever it learned, since the last aggregation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unpooled import errors
from unpooled.combine import Array
from unpooled.training.exchange import Channel, Exchange, Facts, Memory, Pull
from unpooled.training.operators.base import Stateless
from unpooled.training.operators.hops import Hop
from unpooled.training.operators.timing import every, first


@dataclass(frozen=True)
class seen(Stateless):
    """`first(every(b, aggregation, last=True), every(d, hop))`, where models carry a count of the samples they saw.

    A local step at a site adds the samples of its batch to the count of the model that is there; a hop moves the counts
    with the models, and an aggregation sets them to 0. A weighted `aggregation` finds them in place of the sites'
    sizes: the size of a model's host says little once it has learned elsewhere. The counts are B_i of Kamp et al.,
    "Efficient decentralized deep learning by dynamic model averaging", 2018, Algorithm 2.
    """

    aggregation: Exchange
    aggregate_period: int
    hop: Hop
    daisy_period: int

    def __post_init__(self) -> None:
        errors.positive(aggregate_period=self.aggregate_period, daisy_period=self.daisy_period)

    def init(self, facts: Facts) -> Memory:
        self.hop.init(facts)
        return {"seen": np.zeros(facts.sites, dtype=np.int64), "until": 0, "inner": self.aggregation.init(facts)}

    def _aggregation(self) -> Exchange:
        return every(self.aggregate_period, self.aggregation, last=True)

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        return first(self._aggregation(), every(self.daisy_period, self.hop)).pulls(round, facts)

    def _counts(self, round: int, memory: Memory, facts: Facts) -> Array:
        """Samples that the model now at each site has seen, after this local step."""
        a_step = facts.sizes if facts.batches is None else facts.batches
        counts: Array = memory["seen"] + (round + 1 - memory["until"]) * a_step
        return counts

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        weighed = replace(facts, sizes=self._counts(round, memory, facts))
        return self.aggregation.preview(row, rows, round, memory["inner"], weighed)

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        t = channel.round
        counts, inner = self._counts(t, memory, facts), memory["inner"]
        if self._aggregation().pulls(t, facts) is not None:
            inner = self.aggregation(channel, inner, rng, replace(facts, sizes=counts))
            return {"seen": np.zeros_like(counts), "until": t + 1, "inner": inner}
        order = self.hop.order(t, rng, facts)
        channel.push(channel.pull()[order])
        return {"seen": counts[order], "until": t + 1, "inner": inner}
