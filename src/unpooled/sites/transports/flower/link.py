"""The coordinator's end of a Flower federation: a `Link` over the `Grid` of a ServerApp.

What Flower 1.41 and 1.42 do with a message, and what follows from it here:

- A message goes to a SuperNode once. One that stops and is back before the ServerApp looks has lost it, and Flower says
  so when the message's time to live is over, twelve hours by default: messages live for `ttl` seconds here, and a node
  that started again is asked again at once.
- Error replies come from the SuperLink, so a reply belongs to the message that it replies to, whoever sent it.
- The same envelope is sent again after codes 3 (time to live over), 4 (reply lost), 5 (node away) and 8 (process
  killed), and, with growing pauses and a warning, after the others, which somebody at the site has to mend. A site
  answers a repeated envelope from its memory.
- `send_and_receive` sleeps for three seconds: the loop here looks every `poll` seconds.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flwr.app import Error, Message
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from unpooled.errors import BadRecord, SiteFailed, above_zero
from unpooled.sites.transports.flower.nodes import Node, Nodes
from unpooled.sites.transports.flower.records import MESSAGE_TYPE, bytes_of, record_of

LOST = (ErrorCode.MESSAGE_UNAVAILABLE, ErrorCode.REPLY_MESSAGE_UNAVAILABLE, ErrorCode.NODE_UNAVAILABLE)
"""Codes of messages that went astray: nothing is wrong at the site, so they are sent again at once."""
LONGEST_TTL = 43200.0
LONGEST_PAUSE = 60.0

log = logging.getLogger("unpooled.flower")


@dataclass(frozen=True)
class Pace:
    """All in seconds: how long a message lives, between two looks for replies and for nodes, after a first error.

    A question that takes longer than `ttl` costs a repetition: the next message to that site lives twice as long.
    """

    ttl: float = 120.0
    poll: float = 0.2
    look: float = 2.0
    pause: float = 5.0

    def __post_init__(self) -> None:
        above_zero(ttl=self.ttl, poll=self.poll, look=self.look, pause=self.pause)


@dataclass
class Errand:
    """An envelope that has no answer yet; `message` is the id of the one that carries it to `node`, if any does."""

    data: bytes
    message: str | None = None
    node: Node | None = None
    expired: int = 0
    errors: int = 0
    not_before: float = 0.0


class FlowerLink:
    """The sites `names` behind `grid`; see `Nodes` for who is who, and for `trusting`.

    Raises `BadData` where two SuperNodes online are one site, and `SiteFailed` where Flower's SuperLink takes no
    message or where the link is closed.
    """

    def __init__(self, grid: Grid, names: Sequence[str], *, pace: Pace | None = None, trusting: bool = False) -> None:
        self._names = tuple(names)
        self._grid, self._pace = grid, pace or Pace()
        self._nodes = Nodes(grid, names, trusting=trusting)
        self._errands: dict[str, Errand] = {}
        self._asked: dict[str, int] = {}
        self._arrived: deque[tuple[str, bytes]] = deque()
        self._heard: dict[str, float] = {}
        self._looked = -float("inf")
        self._missing: list[str] = []
        self._open = True

    @property
    def names(self) -> Sequence[str]:
        """The sites, in the order they were given in."""
        return self._names

    def send(self, site: str, data: bytes) -> None:
        """Keep the envelope for the site until it answers, in place of any before; again the same changes nothing."""
        self._require_open()
        errand = self._errands.get(site)
        if errand is None or errand.data != data:
            self._errands[site] = Errand(data)

    def receive(self, timeout: float) -> tuple[str, bytes] | None:
        """The next answer; messages go out and are repeated while this waits."""
        self._require_open()
        end = time.monotonic() + timeout
        while not self._arrived:
            self._see_who_is_there()
            self._send_due()
            self._collect()
            left = end - time.monotonic()
            if self._arrived or left <= 0:
                break
            time.sleep(min(self._pace.poll, left))
        return self._arrived.popleft() if self._arrived else None

    def seen(self) -> Mapping[str, float]:
        """Seconds since a site answered or was online, as the SuperLink sees it: it takes a minute to miss one."""
        now = time.monotonic()
        return {name: now - self._heard[name] for name in self._names if name in self._heard}

    def close(self) -> None:
        """Send and expect nothing more; the grid belongs to Flower."""
        self._open = False
        self._errands.clear()

    def _require_open(self) -> None:
        if not self._open:
            raise SiteFailed("This link to Flower is closed: open a new one.")

    def _see_who_is_there(self) -> None:
        now = time.monotonic()
        if now - self._looked < self._pace.look:
            return
        self._nodes.look()
        self._looked = now
        self._heard.update(dict.fromkeys(self._nodes.online, now))
        for site, errand in self._errands.items():
            here = self._nodes.online.get(site)
            if errand.message is not None and here is not None and here != errand.node:
                log.warning("Site '%s' started again: it is asked again.", site)
                errand.message = None
        missing = [site for site in self._errands if site not in self._nodes.online]
        if missing and missing != self._missing:
            log.warning("Waiting for the SuperNodes of %s; online: %s.", missing, sorted(self._nodes.online) or "none")
        self._missing = missing
        unasked = [node for node in self._nodes.nameless if node not in self._asked.values()]
        for node, message in zip(unasked, self._push([(node, b"", self._pace.ttl) for node in unasked]), strict=True):
            if message:
                self._asked[message] = node

    def _send_due(self) -> None:
        """One push for all errands that no message carries, to sites that are online."""
        now = time.monotonic()
        due = [
            (errand, self._nodes.online[site])
            for site, errand in self._errands.items()
            if errand.message is None and errand.not_before <= now and site in self._nodes.online
        ]
        lives = [min(self._pace.ttl * 2**errand.expired, LONGEST_TTL) for errand, _ in due]
        pushed = self._push([(node.number, e.data, ttl) for (e, node), ttl in zip(due, lives, strict=True)])
        for (errand, node), message in zip(due, pushed, strict=True):
            if message:
                errand.message, errand.node = message, node
            else:
                errand.not_before = now + self._pace.pause
                self._looked = -float("inf")

    def _push(self, letters: Sequence[tuple[int, bytes, float]]) -> list[str | None]:
        """Ids of the messages, none for a node that the SuperLink does not know any more."""
        if not letters:
            return []
        messages = [Message(record_of(data), node, MESSAGE_TYPE, ttl=ttl) for node, data, ttl in letters]
        ids = list(self._grid.push_messages(messages))
        if len(ids) != len(letters):
            largest = max(len(data) for _, data, _ in letters)
            raise SiteFailed(
                f"The SuperLink takes no messages of {largest} bytes: raise the limit of what is before it."
            )
        return ids

    def _collect(self) -> None:
        """Take what has come."""
        carried = {errand.message: site for site, errand in self._errands.items() if errand.message is not None}
        expected = {*carried, *self._asked}
        for reply in self._grid.pull_messages(expected) if expected else ():
            message = reply.metadata.reply_to_message_id
            if message in self._asked:
                node = self._asked.pop(message)
                for name in _name_in(reply):
                    self._nodes.introduce(node, name)
            elif message in carried:
                self._take(carried.pop(message), reply)

    def _take(self, site: str, reply: Message) -> None:
        errand = self._errands[site]
        errand.message = None
        if reply.has_error():
            self._again(site, errand, reply.error)
            return
        try:
            data = bytes_of(reply)
        except BadRecord as error:
            self._again(site, errand, Error(ErrorCode.UNKNOWN, str(error)))
            return
        del self._errands[site]
        self._heard[site] = time.monotonic()
        self._arrived.append((site, data))

    def _again(self, site: str, errand: Errand, error: Error) -> None:
        """Let the errand go out once more: at once where a message was lost, else after a pause."""
        self._looked = -float("inf")  # the node may have gone, or come back under another number
        if error.code in LOST:
            errand.expired += error.code == ErrorCode.MESSAGE_UNAVAILABLE
            log.info("Site '%s': the message was lost (code %d), it is sent again.", site, error.code)
            return
        pause = min(self._pace.pause * 2**errand.errors, LONGEST_PAUSE)
        errand.errors += 1
        errand.not_before = time.monotonic() + pause
        reason = error.reason or "no reason given"
        log.warning("Site '%s' failed (code %d): %s It is asked again in %.0f s.", site, error.code, reason, pause)


def _name_in(reply: Message) -> Iterator[str]:
    """The name that a node gave when asked; none where it could not answer, so that it is asked again."""
    if reply.has_error():
        log.warning("A SuperNode without a name does not say its name: %s", reply.error.reason)
        return
    try:
        yield bytes_of(reply).decode()
    except (BadRecord, UnicodeDecodeError) as error:
        log.warning("A SuperNode without a name gives none that can be read: %s", error)
