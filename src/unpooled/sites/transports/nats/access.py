"""What a party shows to get in, and where: addresses, its certificate and key, and the authority it trusts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from unpooled.errors import BadRecord, above_zero


@dataclass(frozen=True)
class Access:
    """`name` is the site, or `coordinator`. `urls` are tried in turn. The files are PEM, the key for its owner only."""

    name: str
    urls: tuple[str, ...]
    authority: Path
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """TLS 1.3 with our own authority and nobody else's. Raises `BadRecord` where a file cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_verify_locations(cafile=self.authority)
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise BadRecord(
                f"The certificates in {self.certificate.parent} cannot be used ({error}): join again with a new file."
            ) from error
        return context

    def expires(self) -> datetime:
        """When the certificate stops being valid."""
        from unpooled.sites.transports.nats.certificates import expires

        return expires(self.certificate.read_bytes())


@dataclass(frozen=True)
class Pace:
    """All in seconds: between two signs of life, before a chunk is sent again, and between two attempts to connect,
    which starts at `first_pause`, doubles up to `longest_pause` and is shortened by chance, so that many sites do not
    come back at the same moment."""

    heartbeat: float = 5.0
    resend: float = 5.0
    first_pause: float = 0.25
    longest_pause: float = 15.0
    ping: float = 10.0

    def __post_init__(self) -> None:
        above_zero(
            heartbeat=self.heartbeat,
            resend=self.resend,
            first_pause=self.first_pause,
            longest_pause=self.longest_pause,
            ping=self.ping,
        )
