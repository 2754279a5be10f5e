"""Kills, full disks, replays: a site loses nothing, does nothing twice, and says so when it can do nothing."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests import hosted
from tests.conftest import ROOT
from tests.contract.federations import sites
from tests.network import AT_ONCE, Network, network_of
from unpooled.sites import keeping, questions
from unpooled.sites.agent import UNABLE, Agent
from unpooled.sites.description import Describe, DescribeAnswer
from unpooled.sites.desk import Desk
from unpooled.sites.envelope import Envelope, unpack
from unpooled.sites.ledger import Ledger, read, verify
from unpooled.sites.payload import decode, encode
from unpooled.sites.questions import Failure
from unpooled.sites.site import Site
from unpooled.sites.transports.remote import Patience, Remote

STEPS, KILLS = 60, 6


@pytest.fixture
def kind() -> Iterator[None]:
    """The question of the hosted site exists here too."""
    hosted.answer_kind()
    yield
    del questions.KINDS["walk"], questions._HANDLERS[hosted.Walk], keeping.PARTS["walk"]


class Hosted:
    """The process of a site."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, str(ROOT / "tests" / "hosted.py"), str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.read() == b"ready"

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        hosted.write_frame(self.process.stdin, data)

    def read(self) -> bytes | None:
        assert self.process.stdout is not None
        return hosted.read_frame(self.process.stdout)

    def kill(self) -> None:
        """As `kill -9` does."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()


def asking(number: int, run: str = "run") -> Envelope:
    body = encode(hosted.Walk(step=float(number)))
    return Envelope(run=run, site="a", number=number, kind="walk", round=number, asker="coordinator", body=body)


def test_a_site_killed_at_any_moment_goes_on_where_it_was(tmp_path: Path, kind: None) -> None:
    rng = random.Random(time.time_ns())  # another moment each time; the result must not depend on it
    kills = set(rng.sample(range(STEPS), KILLS))
    site, row = Hosted(tmp_path), np.zeros(hosted.NUMBERS)
    took = 0.01
    for number in range(STEPS):
        row = hosted.step(row, float(number))
        begun = time.perf_counter()
        site.send(asking(number).pack())
        if number in kills:
            time.sleep(rng.uniform(0, 1.5 * took))
            site.kill()
            site = Hosted(tmp_path)
            site.send(asking(number).pack())
        answer = site.read()
        took = time.perf_counter() - begun if number not in kills else took
        assert answer is not None
        assert unpack(answer) == asking(number).answered(encode(hosted.Walked(row=row)))
    site.kill()
    entries = list(read(tmp_path / "ledger.jsonl"))
    assert verify(tmp_path / "ledger.jsonl") == len(entries)
    assert [entry["number"] for entry in entries if entry["kind"] != "recovered"] == list(range(STEPS))
    slots = sum(path.stat().st_size for path in (tmp_path / "desk" / "slots").iterdir())
    assert slots <= 5 * (
        row.nbytes + 1000
    )  # three answers beside the state that holds the newest, and one being written


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 5 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=5m", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("A small disk can be made by root only, where mounting is allowed.")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_a_clean_answer_and_nothing_half_written(small_disk: Path, kind: None) -> None:
    agent, row = hosted.open_site(small_disk), np.zeros(hosted.NUMBERS)
    refusals = 0
    for number in range(12):
        row = hosted.step(row, float(number))
        filler = small_disk / "filler"
        if number % 2:
            with suppress(OSError), filler.open("wb", buffering=0) as file:  # to the last byte, or nearly so
                while file.write(b"x" * (4096 if number % 4 == 1 else 65536)):
                    pass
            word = unpack(agent.handle(asking(number).pack()))
            if word.kind == UNABLE:
                refusals += 1
                told = decode(word.body, answer_to=hosted.Walk)
                assert isinstance(told, Failure)
                assert told.code in ("DeskFailed", "OSError")
            filler.unlink()
        answer = unpack(agent.handle(asking(number).pack()))
        assert answer == asking(number).answered(encode(hosted.Walked(row=row)))
        if number % 3 == 0:
            agent.close()
            agent = hosted.open_site(small_disk)
    agent.close()
    assert refusals >= 3
    entries = list(read(small_disk / "ledger.jsonl"))
    assert [entry["number"] for entry in entries] == list(range(12))
    assert verify(small_disk / "ledger.jsonl") == 12


def full(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """The desk of this agent has no room any more."""

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(agent.desk, "_write", refuse)


def test_a_run_waits_for_a_site_whose_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(sites([3, 4]), tmp_path)
    waited: list[tuple[str, ...]] = []
    remote = Remote(network, "run", patience=Patience(resend=0.05), watch=lambda waiting: mend(waiting.missing))

    def mend(missing: tuple[str, ...]) -> None:
        waited.append(missing)
        monkeypatch.undo()

    full(network.agents["b"], monkeypatch)
    answers = remote.ask({"a": Describe(), "b": Describe()})
    assert [type(answer) for answer in answers.values()] == [DescribeAnswer, DescribeAnswer]
    assert waited == [("b",)]
    network.close()


def test_a_run_goes_on_without_a_site_whose_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(sites([3, 4, 5]), tmp_path)
    remote = Remote(network, "run", patience=Patience(resend=0.05, deadline=0.2, at_least=2))
    question = dict.fromkeys(network.names, Describe())
    remote.ask(question)
    remote.begun()
    full(network.agents["b"], monkeypatch)
    answers: Mapping[str, object] = remote.ask(question)
    assert isinstance(answers["b"], Failure)
    assert answers["b"].code == "Absent"
    assert [type(answers[name]) for name in ("a", "c")] == [DescribeAnswer, DescribeAnswer]
    assert [line["number"] for line in read(tmp_path / "b.jsonl")] == [0]
    monkeypatch.undo()
    network.close()


class Replaying(Network):
    """Before each true answer, all answers that the site ever gave come once more."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.heard: list[tuple[str, bytes]] = []

    def receive(self, timeout: float) -> tuple[str, bytes] | None:
        arrival = super().receive(timeout)
        if arrival is not None and arrival not in self.heard:
            self._up[:0] = [*self.heard, arrival]
            self.heard.append(arrival)
            return self._up.pop(0)
        return arrival


def test_a_replayed_answer_answers_nothing(tmp_path: Path, kind: None) -> None:
    def make(name: str) -> Agent:
        return Agent(Site(name, ledger=Ledger(tmp_path / f"{name}.jsonl")), Desk(tmp_path / name))

    network = Replaying(["a", "b"], make)
    remote, row = Remote(network, "run", patience=AT_ONCE), np.zeros(hosted.NUMBERS)
    for number in range(6):
        row = hosted.step(row, 1.0)  # the same question each time: only its number tells old answers from new ones
        answers = remote.ask(dict.fromkeys(network.names, hosted.Walk(step=1.0)), round=number)
        for answer in answers.values():
            assert isinstance(answer, hosted.Walked)
            assert np.array_equal(answer.row, row)
    assert len(network.heard) == 12
    network.close()
