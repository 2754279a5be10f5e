"""Whether the broker can be reached with a certificate, and if not, why."""

from __future__ import annotations

from datetime import UTC, datetime

from unpooled.sites.transports.nats.access import Access, Pace
from unpooled.sites.transports.nats.wire import Wire


def reach(access: Access, seconds: float) -> str | None:
    """None where the broker lets us in within `seconds`, else what went wrong and what to do about it."""
    wire = Wire(access, {}, pace=Pace())
    wire.start()
    try:
        if wire.wait(seconds):
            return None
        trouble = wire.trouble or "nobody answers"
    finally:
        wire.close()
    if access.expires() <= datetime.now(UTC):
        return f"this certificate ended on {access.expires().date()}: ask the coordinator for a new join file."
    if "Authorization" in trouble:
        return "the broker does not admit this certificate: it was replaced or removed; ask for a new join file."
    if "refused" in trouble or "Connect call failed" in trouble:
        return f"{trouble}. Is `unpooled coordinator serve` running there?"
    return f"{trouble}. Does the firewall let us out to this address and port, and is nobody opening TLS in between?"
