"""Networks in memory, for every test of what runs over a link: sites answer at once, or stay silent when told to."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from unpooled.sites.envelope import Envelope, unpack
from unpooled.sites.payload import decode, encode
from unpooled.sites.questions import Question
from unpooled.sites.site import Samples, Site


class Direct:
    """A link to sites of this process, made anew for each run; `silent(envelope)` says what does not reach a site.

    As real ones, sites answer each number of a run once, and repeat themselves when asked again.
    """

    def __init__(
        self,
        make: Mapping[str, Callable[[], Site]],
        silent: Callable[[Envelope], bool] = lambda envelope: False,
    ) -> None:
        self.names, self._make, self.silent = tuple(make), make, silent
        self.sites: dict[tuple[str, str], Site] = {}
        self.sent: list[Envelope] = []
        self._answered: dict[tuple[str, str, int], bytes] = {}
        self._heard: dict[str, float] = {}
        self._answers: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()

    def send(self, site: str, data: bytes) -> None:
        envelope = unpack(data)
        self.sent.append(envelope)
        if not self.silent(envelope):
            answer = self._answer(envelope)
            self._heard[site] = time.monotonic()
            self._answers.put((site, answer))

    def lose(self) -> None:
        """What is on its way to the coordinator is lost."""
        self._answers = queue.SimpleQueue()

    def receive(self, timeout: float) -> tuple[str, bytes] | None:
        try:
            return self._answers.get(timeout=timeout)
        except queue.Empty:
            return None

    def seen(self) -> Mapping[str, float]:
        now = time.monotonic()
        return {site: now - heard for site, heard in self._heard.items()}

    def close(self) -> None:
        pass

    def _answer(self, envelope: Envelope) -> bytes:
        key = (envelope.run, envelope.site, envelope.number)
        if key not in self._answered:
            newest = max((n for *of, n in self._answered if of == [envelope.run, envelope.site]), default=-1)
            assert envelope.number > newest, "a site was asked what it could not know any more"
            place = (envelope.site, envelope.run)
            if place not in self.sites:
                self.sites[place] = self._make[envelope.site]()
            question = decode(envelope.body)
            assert isinstance(question, Question)
            answer = self.sites[place].answer(question, round=envelope.round)
            self._answered[key] = envelope.answered(encode(answer)).pack()
        return self._answered[key]


def direct(sites: Iterable[Site], **settings: Any) -> Direct:
    """A link to sites that hold the same samples as these."""

    def maker(name: str, train: Samples | None, test: Samples | None) -> Callable[[], Site]:
        return lambda: Site(name, train, test)

    return Direct({s.name: maker(s.name, s.train, s.test) for s in sites}, **settings)
