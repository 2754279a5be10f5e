"""The coordinator's process never holds a model that hops sealed: its memory and its pipes are searched for it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from tests.contract.federations import OneByOne, sites, train
from tests.oracle.coordinator_process import PROTOCOL, read_frame, recipe_of, write_frame
from unpooled.sites.envelope import unpack
from unpooled.sites.payload import decode, encode
from unpooled.sites.questions import Question
from unpooled.sites.sealing import STATE, strangers
from unpooled.sites.site import Site
from unpooled.training.questions import install
from unpooled.training.sealed.questions import SealedTrain, SealedTrained

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/mem").exists(), reason="reads the memory of a process as Linux does"
)

ROOT = Path(__file__).parents[2]
SIZES, STEPS = [4, 6, 5], 6
"""Under FedDC(1, 4): hops after steps 1, 2, 3 and 5, averages after 4 and 6."""


def memory_of(process: int) -> list[bytes]:
    """Everything that the process may write to: heap, stacks, and all that libraries keep."""
    found = []
    with Path(f"/proc/{process}/maps").open() as maps, Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            span, rights, *rest = line.split()
            if rights.startswith("rw") and not rest[-1].startswith("[v"):
                start, stop = (int(end, 16) for end in span.split("-"))
                memory.seek(start)
                try:
                    found.append(memory.read(stop - start))
                except OSError:
                    continue  # a page that was promised and is not there
    return found


@dataclass
class Seen:
    """Models by what became of them, what crossed the pipes, and what was found in the coordinator's memory.

    A stretch of 16 bytes is looked for of each model: two such numbers of 64 bits do not meet by chance. Of letters and
    averaged models a few are enough to tell that the search finds what is there.
    """

    hopped: list[bytes] = field(default_factory=list)
    averaged: list[bytes] = field(default_factory=list)
    letters: list[bytes] = field(default_factory=list)
    wire: bytearray = field(default_factory=bytearray)
    found: dict[str, int] = field(default_factory=lambda: {"hopped": 0, "averaged": 0, "letters": 0})

    def search(self, process: int) -> None:
        memory = memory_of(process)
        assert sum(map(len, memory)) > 2**20
        for kind in self.found:
            known = getattr(self, kind) if kind == "hopped" else getattr(self, kind)[-2:]
            self.found[kind] += sum(any(model[120:136] in region for region in memory) for model in known)


def watched_run(members: list[Site], how: str) -> Seen:
    """A run whose coordinator is another process; it is searched while it waits for answers: when letters of three
    hops have passed, after the averaging that follows, and when all is done but the last delivery."""
    by_name = {site.name: site for site in members}
    seen = Seen()
    words = [sys.executable, "-m", "tests.oracle.coordinator_process", ",".join(by_name), str(STEPS), how]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=environment
    ) as coordinator:
        assert coordinator.stdin is not None
        assert coordinator.stdout is not None
        for turn in count(1):
            asked = _turn(coordinator.stdout, len(members))
            if not asked:
                break
            if turn in (5, 6, 8):
                seen.search(coordinator.pid)
            for name, data in asked:
                seen.wire += data
                answer = _answer(by_name[name], data, seen)
                seen.wire += answer
                write_frame(coordinator.stdin, name, answer)
        coordinator.stdin.close()
        assert coordinator.wait() == 0
    return seen


def _turn(stream: IO[bytes], members: int) -> list[tuple[str, bytes]]:
    """One question for each site; none at the end."""
    frames = [read_frame(stream) for _ in range(members)]
    return [frame for frame in frames if frame is not None]


def _answer(site: Site, data: bytes, seen: Seen) -> bytes:
    """What a site's agent does, and a note of the model that the site now has."""
    envelope = unpack(data)
    question = decode(envelope.body)
    assert isinstance(question, Question)
    answer = site.answer(question, round=envelope.round)
    if isinstance(answer, SealedTrained) and answer.letter is not None:
        seen.letters.append(answer.letter.tobytes())
    if isinstance(question, SealedTrain) or question.kind == "train":
        executor, seat = site.state["seat"]
        model = executor.models(np.array([seat]))[0].tobytes()
        hopping = getattr(question, "step", 0) + 1 in (1, 2, 3, 5)
        (seen.hopped if hopping else seen.averaged).append(model)
    return envelope.answered(encode(answer)).pack()


def _installed(how: str) -> list[Site]:
    members = sites(SIZES)
    install(members, recipe_of(how == "sealed"))
    if how == "sealed":
        keys = strangers(site.name for site in members)
        for site in members:
            site.state[STATE] = keys[site.name]
    return members


def test_the_coordinator_process_never_holds_a_model_that_hops() -> None:
    members = _installed("sealed")
    seen = watched_run(members, "sealed")
    assert len(seen.hopped) == 4 * len(members)
    assert seen.found["hopped"] == 0
    assert not any(model[at : at + 8] in seen.wire for model in seen.hopped for at in range(0, len(model), 8))
    assert seen.found["letters"] > 0, "the search finds what the coordinator relays"
    assert seen.found["averaged"] > 0, "and what it averages"

    singly = train(OneByOne.of(sites(SIZES)), PROTOCOL, steps=STEPS, executor="reference", lr=0.1)
    models = [site.state["seat"][0].models(np.array([0]))[0] for site in members]
    assert np.array_equal(np.stack(models), singly.rows)  # type: ignore[arg-type]


def test_the_same_search_finds_models_that_hop_in_the_open() -> None:
    """Or the test above could not fail."""
    seen = watched_run(_installed("open"), "open")
    assert seen.found["hopped"] > 0
    assert any(model in seen.wire for model in seen.hopped)
