"""How an envelope of any size crosses a network that loses, repeats and reorders messages: in chunks, each of them
acknowledged.

One sender and one receiver a direction. The sender has a window of chunks on their way; an acknowledgement names the
first chunk that the receiver lacks. Without progress for a while the sender probes with that chunk, waits twice as long
the next time, and goes on from wherever the answer says, so that neither a lost window nor a restarted receiver needs a
word of its own. The newest parcel replaces the one before. The last chunk counts as received only once somebody has
taken the whole parcel.

This is what the broker's own store (JetStream) would be for; docs/decisions/0014-envelopes-end-to-end.md says why it is
here instead. Time is given by the caller, and nothing here does input or output.
"""

from __future__ import annotations

import secrets
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from unpooled.errors import BadRecord, BadSetting

CHUNK_BYTES = 256 * 1024
"""Payload of a chunk: two seconds at 1 Mbit/s."""
WINDOW = 8
"""Chunks on their way at once: 2 MiB, which fills a line of 300 Mbit/s and 50 ms."""
MOST_BYTES = 2**31
"""Size of the largest parcel."""
LONGEST_WAIT = 60.0
"""Seconds between two probes at most."""
_CHUNK = struct.Struct("!c8sQIII")
_ACK = struct.Struct("!c8sI")
HEAD_BYTES = _CHUNK.size
Emit = Callable[[bytes], None]


@dataclass(frozen=True)
class Chunk:
    """One piece: number `index` of `count` of parcel `parcel`, which has `size` bytes and the CRC-32 `check`."""

    parcel: bytes
    size: int
    check: int
    index: int
    count: int
    payload: memoryview


@dataclass(frozen=True)
class Ack:
    """The receiver of `parcel` has all chunks before `index`."""

    parcel: bytes
    index: int


def read(message: bytes) -> Chunk | Ack:
    """The chunk or acknowledgement in a message; raises `BadRecord` for anything else."""
    kind = message[:1]
    if kind == b"A" and len(message) == _ACK.size:
        return Ack(*_ACK.unpack(message)[1:])
    if kind == b"C" and len(message) >= _CHUNK.size:
        _, parcel, size, check, index, count = _CHUNK.unpack_from(message)
        chunk = Chunk(parcel, size, check, index, count, memoryview(message)[_CHUNK.size :])
        if size <= MOST_BYTES and count == chunks_of(size) and index < count and len(chunk.payload) == _length(chunk):
            return chunk
    raise BadRecord(f"A message of {len(message)} bytes is neither a chunk nor an acknowledgement.")


def chunks_of(size: int) -> int:
    """Number of chunks of a parcel of `size` bytes."""
    return max(1, -(-size // CHUNK_BYTES))


def _length(chunk: Chunk) -> int:
    return min(CHUNK_BYTES, chunk.size - chunk.index * CHUNK_BYTES)


@dataclass
class Sender:
    """Brings the newest parcel to one receiver. `emit` sends a message; `wait` seconds pass before the first probe."""

    emit: Emit
    wait: float = 5.0
    parcel: bytes = b""
    data: bytes = b""
    underway: bool = False
    _session: bytes = field(default_factory=lambda: secrets.token_bytes(4))
    _count: int = 0
    _check: int = 0
    _base: int = 0
    _next: int = 0
    _probing: bool = False
    _patience: float = 0.0
    _since: float = 0.0

    def offer(self, data: bytes, now: float) -> bool:
        """Start with `data`, unless it is underway already (False then). Raises `BadSetting` where it is too large."""
        if self.underway and data == self.data:
            return False
        if len(data) > MOST_BYTES:
            raise BadSetting(f"An envelope has {len(data)} bytes, and {MOST_BYTES} is the most: use a smaller model.")
        self._count += 1
        self.parcel, self.data, self.underway = self._session + self._count.to_bytes(4), data, True
        self._check, self._base, self._next, self._probing = zlib.crc32(data), 0, 0, False
        self._patience, self._since = self.wait, now
        self._pump()
        return True

    def acknowledged(self, ack: Ack, now: float) -> None:
        """Go on from where the receiver is; what belongs to another parcel is late, and dropped."""
        if not self.underway or ack.parcel != self.parcel:
            return
        if ack.index >= chunks_of(len(self.data)):
            self.underway = False
        elif self._probing or ack.index > self._base:
            self._base = ack.index
            self._next = self._base if self._probing else max(self._next, self._base)
            self._probing, self._patience, self._since = False, self.wait, now
            self._pump()

    def probe(self, now: float) -> None:
        """Ask where the receiver is, with the first chunk that it did not acknowledge."""
        if self.underway:
            self._probing, self._since = True, now
            self._send(self._base)

    def tick(self, now: float) -> None:
        """To be called about twice a second."""
        if self.underway and now - self._since >= self._patience:
            self._patience = min(2 * self._patience, LONGEST_WAIT)
            self.probe(now)

    def _pump(self) -> None:
        last = min(self._base + WINDOW, chunks_of(len(self.data)))
        while self._next < last:
            self._send(self._next)
            self._next += 1

    def _send(self, index: int) -> None:
        size = len(self.data)
        head = _CHUNK.pack(b"C", self.parcel, size, self._check, index, chunks_of(size))
        start = index * CHUNK_BYTES
        self.emit(head + memoryview(self.data)[start : start + CHUNK_BYTES])


@dataclass
class Receiver:
    """Puts the newest parcel of one sender together and gives it to `deliver`, once; `taken` has to follow."""

    emit: Emit
    deliver: Callable[[bytes, bytes], None]
    most: int = MOST_BYTES
    parcel: bytes = b""
    _chunks: dict[int, memoryview] = field(default_factory=dict)
    _lacks: int = 0
    _whole: bool = False

    @property
    def begun(self) -> bool:
        """Whether some of a parcel is here, and some is not."""
        return bool(self._chunks)

    def received(self, chunk: Chunk) -> None:
        """Take in a chunk, and tell the sender how far this is. What would be too large is not even begun."""
        if chunk.size > self.most:
            raise BadRecord(f"A parcel of {chunk.size} bytes is more than the {self.most} that are allowed.")
        if chunk.parcel[:4] == self.parcel[:4] and chunk.parcel < self.parcel:
            return  # it comes late: its sender has begun with another since
        if chunk.parcel != self.parcel:
            self.parcel, self._chunks, self._lacks, self._whole = chunk.parcel, {}, 0, False
        if not self._whole:
            self._chunks[chunk.index] = chunk.payload
            while self._lacks in self._chunks:
                self._lacks += 1
            if self._lacks == chunk.count:
                self._finish(chunk)
        self.emit(_ACK.pack(b"A", self.parcel, min(self._lacks, chunk.count)))

    def taken(self, parcel: bytes) -> None:
        """Somebody has the parcel now: the sender may forget it."""
        if parcel == self.parcel and self._whole:
            self._lacks += 1
            self.emit(_ACK.pack(b"A", parcel, self._lacks))

    def _finish(self, chunk: Chunk) -> None:
        data = b"".join(self._chunks[i] for i in range(chunk.count))
        self._chunks = {}
        if len(data) != chunk.size or zlib.crc32(data) != chunk.check:
            self._lacks = 0
            return
        self._whole, self._lacks = True, chunk.count - 1
        self.deliver(chunk.parcel, data)
