"""From a protocol whose models hop to one whose models hop sealed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unpooled.errors import BadSetting
from unpooled.training.exchange import Exchange, Facts, Memory, Pull
from unpooled.training.operators import Hop, chain, recombine, seen
from unpooled.training.operators.hops import Order
from unpooled.training.operators.inner import holds_others, within


@dataclass(frozen=True)
class sealed_hop(Hop):
    """`hop`, whose order is drawn when the models are announced, so that each site knows whom to seal for.

    It moves letters as it would move rows: what they hold, nobody here can tell.
    """

    hop: Hop

    def init(self, facts: Facts) -> Memory:
        return self.hop.init(facts)

    def order(self, round: int, rng: np.random.Generator, facts: Facts) -> Order:
        return self.hop.order(round, rng, facts)

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        order = self.order(round, facts.streams.later("exchange", round), facts)
        recipients = np.empty_like(order)
        recipients[order] = np.arange(len(order))
        return Pull(recipients=recipients)


def sealed(exchange: Exchange) -> Exchange:
    """The same program with its hops sealed; raises `BadSetting` where models must be seen to hop."""
    if isinstance(exchange, Hop):
        return sealed_hop(exchange)
    if isinstance(exchange, seen):
        return replace(exchange, hop=sealed_hop(exchange.hop))
    if isinstance(exchange, recombine):
        raise BadSetting(
            "The layers of models are taken apart at the coordinator and shuffled (FedMR), which sealed models do not "
            "allow: use FedDC or DaisyChain, or leave sealed_hops out."
        )
    if isinstance(exchange, chain) and hops(exchange):
        raise BadSetting(
            "A chain may average models in the very step in which they hop, and sealed models cannot be averaged: put "
            "first(...) in its place, or leave sealed_hops out."
        )
    if hops(exchange) and not holds_others(exchange):
        raise BadSetting(f"{type(exchange).__name__} moves models in a way that cannot be sealed: use FedDC.")
    return within(exchange, sealed)


def hops(exchange: Exchange) -> bool:
    """Whether models hop in this program: whole ones, or some layers of them."""
    if isinstance(exchange, (Hop, seen, recombine)):
        return True
    held = getattr(exchange, "exchanges", ()) or (getattr(exchange, "exchange", None),)
    return any(hops(e) for e in held if e is not None)
