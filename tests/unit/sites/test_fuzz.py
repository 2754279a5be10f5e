"""Real messages, broken in every way that a seeded hand finds: no crash, no hang, no growth of memory or disk."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import numpy as np
import pytest

from tests.cli.calls import write_sites
from tests.contract.test_kinds import MESSAGES
from unpooled.errors import BadRecord
from unpooled.runs.at_site import open_agent
from unpooled.runs.policy_file import parse_policy
from unpooled.sites.agent import Agent
from unpooled.sites.description import Describe
from unpooled.sites.envelope import Envelope, unpack
from unpooled.sites.journal import Journal
from unpooled.sites.ledger import verify
from unpooled.sites.payload import decode, encode
from unpooled.sites.preparation import Prepare
from unpooled.sites.questions import KINDS, Answer, Question
from unpooled.sites.statistics import Categories, Columns, Moments, Split
from unpooled.training.blueprint import Blueprint
from unpooled.training.questions import Begin, Evaluate, Show, Train

DIGITS = b"0123456789"


def broken(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """`data` after one to four of: bits turned, bytes gone, doubled, put in, digits changed, a piece of another one."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = rng.randrange(len(out) + 1)
        span = rng.choice((1, 1, 4, 8, 64))
        how = rng.randrange(8)
        if how == 0 and out:
            out[min(place, len(out) - 1)] ^= 1 << rng.randrange(8)
        elif how == 1:
            del out[place : place + span]
        elif how == 2:
            out[place:place] = out[place : place + span]
        elif how == 3:
            out[place:place] = rng.randbytes(span)
        elif how == 4:
            out[place : place + span] = (
                rng.choice((b"\xff", b"\0", b"[", b'{"a":', b"9", b"\\ud800", b"NaN,", b"1e999,")) * span
            )
        elif how == 5:
            digits = [i for i, byte in enumerate(out) if byte in DIGITS]
            if digits:
                out[rng.choice(digits)] = rng.choice(DIGITS)
        elif how == 6:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            out[place : place + span] = other[start : start + span]
        else:
            del out[place:]
    return bytes(out)


BODIES = [encode(message) for several in MESSAGES.values() for message, _ in several]
BOMBS = [
    b"\xff" * 8 + b"{}",
    (2**40).to_bytes(8, "little") + b"{}",
    *(
        len(head).to_bytes(8, "little") + head + b"\0" * 64
        for head in (
            b'{"a":{"dtype":"F64","shape":[1152921504606846976],"data_offsets":[0,64]}}',
            b'{"a":{"dtype":"F64","shape":[0,9223372036854775807],"data_offsets":[0,0]}}',
            b'{"a":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,0]}}',
            b'{"a":{"dtype":"F64","shape":[-1],"data_offsets":[0,64]}}',
            b'{"a":{"dtype":"BF16","shape":[32],"data_offsets":[0,64]}}',
            b'{"__metadata__":{"message":"' + b"[" * 100_000 + b'"}}',
            b"[" * 100_000,
            b'{"__metadata__":{"message":"{\\"class\\":\\"Rows\\",\\"kind\\":\\"rows\\",\\"plain\\":[]}"}}',
            b'{"__metadata__":{"message":"{\\"class\\":\\"Begin\\",\\"kind\\":\\"begin\\",\\"plain\\":{\\"task\\":\\"\\\\\\\\ud800\\"}}"}}',
            b'{"__metadata__":{"message":"{\\"class\\":\\"Split\\",\\"kind\\":\\"split\\",\\"plain\\":{\\"seed\\":'
            + b"9" * 5000
            + b'}}"}}',
        )
    ),
]


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_in_headers_are_refused(bomb: bytes) -> None:
    for kind in (None, *KINDS.values()):
        with pytest.raises(BadRecord):
            decode(bomb, answer_to=kind)


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 4000,
        b'{"run":"r","site":"a","number":' + b"9" * 3900 + b',"kind":"rows","round":null,"asker":"c"}',
        b'{"run":"r","site":"a","number":9223372036854775808,"kind":"rows","round":null,"asker":"c"}',
        b'{"run":"r","site":"a","number":1,"kind":"rows","round":-1,"asker":"c"}',
        b'{"run":"\\ud800","site":"a","number":1,"kind":"rows","round":null,"asker":"c"}',
        b'{"run":"r","site":"a","number":true,"kind":"rows","round":null,"asker":"c"}',
        b'{"run":"r","site":"a","number":1.0,"kind":"rows","round":null,"asker":"c"}',
        b'{"run":"r","site":"a","number":NaN,"kind":"rows","round":null,"asker":"c"}',
        b'{"run":"r"}',
    ],
)
def test_envelopes_that_are_none_are_refused(header: bytes) -> None:
    with pytest.raises(BadRecord):
        unpack(b"UNPOOLED1\n" + len(header).to_bytes(4, "little") + header)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """A site with a table, the careful policy, and few rows allowed."""
    write_sites(tmp_path / "sites")
    source = tmp_path / "sites" / "clinic-0.csv"
    limits = {"steps": 3, "parameters": 10_000}
    agent = open_agent("a", source, tmp_path / "a", parse_policy({"min_samples": 1, "limits": limits}))
    yield agent
    agent.close()


def questions() -> list[Question]:
    """What a coordinator would ask of such a site, up to a model in training."""
    plan = Blueprint({"kind": "mlp", "hidden": [3]}, (2,), 2, "cross_entropy", 0.1, 0)
    made = plan.recipe("reference")
    row = np.zeros(made.parameters, dtype=np.float32)
    numbers = (("age", "number", (), 55.0, 5.0), ("pressure", "number", (), 120.0, 5.0))
    return [
        Columns(),
        Split(target=("y", "", ""), stratify=True, test_fraction=0.3),
        Categories(columns=(("y", "", ""),), limit=9),
        Moments(columns=("age", "pressure")),
        Prepare(columns=numbers, target=("y", "", ""), classes=("ill", "well"), shape=(2,)),
        Describe(),
        Begin(task=made.describe()),
        Train(step=0, steps=2, row=row, layers=None, send=True, send_layers=None),
        Evaluate(row=None),
        Show(),
    ]


class Fuzzer:
    """Feeds broken messages to the parsers, and two of ten to an agent, which was asked real questions before."""

    def __init__(self, agent: Agent, folder: Path) -> None:
        self.agent, self.folder, self.rng = agent, folder, random.Random(0)
        self.told = {"answered": 0, "failed": 0}
        self.packed: list[bytes] = []
        for number, question in enumerate(questions()):
            asked = asking(number, question)
            answer = decode(unpack(agent.handle(asked.pack())).body, answer_to=type(question))
            assert type(answer) is question.answer, answer  # unbroken, each is answered
            self.packed += [asked.pack(), asking(number + 1000, question).pack()]
        self.answers = {number: self.rng.choice(BODIES) for number in range(20)}
        with closing(Journal(folder / "journal")) as journal:
            for number, body in self.answers.items():
                journal.keep("a", number, b"question", body)
        self.journal = (folder / "journal").read_bytes()

    def go(self, cases: int) -> None:
        """So many cases."""
        for case in range(cases):
            part = case % 10
            with suppress(BadRecord):  # the one error that parsers may raise
                if part < 5:
                    kind = self.rng.choice((None, *KINDS.values()))
                    found = decode(broken(self.rng.choice(BODIES), self.rng, BODIES), answer_to=kind)
                    assert isinstance(found, (Question, Answer))
                elif part < 8:
                    envelope = unpack(broken(self.rng.choice(self.packed), self.rng, BODIES))
                    assert unpack(envelope.pack()) == envelope
                elif case % 50 == 49:
                    self.read_journal(broken(self.journal, self.rng, [self.journal]))
                else:
                    self.ask(self.rng.choice(self.packed))

    def ask(self, data: bytes) -> None:
        """Break a question, more often in its body, and put it."""
        head = 14 + int.from_bytes(data[10:14], "little")
        anywhere = self.rng.random() < 0.3
        data = broken(data, self.rng, self.packed) if anywhere else data[:head] + broken(data[head:], self.rng, BODIES)
        failed = b'{\\"class\\": \\"Failure\\"' in unpack(self.agent.handle(data)).body
        self.told["failed" if failed else "answered"] += 1

    def read_journal(self, data: bytes) -> None:
        """A journal that was tampered with is refused or forgets, and never tells another answer."""
        (self.folder / "journal").write_bytes(data)
        with closing(Journal(self.folder / "journal")) as journal:
            for number, answer in self.answers.items():
                assert journal.answer("a", number, b"question") in (answer, None)


def asking(number: int, question: Question) -> Envelope:
    body = encode(question)
    return Envelope(run="r", site="a", number=number, kind=question.kind, round=None, asker="coordinator", body=body)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("cases", [20_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_broken_messages_harm_nothing(agent: Agent, tmp_path: Path, cases: int) -> None:
    logging.disable(logging.CRITICAL)  # a line a refusal, and they are many
    fuzzer = Fuzzer(agent, tmp_path)
    try:
        fuzzer.go(cases // 2)
        disk, memory = size_of(tmp_path / "a"), getrusage(RUSAGE_SELF).ru_maxrss
        fuzzer.go(cases // 2)
    finally:
        logging.disable(logging.NOTSET)
    assert sum(fuzzer.told.values()) >= cases * 0.17
    assert fuzzer.told["failed"] > fuzzer.told["answered"] > 0
    assert getrusage(RUSAGE_SELF).ru_maxrss < memory + 30_000  # kB; the first half has warmed up what is kept
    assert size_of(tmp_path / "a") < disk + cases * 200  # ledger lines of what is still a question, and nothing else
    assert verify(tmp_path / "a" / "ledger.jsonl") > 10
    for number, question in enumerate(questions()):  # and the site works as before
        answer = unpack(agent.handle(replace(asking(number, question), run="next").pack()))
        assert type(decode(answer.body, answer_to=type(question))) is question.answer
