"""Changes made to what operators hold: how one program becomes another of the same shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from unpooled.training.exchange import Exchange
from unpooled.training.operators.layers import only, rotate
from unpooled.training.operators.subset import subset
from unpooled.training.operators.timing import at_end, chain, every, first


def holds_others(exchange: Exchange) -> bool:
    """Whether `within` knows this operator as one that others are put into."""
    return isinstance(exchange, (every, at_end, only, rotate, subset, chain, first))


def within(exchange: Exchange, change: Callable[[Exchange], Exchange]) -> Exchange:
    """The same operator with `change` made to the exchanges in it; one that holds none stays as it is."""
    if isinstance(exchange, (every, at_end, only, rotate, subset)):
        return replace(exchange, exchange=change(exchange.exchange))
    if isinstance(exchange, (chain, first)):
        return type(exchange)(*map(change, exchange.exchanges))
    return exchange
