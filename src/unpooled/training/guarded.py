"""From a protocol's program to the one that runs where models are hidden from the coordinator."""

from __future__ import annotations

from collections.abc import Sequence

from unpooled.errors import BadSetting
from unpooled.training.exchange import Exchange
from unpooled.training.privacy.secure_sum.exchange import secured
from unpooled.training.protocols import Protocol
from unpooled.training.sealed.exchange import hops, sealed


def guarded(exchange: Exchange, *, secure_sum: bool, sealed_hops: bool) -> Exchange:
    """The same program with its averages under masks, its hops sealed, or both; `BadSetting` where that cannot be."""
    exchange = sealed(exchange) if sealed_hops else exchange
    return secured(exchange) if secure_sum else exchange


def refuse_unguarded(protocols: Sequence[Protocol], *, secure_sum: bool, sealed_hops: bool) -> None:
    """Raise `BadSetting` where a protocol cannot be `guarded`, or where hops are to be sealed and no model hops."""
    for protocol in protocols:
        guarded(protocol.exchange(), secure_sum=secure_sum, sealed_hops=sealed_hops)
    if sealed_hops and not any(hops(protocol.exchange()) for protocol in protocols):
        labels = ", ".join(protocol.label for protocol in protocols)
        raise BadSetting(
            f"sealed_hops seals models that hop from site to site, and under {labels} none does: use FedDC or "
            "DaisyChain, or leave sealed_hops out. secure_sum hides models that are averaged."
        )
