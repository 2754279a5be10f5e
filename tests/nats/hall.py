"""A federation on loopback for tests: broker, link, and sites that answer by a function."""

from __future__ import annotations

import socket
import threading
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unpooled.sites.transports.nats.access import Access, Pace
from unpooled.sites.transports.nats.broker import Broker
from unpooled.sites.transports.nats.federation import Folder
from unpooled.sites.transports.nats.link import NatsLink
from unpooled.sites.transports.nats.serve import Post, serve

QUICK = Pace(heartbeat=0.3, resend=0.5, first_pause=0.05, longest_pause=0.5, ping=1.0)
"""For tests: everything that waits, waits short."""


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@dataclass
class Echo:
    """An agent that answers a question by a function of its bytes, and counts."""

    answer: Callable[[bytes], bytes] = bytes
    handled: int = 0

    def handle(self, data: bytes) -> bytes:
        """The answer."""
        self.handled += 1
        return self.answer(data)


class SiteThread:
    """A site in a thread of this process."""

    def __init__(self, access: Access, agent: Echo, pace: Pace) -> None:
        self.agent, self._posts = agent, list[Post]()
        self._ready = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(access, pace), name=f"site-{access.name}")
        self.thread.start()
        assert self._ready.wait(10)

    @property
    def post(self) -> Post:
        """The site's post box."""
        return self._posts[0]

    def stop(self) -> None:
        """As SIGTERM does."""
        self.post.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()

    def _run(self, access: Access, pace: Pace) -> None:
        serve(self.agent, access, pace=pace, ready=self._started)

    def _started(self, post: Post) -> None:
        self._posts.append(post)
        self._ready.set()


class Hall:
    """A federation in `path`; the broker runs from the beginning, sites and links are made on demand."""

    def __init__(self, path: Path, sites: Sequence[str], port: int | None = None) -> None:
        self.port = free_port()
        self.folder = Folder.make(path, ["localhost", "127.0.0.1"], sites, port=self.port, listen="127.0.0.1")
        self.dial = port or self.port
        self.names = tuple(sites)
        self.broker = Broker(self.folder)
        self.restarts = 0
        self._open: list[NatsLink | SiteThread] = []

    def restart(self) -> None:
        """Stop the broker and start it again."""
        self.restarts += 1
        self.broker.close()
        self.broker = Broker(self.folder)

    def access(self, name: str) -> Access:
        """How the coordinator or a site gets in, through `dial` where a test put something in between."""
        if name == "coordinator":
            return replace(self.folder.access(), urls=self._urls)
        table = tomllib.loads((self.folder.path / "join" / f"{name}.join").read_text())
        own = self.folder.path.with_name(f"{self.folder.path.name}-{name}")
        own.mkdir(exist_ok=True)
        for part in ("authority", "certificate", "key"):
            (own / part).write_text(table[part])
        return Access(name, self._urls, own / "authority", own / "certificate", own / "key")

    @property
    def _urls(self) -> tuple[str, ...]:
        return (f"tls://127.0.0.1:{self.dial}",)

    def link(self, pace: Pace = QUICK) -> NatsLink:
        """A coordinator's link, which is there."""
        link = NatsLink(self.access("coordinator"), self.names, pace=pace)
        self._open.append(link)
        assert link.wire.wait(20), link.wire.trouble
        return link

    def site(self, name: str, answer: Callable[[bytes], bytes] = bytes, pace: Pace = QUICK) -> SiteThread:
        """A site in a thread."""
        site = SiteThread(self.access(name), Echo(answer), pace)
        self._open.append(site)
        return site

    def close(self) -> None:
        """Take everything down; no thread may be left."""
        for one in reversed(self._open):
            if isinstance(one, NatsLink):
                one.close()
            else:
                one.stop()
        self.broker.close()
