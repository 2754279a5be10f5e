"""A site in a process of its own, behind a pipe, to be killed: `python tests/hosted.py FOLDER`.

Its one question steps a walk of 50 000 numbers, which is both its state and its answer. No torch: it starts quickly.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from unpooled.sites.agent import Agent
from unpooled.sites.containers import pack, unpack
from unpooled.sites.desk import Desk
from unpooled.sites.keeping import saved
from unpooled.sites.ledger import Ledger
from unpooled.sites.questions import Answer, Question, handles
from unpooled.sites.site import Site

NUMBERS = 50_000


@dataclass(frozen=True, kw_only=True)
class Walked(Answer):
    """Where the walk is."""

    row: np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class Walk(Question):
    """Take one step."""

    kind: ClassVar[str] = "walk"
    tells: ClassVar[str] = "Where the walk is."
    answer: ClassVar[type[Answer]] = Walked
    step: float


def step(row: np.ndarray[Any, np.dtype[Any]], by: float) -> np.ndarray[Any, np.dtype[Any]]:
    """The next place: it depends on every step before."""
    return np.asarray(np.sin(3.0 * row + by + np.arange(NUMBERS)))


def walk(site: Site, question: Walk) -> Walked:
    """One step from where the state is."""
    site.state["walk"] = step(site.state.get("walk", np.zeros(NUMBERS)), question.step)
    return Walked(row=site.state["walk"])


def answer_kind() -> None:
    """Have the question, with its handler and its part of the state."""
    handles(Walk)(walk)
    saved(
        "walk",
        after=(Walk,),
        save=lambda site: pack(site.state["walk"]),
        restore=lambda site, data: site.state.update(walk=unpack(data)),
    )


def read_frame(pipe: BinaryIO) -> bytes | None:
    """One message; None where the pipe ended."""
    size = pipe.read(8)
    data = pipe.read(int.from_bytes(size, "little")) if len(size) == 8 else b""
    return data if data else None


def write_frame(pipe: BinaryIO, data: bytes) -> None:
    """One message."""
    pipe.write(len(data).to_bytes(8, "little") + data)
    pipe.flush()


def open_site(folder: Path) -> Agent:
    """The site with its desk and ledger in `folder`."""
    return Agent(Site("a", ledger=Ledger(folder / "ledger.jsonl")), Desk(folder / "desk"))


def main() -> None:
    """Answer until the pipe ends."""
    answer_kind()
    agent = open_site(Path(sys.argv[1]))
    write_frame(sys.stdout.buffer, b"ready")
    while (data := read_frame(sys.stdin.buffer)) is not None:
        write_frame(sys.stdout.buffer, agent.handle(data))


if __name__ == "__main__":
    main()
