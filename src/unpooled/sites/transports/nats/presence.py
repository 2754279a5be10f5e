"""A sign of life: who a site is, what it works on, and since when it is there."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from unpooled.errors import BadRecord

MOST = 1024
"""Bytes of a sign of life at most."""


@dataclass(frozen=True)
class Presence:
    """`parcel` is the question that the site works on, "" for none. `fresh` is set in the
    first sign after a connection was made. `release` is that of unpooled at the site, `expires` its certificate's last
    day, and `seconds` the time since it was started."""

    parcel: str = ""
    fresh: bool = False
    release: str = ""
    expires: str = ""
    seconds: float = 0.0

    def pack(self) -> bytes:
        """As bytes."""
        return json.dumps(asdict(self)).encode()


def read_presence(data: bytes) -> Presence:
    """What `pack` made; raises `BadRecord` for anything else."""
    try:
        table = json.loads(data) if len(data) <= MOST else None
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"{len(data)} bytes are no sign of life.") from error
    kinds = {f.name: type(f.default) for f in fields(Presence)}
    if not isinstance(table, dict) or {name: type(value) for name, value in table.items()} != kinds:
        raise BadRecord(f"{len(data)} bytes are no sign of life.")
    return Presence(**table)
