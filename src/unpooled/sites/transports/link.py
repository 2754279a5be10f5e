"""What a network has to offer so that a federation can run over it: packed envelopes out, packed envelopes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Link(Protocol):
    """The coordinator's end of a network to named sites.

    Delivery may be late, repeated, out of order or missing; `Remote` sends again what stays without an answer. A link
    never looks inside an envelope, and vouches for one thing: that what it says to come from a site was sent with that
    site's key.
    """

    @property
    def names(self) -> Sequence[str]:
        """The sites that were admitted, in a fixed order that is stable across restarts."""
        ...

    def send(self, site: str, data: bytes) -> None:
        """Hand over one packed envelope for a site, who may be away: the newest one waits there for its return.

        Raises `SiteFailed` only when the link itself is closed; a broken connection is mended inside.
        """
        ...

    def receive(self, timeout: float) -> tuple[str, bytes] | None:
        """The next packed answer and the site it came from; None when `timeout` seconds brought none."""
        ...

    def seen(self) -> Mapping[str, float]:
        """Seconds since each site was last heard of; sites never heard of are missing."""
        ...

    def close(self) -> None:
        """Let go of the network; calls after it are refused."""
        ...
