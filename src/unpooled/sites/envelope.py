"""What a question or an answer travels in between machines: who asks whom, in which run, and the how-manieth it is.

The number makes delivery exactly once out of at least once: a site answers each number of a run one time and repeats
the answer it gave when asked again; a coordinator takes the first answer to a number and drops the rest.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from unpooled.errors import BadRecord
from unpooled.sites.typed import is_text

MAGIC = b"UNPOOLED1\n"
"""First bytes of every envelope; the digit is the version of the wire format."""
MOST_HEADER = 4096
"""Bytes that a header may take."""
HEAD = len(MAGIC) + 4 + MOST_HEADER
"""All but the body lies within so many bytes."""
MOST_NUMBER = 2**63
"""Numbers of questions and rounds are below it."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """`number` counts the questions of `run` to `site`, from 0; an answer carries the envelope data of its question.

    `body` is what `unpooled.sites.payload.encode` gives. `kind` is the question's kind; the body has the last word.
    """

    run: str
    site: str
    number: int
    kind: str
    round: int | None
    asker: str
    body: bytes

    def pack(self) -> bytes:
        """The envelope as bytes; equal envelopes give equal bytes."""
        header = {key: value for key, value in asdict(self).items() if key != "body"}
        plain = json.dumps(header, sort_keys=True, ensure_ascii=False).encode()
        return MAGIC + len(plain).to_bytes(4, "little") + plain + self.body

    def answered(self, body: bytes) -> Envelope:
        """The envelope of the answer to this question."""
        return Envelope(**{**{f.name: getattr(self, f.name) for f in fields(self)}, "body": body})


TYPES: dict[str, tuple[type, ...]] = {
    "run": (str,),
    "site": (str,),
    "number": (int,),
    "kind": (str,),
    "round": (int, type(None)),
    "asker": (str,),
}


def unpack(data: bytes) -> Envelope:
    """The envelope in `data`. Raises `BadRecord` for anything else."""
    start = len(MAGIC) + 4
    if data[: len(MAGIC)] != MAGIC:
        raise BadRecord(f"These {len(data)} bytes are no envelope of this version of unpooled.")
    size = int.from_bytes(data[len(MAGIC) : start], "little")
    if len(data) < start or size > MOST_HEADER or len(data) < start + size:
        raise BadRecord(f"An envelope of {len(data)} bytes is cut, or its header is too long ({size} bytes).")
    try:
        header = json.loads(data[start : start + size])
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"An envelope's header is no JSON: {error}.") from error
    return Envelope(**_checked(header), body=data[start + size :])


def _checked(header: Any) -> dict[str, Any]:
    if not isinstance(header, dict) or set(header) != set(TYPES):
        raise BadRecord(f"An envelope's header must have the fields {', '.join(TYPES)}.")
    for name, kinds in TYPES.items():
        value = header[name]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise BadRecord(f"An envelope's {name} is {repr(value)[:40]}, which is not of its type.")
        if isinstance(value, int) and not 0 <= value < MOST_NUMBER:
            raise BadRecord(f"An envelope's {name} is no number from 0 to {MOST_NUMBER - 1}.")
        if isinstance(value, str) and not is_text(value):
            raise BadRecord(f"An envelope's {name} is no text.")
    return header
