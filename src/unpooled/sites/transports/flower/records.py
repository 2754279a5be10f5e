"""Bytes as one Flower record and back.

An array record, because Flower cuts arrays into chunks of 5 MiB on the way: no model is too large for a proxy between
the site and the SuperLink, as a record of plain values would be, which travels in one piece.
"""

from __future__ import annotations

from flwr.app import Array, ArrayRecord, Message, RecordDict

from unpooled.errors import BadRecord

ACTION = "unpooled"
"""The only action of the client app."""
MESSAGE_TYPE = f"query.{ACTION}"
RECORD = "envelope"
STYPE = "unpooled.bytes"


def record_of(data: bytes) -> RecordDict:
    """A message's content that carries `data`."""
    return RecordDict({RECORD: ArrayRecord({RECORD: Array("uint8", (len(data),), STYPE, data)})})


def bytes_of(message: Message) -> bytes:
    """What `record_of` put into a message. Raises `BadRecord` for any other content."""
    record = message.content.get(RECORD)
    array = record.get(RECORD) if isinstance(record, ArrayRecord) else None
    if array is None or array.stype != STYPE or len(message.content) != 1:
        raise BadRecord("A Flower message carries no envelope: is another app than that of unpooled running here?")
    return bytes(array.data)
