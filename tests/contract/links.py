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
    """A link to sites of this process, made anew for each run; `silent(envelope)` says what does not reach a site."""

    def __init__(
        self,
        make: Mapping[str, Callable[[], Site]],
        silent: Callable[[Envelope], bool] = lambda envelope: False,
    ) -> None:
        self.names, self._make, self.silent = tuple(make), make, silent
        self.sites: dict[tuple[str, str], Site] = {}
        self.sent: list[Envelope] = []
        self._heard: dict[str, float] = {}
        self._answers: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()

    def send(self, site: str, data: bytes) -> None:
        envelope = unpack(data)
        self.sent.append(envelope)
        if self.silent(envelope):
            return
        key = (site, envelope.run)
        if key not in self.sites:
            self.sites[key] = self._make[site]()
        question = decode(envelope.body)
        assert isinstance(question, Question)
        answer = self.sites[key].answer(question, round=envelope.round)
        self._heard[site] = time.monotonic()
        self._answers.put((site, envelope.answered(encode(answer)).pack()))

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


def direct(sites: Iterable[Site], **settings: Any) -> Direct:
    """A link to sites that hold the same samples as these."""

    def maker(name: str, train: Samples | None, test: Samples | None) -> Callable[[], Site]:
        return lambda: Site(name, train, test)

    return Direct({s.name: maker(s.name, s.train, s.test) for s in sites}, **settings)
