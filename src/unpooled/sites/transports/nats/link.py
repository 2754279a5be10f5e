"""The coordinator's end of a federation over NATS."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition

from unpooled.errors import BadRecord, BadSetting, SiteFailed, did_you_mean, positive
from unpooled.sites.transports.nats import subjects
from unpooled.sites.transports.nats.access import Access, Pace
from unpooled.sites.transports.nats.federation import Folder
from unpooled.sites.transports.nats.parcels import Ack, Receiver, Sender, read
from unpooled.sites.transports.nats.presence import Presence, read_presence
from unpooled.sites.transports.nats.wire import Wire

MOST_ANSWER = 2**30
"""Bytes of the largest answer that is taken."""
log = logging.getLogger(__name__)


@dataclass
class _Line:
    """What the link knows of one site."""

    sender: Sender
    receiver: Receiver
    presence: Presence = field(default_factory=Presence)
    seen: float | None = None
    answered: bytes = b""

    def works_on(self, data: bytes, now: float, heartbeat: float) -> bool:
        """Whether the site works on this question, as it said lately, or is bringing its answer."""
        if self.seen is None or now - self.seen > 3 * heartbeat or self.sender.data != data:
            return False
        told = self.presence.parcel == self.sender.parcel.hex() and self.sender.parcel != self.answered
        return told or self.receiver.begun


class NatsLink:
    """The sites `names` behind the broker of `access`.

    Of each site the newest question is on its way and the newest answer waits to be received, nothing more. The link
    may be made before broker and sites are there, and survives both. A question that is sent again while it is still
    underway, or while the site says that it works on it, costs nothing.
    """

    def __init__(
        self, access: Access, names: Sequence[str], *, pace: Pace | None = None, most_answer: int = MOST_ANSWER
    ) -> None:
        positive(most_answer=most_answer)
        self._names = tuple(subjects.check_name(name) for name in names)
        self._pace = pace or Pace()
        self._inbox: OrderedDict[str, tuple[bytes, bytes]] = OrderedDict()
        self._arrived = Condition()
        self._closed = False
        self._lines = {name: self._line(name, most_answer) for name in self._names}
        heard = {subjects.FROM_ALL: self._heard, subjects.HERE_ALL: self._here}
        self.wire = Wire(access, heard, pace=self._pace, up=self._up, every=self._every)
        self.wire.start()

    @property
    def names(self) -> Sequence[str]:
        """The sites that were admitted."""
        return self._names

    def send(self, site: str, data: bytes) -> None:
        """Bring a packed envelope to a site, now or once it is there. Raises `SiteFailed` after `close`."""
        if site not in self._lines:
            raise BadSetting(f"There is no site '{site}' in this federation.{did_you_mean(site, self._names)}")
        self.wire.call(self._offer, site, data)

    def receive(self, timeout: float) -> tuple[str, bytes] | None:
        """The next packed answer and its site; None when `timeout` seconds brought none."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._inbox or self._closed, timeout)
            if self._closed:
                raise SiteFailed("The link to the sites was closed: open it anew.")
            if not self._inbox:
                return None
            site, (parcel, data) = self._inbox.popitem(last=False)
        self.wire.call(self._lines[site].receiver.taken, parcel)
        return site, data

    def seen(self) -> Mapping[str, float]:
        """Seconds since each site was last heard of."""
        now = time.monotonic()
        return {name: now - line.seen for name, line in self._lines.items() if line.seen is not None}

    def close(self) -> None:
        """Let go of the broker."""
        with self._arrived:
            self._closed = True
            self._arrived.notify_all()
        self.wire.close()

    def _line(self, site: str, most: int) -> _Line:
        def emit(message: bytes) -> None:
            self.wire.publish(subjects.to(site), message)

        def deliver(parcel: bytes, data: bytes) -> None:
            line = self._lines[site]
            line.answered = line.sender.parcel
            with self._arrived:
                self._inbox.pop(site, None)
                self._inbox[site] = (parcel, data)
                self._arrived.notify()

        return _Line(Sender(emit, self._pace.resend), Receiver(emit, deliver, most))

    def _offer(self, site: str, data: bytes) -> None:
        line, now = self._lines[site], time.monotonic()
        if not line.works_on(data, now, self._pace.heartbeat):
            line.sender.offer(data, now)

    def _heard(self, subject: str, message: bytes) -> None:
        line = self._lines.get(subjects.site_of(subject))
        if line is None:
            return
        line.seen = time.monotonic()
        try:
            part = read(message)
            if isinstance(part, Ack):
                line.sender.acknowledged(part, line.seen)
            else:
                line.receiver.received(part)
        except BadRecord as error:
            log.warning("site %s: %s", subjects.site_of(subject), error)

    def _here(self, subject: str, message: bytes) -> None:
        line = self._lines.get(subjects.site_of(subject))
        if line is None:
            return
        line.seen = time.monotonic()
        try:
            line.presence = read_presence(message)
        except BadRecord as error:
            log.warning("site %s: %s", subjects.site_of(subject), error)
            return
        if line.presence.fresh:
            line.sender.probe(line.seen)

    def _up(self) -> None:
        self.wire.publish(subjects.CALL, b"")
        now = time.monotonic()
        for line in self._lines.values():
            line.sender.probe(now)

    def _every(self, now: float) -> None:
        for line in self._lines.values():
            line.sender.tick(now)


def open_link(folder: str | Path, *, pace: Pace | None = None) -> NatsLink:
    """A link to the admitted sites of the federation in `folder`. Raises `BadRecord` where there is none."""
    federation = Folder(Path(folder))
    return NatsLink(federation.access(), tuple(federation.read().sites), pace=pace)
