"""The site's end of a federation over NATS: it dials out, takes questions, and sends what its agent answers."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, current_thread, main_thread
from typing import Any, Protocol

from unpooled.errors import BadRecord
from unpooled.sites.transports.nats import subjects
from unpooled.sites.transports.nats.access import Access, Pace
from unpooled.sites.transports.nats.parcels import MOST_BYTES, Ack, Receiver, Sender, read
from unpooled.sites.transports.nats.presence import Presence
from unpooled.sites.transports.nats.wire import Wire

log = logging.getLogger(__name__)


class Agent(Protocol):
    """What answers at a site."""

    def handle(self, data: bytes) -> bytes:
        """The packed answer to a packed question."""
        ...


class Post:
    """A site's post box: the newest question waits in it, the newest answer is on its way from it."""

    def __init__(self, access: Access, *, pace: Pace | None = None, most_question: int = MOST_BYTES) -> None:
        from unpooled import __version__

        site, self._pace = access.name, pace or Pace()
        self._site, self._began, self._beat = site, time.monotonic(), 0.0
        self._waiting: tuple[bytes, bytes] | None = None
        self._working = ""
        self._changed = Condition()
        self._stopped = False
        self._facts = {"release": __version__, "expires": access.expires().date().isoformat()}

        def emit(message: bytes) -> None:
            self.wire.publish(subjects.coming_from(site), message)

        self._sender = Sender(emit, self._pace.resend)
        self._receiver = Receiver(emit, self._deliver, most_question)
        heard = {subjects.to(site): self._heard, subjects.CALL: self._called}
        self.wire = Wire(access, heard, pace=self._pace, up=self._up, every=self._every)
        self.wire.start()

    def next(self) -> bytes | None:
        """Wait for the newest question; None once the post is stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._stopped)
            if self._stopped or self._waiting is None:
                return None
            (parcel, data), self._waiting = self._waiting, None
            self._working = parcel.hex()
        self.wire.call(self._receiver.taken, parcel)
        return data

    def answer(self, data: bytes) -> None:
        """Send the answer to the question that `next` gave last."""
        self.wire.call(self._offer, data)

    def stop(self) -> None:
        """Let `next` return None. May be called from a signal's handler."""
        self._stopped = True
        if not self.wire.closed:
            self.wire.call(self._wake)

    def close(self) -> None:
        """Let go of the broker. An answer that is underway is not waited for: the coordinator asks again."""
        self.wire.close()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _deliver(self, parcel: bytes, data: bytes) -> None:
        with self._changed:
            self._waiting = (parcel, data)
            self._changed.notify_all()

    def _offer(self, data: bytes) -> None:
        self._working = ""
        self._sender.offer(data, time.monotonic())

    def _heard(self, subject: str, message: bytes) -> None:
        try:
            part = read(message)
            if isinstance(part, Ack):
                self._sender.acknowledged(part, time.monotonic())
            else:
                self._receiver.received(part)
        except BadRecord as error:
            log.warning("site %s: %s", self._site, error)

    def _called(self, subject: str, message: bytes) -> None:
        self._sender.probe(time.monotonic())
        self._say_hello(fresh=True)

    def _up(self) -> None:
        self._sender.probe(time.monotonic())
        self._say_hello(fresh=True)

    def _every(self, now: float) -> None:
        self._sender.tick(now)
        if now - self._beat >= self._pace.heartbeat:
            self._say_hello()

    def _say_hello(self, *, fresh: bool = False) -> None:
        self._beat = time.monotonic()
        seconds = round(self._beat - self._began, 1)
        sign = Presence(parcel=self._working, fresh=fresh, seconds=seconds, **self._facts)
        self.wire.publish(subjects.here(self._site), sign.pack())


def serve(
    agent: Agent, access: Access, *, pace: Pace | None = None, ready: Callable[[Post], None] = lambda post: None
) -> None:
    """Answer questions until SIGTERM or Ctrl-C; a question that is being worked on is finished first.

    The connection is mended for ever. `ready` gets the post box before the first question, to stop it from elsewhere.
    """
    post = Post(access, pace=pace)
    try:
        with _stopping(post):
            ready(post)
            while (question := post.next()) is not None:
                began = time.monotonic()
                answer = agent.handle(question)
                post.answer(answer)
                sizes = {"bytes_in": len(question), "bytes_out": len(answer)}
                seconds = round(time.monotonic() - began, 3)
                log.info("site %s answered", access.name, extra={**sizes, "seconds": seconds})
    finally:
        post.close()


@contextmanager
def _stopping(post: Post) -> Iterator[None]:
    """SIGTERM and SIGINT stop the post; only a process's main thread may arrange that."""
    if current_thread() is not main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        post.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
