"""From a protocol that averages to one that averages under masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpooled.combine import Array, mean
from unpooled.errors import BadSetting
from unpooled.training.exchange import NOBODY, Channel, Exchange, Facts, Memory, Pull
from unpooled.training.operators import Hop, Nothing, Stateless, aggregate, server
from unpooled.training.operators.inner import holds_others, within
from unpooled.training.sealed.exchange import sealed_hop


@dataclass(frozen=True)
class secure_aggregate(Stateless):
    """`aggregate(mean)` under masks: after it, the coordinator knows the mean and no single model."""

    weighted: bool = False

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        return Pull(NOBODY)

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        return mean(rows, facts.sizes if self.weighted else None)

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        found = channel.secure_mean(weighted=self.weighted, layers=facts.model_only)
        channel.push(found, layers=facts.model_only, anchor=True)
        return memory


@dataclass(frozen=True)
class secure_server(Stateless):
    """A server optimizer that sees the mean under masks, and no single model."""

    server: server

    def init(self, facts: Facts) -> Memory:
        return self.server.init(facts)

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        return Pull(NOBODY)

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        return self.server.preview(row, rows, round, memory, facts)

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        found = channel.secure_mean(weighted=self.server.weighted, layers=facts.model_only)
        memory = self.server.moved(found, memory, facts)
        channel.push(memory["model"], layers=facts.model_only, anchor=True)
        return memory


def secured(exchange: Exchange) -> Exchange:
    """The same program with its averages under masks; raises `BadSetting` where single models are needed."""
    if isinstance(exchange, (aggregate, server)):
        if exchange.combine != mean:
            name = getattr(exchange.combine, "__name__", exchange.combine)
            raise BadSetting(f"{name} needs single models, which a secure sum hides: use the mean.")
        return secure_aggregate(exchange.weighted) if isinstance(exchange, aggregate) else secure_server(exchange)
    if isinstance(exchange, Hop) and not isinstance(exchange, sealed_hop):
        raise BadSetting(
            "Daisy-chaining hands on single models through the coordinator, and a secure sum is to hide them: set "
            "sealed_hops as well, use FedAvg or FedProx, or leave secure_sum out."
        )
    if holds_others(exchange):
        return within(exchange, secured)
    if isinstance(exchange, (Nothing, sealed_hop, secure_aggregate, secure_server)):
        return exchange
    raise BadSetting(f"{type(exchange).__name__} needs single models, which a secure sum hides: use FedAvg or FedProx.")
