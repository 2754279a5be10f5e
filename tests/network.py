"""A network in this process that loses, repeats, reorders and delays messages, and sites on it that are killed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import unpooled.training.kept  # noqa: F401  # what sites answer and keep of training
from unpooled.sites.agent import Agent
from unpooled.sites.desk import Desk
from unpooled.sites.ledger import Ledger
from unpooled.sites.site import Site
from unpooled.sites.transports.remote import Patience

AT_ONCE = Patience(resend=0.0)
"""What is lost here never comes, so there is nothing to wait for."""


@dataclass(frozen=True)
class Faults:
    """Chances, of each message, to be lost, sent twice, or overtaken; and of a site to be killed around a question."""

    lose: float = 0.0
    repeat: float = 0.0
    overtake: float = 0.0
    kill: float = 0.0


NO_FAULTS = Faults()
MANY_FAULTS = Faults(lose=0.1, repeat=0.2, overtake=0.3, kill=0.05)


class Network:
    """A `Link` to agents that `make` makes of a name, again after each kill. Without faults it is synchronous."""

    def __init__(
        self, names: Iterable[str], make: Callable[[str], Agent], faults: Faults = NO_FAULTS, seed: int = 0
    ) -> None:
        self.names = tuple(names)
        self.agents = {name: make(name) for name in self.names}
        self.away: set[str] = set()
        self.kills = 0
        self.sent: list[tuple[str, bytes]] = []
        self._make, self._faults, self._rng = make, faults, random.Random(seed)
        self._down: list[tuple[str, bytes]] = []
        self._up: list[tuple[str, bytes]] = []

    def send(self, site: str, data: bytes) -> None:
        self.sent.append((site, data))
        self._travel(self._down, site, data)

    def receive(self, timeout: float) -> tuple[str, bytes] | None:
        while self._down and not self._up:
            site, data = self._down.pop(self._next(self._down))
            if site not in self.away:
                self._maybe_kill(site)
                answer = self.agents[site].handle(data)
                if not self._maybe_kill(site):  # an answer of a site that was killed never leaves
                    self._travel(self._up, site, answer)
        return self._up.pop(self._next(self._up)) if self._up else None

    def seen(self) -> Mapping[str, float]:
        return dict.fromkeys(set(self.names) - self.away, 0.0)

    def close(self) -> None:
        for agent in self.agents.values():
            agent.close()

    def restart(self, site: str) -> None:
        """Start a site anew with nothing but what is on its disk."""
        self.agents[site].close()
        self.agents[site] = self._make(site)

    def _maybe_kill(self, site: str) -> bool:
        killed = self._rng.random() < self._faults.kill
        if killed:
            self.kills += 1
            self.restart(site)
        return killed

    def _next(self, waiting: list[tuple[str, bytes]]) -> int:
        return self._rng.randrange(len(waiting)) if self._rng.random() < self._faults.overtake else 0

    def _travel(self, way: list[tuple[str, bytes]], site: str, data: bytes) -> None:
        if self._rng.random() >= self._faults.lose and (site, data) not in way:
            way.append((site, data))
        if self._rng.random() < self._faults.repeat:
            way.append((site, data))


def skewed(seed: str) -> Callable[[], str]:
    """A clock that goes wrong by up to an hour in both directions, anew each time somebody looks at it."""
    rng = random.Random(seed)
    return lambda: (datetime.now(UTC) + timedelta(minutes=rng.uniform(-60, 60))).isoformat(timespec="microseconds")


def agents_of(sites: Iterable[Site], folder: Path) -> Callable[[str], Agent]:
    """Makes the agent of each of these sites, with a desk and a ledger in `folder`; no clock there is right."""
    known = {site.name: site for site in sites}

    def make(name: str) -> Agent:
        site = known[name]
        ledger = Ledger(folder / f"{name}.jsonl", clock=skewed(name))
        held = Site(name, site.train, site.test, site.policy, ledger, dict(site.state))
        return Agent(held, Desk(folder / name))

    return make


def network_of(sites: Iterable[Site], folder: Path, faults: Faults = NO_FAULTS, seed: int = 0) -> Network:
    """A network to these sites."""
    sites = list(sites)
    return Network([site.name for site in sites], agents_of(sites, folder), faults, seed)
