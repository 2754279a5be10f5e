"""A coordinator in a process of its own, whose sites are at the other end of its standard input and output.

Arguments: the sites' names with commas between, the local steps, and whether hops are sealed ("sealed" or "open").
Frames are a name, its length before it, and a packed envelope, its length before it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import IO

from tests.contract.federations import net
from unpooled.sites.transports.remote import Remote
from unpooled.training.coordinator import Coordinator
from unpooled.training.protocols import FedDC
from unpooled.training.recipe import Recipe, recipe
from unpooled.training.sealed.exchange import sealed
from unpooled.training.train import initialised

PROTOCOL = FedDC(1, 4)


def recipe_of(seal: bool) -> Recipe:
    """The recipe that coordinator and sites have installed."""
    return recipe(initialised(net, 0), lr=0.1, executor="reference", sealed_hops=seal)


def write_frame(stream: IO[bytes], site: str, data: bytes) -> None:
    for part in (site.encode(), data):
        stream.write(len(part).to_bytes(8, "little") + part)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[str, bytes] | None:
    parts = []
    for _ in range(2):
        length = stream.read(8)
        if len(length) < 8:
            return None
        parts.append(stream.read(int.from_bytes(length, "little")))
    return parts[0].decode(), parts[1]


class Pipes:
    """A link over this process's own standard input and output."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def send(self, site: str, data: bytes) -> None:
        write_frame(sys.stdout.buffer, site, data)

    def receive(self, timeout: float) -> tuple[str, bytes] | None:
        return read_frame(sys.stdin.buffer)

    def seen(self) -> Mapping[str, float]:
        return {}

    def close(self) -> None: ...


def main(names: str, steps: str, how: str) -> None:
    exchange = PROTOCOL.exchange()
    federation = Remote(Pipes(names.split(",")), "run")
    seal = how == "sealed"
    coordinator = Coordinator(
        federation, recipe_of(seal), sealed(exchange) if seal else exchange, steps=int(steps), look_every=int(steps)
    )
    while not coordinator.done:
        coordinator.local_phase()
        coordinator.exchange_models()
    coordinator.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
