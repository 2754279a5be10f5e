"""Parcels arrive whole, once and exact over a network that loses, repeats and reorders messages."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unpooled.errors import BadRecord
from unpooled.sites.transports.nats import parcels
from unpooled.sites.transports.nats.parcels import CHUNK_BYTES, Ack, Chunk, Receiver, Sender, chunks_of, read


class Line:
    """A sender and a receiver, and messages between them that `rng` loses, repeats and reorders."""

    def __init__(self, rng: random.Random, trouble: float) -> None:
        self.rng, self.trouble, self.now = rng, trouble, 0.0
        self.forth: list[bytes] = []
        self.back: list[bytes] = []
        self.arrived: list[bytes] = []
        self.sent = 0
        self.sender = Sender(self.forth.append, wait=1.0)
        self.receiver = Receiver(self.back.append, self.deliver)

    def deliver(self, parcel: bytes, data: bytes) -> None:
        self.arrived.append(data)
        self.taken = parcel

    def step(self) -> None:
        """One message of one direction arrives, or time passes."""
        way = self.rng.choice([self.forth, self.back])
        if not way:
            self.now += 0.3
            self.sender.tick(self.now)
            return
        place = self.rng.randrange(len(way)) if self.rng.random() < self.trouble else 0
        message = way[place] if self.rng.random() < self.trouble / 2 else way.pop(place)
        if self.rng.random() < self.trouble / 2:
            return
        part = read(message)
        if isinstance(part, Ack):
            self.sender.acknowledged(part, self.now)
        else:
            self.sent += 1
            self.receiver.received(part)
            if self.arrived and self.rng.random() < 0.5:
                self.receiver.taken(self.taken)

    def run(self) -> None:
        for _ in range(20_000):
            if not self.sender.underway:
                return
            self.step()
        pytest.fail("the parcel did not arrive")


@given(st.integers(0, 2**32), st.integers(0, 40), st.floats(0, 0.6))
@example(0, 0, 0.0)
def test_every_parcel_arrives_once_and_exact(seed: int, chunks: int, trouble: float) -> None:
    rng = random.Random(seed)
    line = Line(rng, trouble)
    size = chunks * 7 + rng.randrange(7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parcels, "CHUNK_BYTES", 7)
        for _ in range(2):
            data = rng.randbytes(size)
            line.arrived.clear()
            assert line.sender.offer(data, line.now)
            line.run()
            assert line.arrived == [data]


def test_without_trouble_each_chunk_is_sent_once() -> None:
    line = Line(random.Random(0), 0.0)
    line.sender.offer(bytes(20 * CHUNK_BYTES), 0.0)
    while line.forth or line.back:
        for message in [*line.forth]:
            line.forth.remove(message)
            line.sent += 1
            line.receiver.received(read(message))  # type: ignore[arg-type]
        if line.arrived:
            line.receiver.taken(line.taken)
        for message in [*line.back]:
            line.back.remove(message)
            line.sender.acknowledged(read(message), 0.0)  # type: ignore[arg-type]
    assert line.sent == 20
    assert not line.sender.underway


def test_a_receiver_that_was_restarted_gets_it_all_again() -> None:
    line = Line(random.Random(0), 0.0)
    data = random.Random(1).randbytes(20 * CHUNK_BYTES)
    line.sender.offer(data, 0.0)
    while line.receiver._lacks < 10:
        line.step()
    line.receiver = Receiver(line.back.append, line.deliver)
    line.run()
    assert line.arrived == [data]


def test_the_newest_parcel_replaces_the_one_before_and_late_messages_do_not_bring_it_back() -> None:
    line = Line(random.Random(0), 0.0)
    line.sender.offer(b"old" * CHUNK_BYTES, 0.0)
    late = [*line.forth]
    line.forth.clear()
    line.sender.offer(b"new" * CHUNK_BYTES, 0.0)
    line.forth[2:2] = late[:2]
    line.run()
    assert line.arrived == [b"new" * CHUNK_BYTES]


def test_a_silent_receiver_is_probed_ever_less_often() -> None:
    line = Line(random.Random(0), 0.0)
    line.sender.offer(bytes(8 * CHUNK_BYTES), 0.0)
    line.forth.clear()
    times = []
    for tick in range(3000):
        line.sender.tick(tick / 10)
        times += [tick / 10] * len(line.forth)
        line.forth.clear()
    assert times == pytest.approx([1, 3, 7, 15, 31, 63, 123, 183, 243], abs=0.11)  # doubled, and at most a minute


def test_what_is_underway_is_not_begun_again() -> None:
    line = Line(random.Random(0), 0.0)
    assert line.sender.offer(b"x", 0.0)
    assert not line.sender.offer(b"x", 0.0)
    line.run()
    assert line.sender.offer(b"x", 0.0)


def test_a_parcel_with_another_checksum_is_not_delivered() -> None:
    line = Line(random.Random(0), 0.0)
    head = parcels._CHUNK.pack(b"C", b"12345678", 3, zlib.crc32(b"abd"), 0, 1)
    line.receiver.received(read(head + b"abc"))  # type: ignore[arg-type]
    assert line.arrived == []


def test_a_parcel_that_is_larger_than_allowed_is_not_begun() -> None:
    receiver = Receiver(lambda message: None, lambda parcel, data: None, most=10)
    with pytest.raises(BadRecord, match="11 bytes is more than the 10"):
        receiver.received(Chunk(b"12345678", 11, 0, 0, 1, memoryview(bytes(11))))


@given(st.binary(max_size=80))
def test_any_bytes_are_a_part_or_refused(data: bytes) -> None:
    for message in (data, b"C" + data, b"A" + data):
        try:
            part = read(message)
        except BadRecord:
            continue
        assert isinstance(part, Ack) or (part.index < part.count == chunks_of(part.size))
