"""From a protocol that averages to one that averages under masks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unpooled.combine import mean
from unpooled.errors import BadSetting
from unpooled.training.exchange import NOBODY, Channel, Exchange, Facts, Memory, Pull, Sites
from unpooled.training.operators import Nothing, aggregate, chain, every, first, only, permute, subset


@dataclass(frozen=True)
class secure_aggregate:
    """`aggregate(mean)` under masks: after it, the coordinator knows the mean and no single model."""

    weighted: bool = False

    def init(self, facts: Facts) -> Memory:
        return None

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        return Pull(NOBODY)

    def active(self, round: int, facts: Facts) -> Sites:
        return None

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        found = channel.secure_mean(weighted=self.weighted, layers=facts.model_only)
        channel.push(found, layers=facts.model_only, anchor=True)
        return memory


def secured(exchange: Exchange) -> Exchange:
    """The same program with its averages under masks; raises `BadSetting` where single models are needed."""
    if isinstance(exchange, aggregate):
        if exchange.combine != mean:
            name = getattr(exchange.combine, "__name__", exchange.combine)
            raise BadSetting(f"{name} needs single models, which a secure sum hides: use the mean.")
        return secure_aggregate(exchange.weighted)
    if isinstance(exchange, permute):
        raise BadSetting(
            "Daisy-chaining hands on single models through the coordinator, and a secure sum is to hide them: use "
            "FedAvg or FedProx, or leave secure_sum out."
        )
    if isinstance(exchange, (every, only, subset)):
        return replace(exchange, exchange=secured(exchange.exchange))
    if isinstance(exchange, (chain, first)):
        return type(exchange)(*map(secured, exchange.exchanges))
    if isinstance(exchange, (Nothing, secure_aggregate)):
        return exchange
    raise BadSetting(f"{type(exchange).__name__} needs single models, which a secure sum hides: use FedAvg or FedProx.")
