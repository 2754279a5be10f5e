"""Sites on other machines: a federation over any link, exactly once, resumable, with a word for who is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import inf
from typing import Any

from unpooled.errors import BadRecord, BadSetting, not_negative, positive
from unpooled.sites.envelope import Envelope, unpack
from unpooled.sites.journal import Journal
from unpooled.sites.payload import Stacked, decode, encode, size
from unpooled.sites.questions import ABSENT, Answer, Failure, Question
from unpooled.sites.schema import Schema
from unpooled.sites.traffic import Traffic
from unpooled.sites.transports.link import Link


@dataclass(frozen=True)
class Patience:
    """How long a coordinator waits, in seconds.

    A question without an answer is sent again after `resend`. Without `at_least` the coordinator waits for every site,
    however long. With it, once `deadline` has passed, the run goes on if at most that many sites are missing that
    `at_least` of all are left; who was missing is not waited for again before it is heard of. While a run is set up all
    sites are needed.
    """

    resend: float = 20.0
    deadline: float | None = None
    at_least: int | None = None

    def __post_init__(self) -> None:
        not_negative(resend=self.resend)
        if (self.deadline is None) != (self.at_least is None):
            raise BadSetting(
                "deadline and at_least belong together: after the deadline the run goes on with at least so many sites."
            )
        if self.at_least is not None:
            positive(at_least=self.at_least)
        if self.deadline is not None and self.deadline <= 0:
            raise BadSetting(f"deadline must be a number of seconds above 0, got {self.deadline!r}.")


@dataclass(frozen=True)
class Waiting:
    """What a coordinator is waiting for: the kind of question, who has not answered, and for how long, in seconds."""

    kind: str
    round: int | None
    missing: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Received:
    """One answer as it came: its question, its size as payload, and the SHA-256 of its encoded bytes."""

    site: str
    number: int
    kind: str
    round: int | None
    answer: str
    bytes: int
    sha256: str


class Remote:
    """A federation over `link`, in one `run`. Every question has a number, which `state` keeps.

    Sites are in the order of their names, as those of a folder are in a simulation, whoever was admitted first.

    `watch` is called about once a second while sites are waited for, `heard` once for each new answer. Raises
    `BadRecord` where a site sends what cannot be read as an answer to its question.
    """

    def __init__(
        self,
        link: Link,
        run: str,
        *,
        asker: str = "coordinator",
        patience: Patience | None = None,
        journal: Journal | None = None,
        watch: Callable[[Waiting], None] | None = None,
        heard: Callable[[Received], None] | None = None,
    ) -> None:
        self.link, self.run, self.asker = link, run, asker
        self.names = tuple(sorted(link.names))
        self.patience, self.journal = patience or Patience(), journal
        self.traffic = Traffic(self.names)
        self.schema: Schema | None = None
        self.wire = {"sent": 0, "received": 0}
        self._silent: dict[str, float] = {}
        self._strict = True
        self._index = {name: i for i, name in enumerate(self.names)}
        self._numbers = dict.fromkeys(self.names, 0)
        self._watch, self._heard = watch, heard
        needed = self.patience.at_least
        if needed is not None and needed > len(self.names):
            raise BadSetting(f"at_least = {needed}, but only {len(self.names)} sites were admitted.")

    def ask(
        self, questions: Mapping[str, Question], *, deadline: float | None = None, round: int | None = None
    ) -> Mapping[str, Answer]:
        """Answers of all sites asked, in the order of `questions`; who is absent answers a `Failure` of that code."""
        named = dict(questions.messages()) if isinstance(questions, Stacked) else dict(questions)
        asked = {name: self._envelope(name, question, round) for name, question in named.items()}
        told = {name: _read(name, named[name], body) for name, body in self._known(asked).items()}
        self._wait_for(asked, named, told, deadline)
        if self.journal is not None:
            self.journal.commit()
        for name in asked:
            self._numbers[name] += 1
        answers = {name: told[name] for name in asked}
        for name, answer in answers.items():
            if not _is_absent(answer):
                self.traffic.count(named[name].kind, self._index[name], down=size(named[name]), up=size(answer))
        return answers

    def begun(self) -> None:
        """All sites are ready: what they answered until now is needed again whenever the run is taken up.

        From here on sites may be missing.
        """
        self._strict = False
        if self.journal is not None:
            self.journal.pin()

    def saved(self) -> None:
        """A checkpoint is on disk: the answers since the last one are not needed any more."""
        if self.journal is not None:
            self.journal.restart()

    def close(self) -> None:
        """Let go of the journal; the link belongs to whoever made it."""
        if self.journal is not None:
            self.journal.close()

    def state(self) -> dict[str, Any]:
        """For a checkpoint: the numbers of the next questions."""
        return {"numbers": dict(self._numbers), "wire": dict(self.wire)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        self._numbers, self.wire = dict(state["numbers"]), dict(state["wire"])

    def _envelope(self, name: str, question: Question, round: int | None) -> Envelope:
        return Envelope(
            run=self.run,
            site=name,
            number=self._numbers[name],
            kind=question.kind,
            round=round,
            asker=self.asker,
            body=encode(question),
        )

    def _known(self, asked: Mapping[str, Envelope]) -> dict[str, bytes]:
        """What the journal answers."""
        if self.journal is None:
            return {}
        known = {name: self.journal.answer(name, e.number, e.body) for name, e in asked.items()}
        return {name: body for name, body in known.items() if body is not None}

    def _wait_for(
        self,
        asked: Mapping[str, Envelope],
        questions: Mapping[str, Question],
        told: dict[str, Answer],
        deadline: float | None,
    ) -> None:
        """Ask those of whom nothing is `told` yet, and fill in what they tell."""
        missing = [name for name in asked if name not in told]
        for name in missing:
            self._send(asked[name])
        began = watched = time.monotonic()
        sent = dict.fromkeys(missing, began)
        while missing:
            arrival = self.link.receive(self._interval(deadline))
            for name, body in self._arrived(asked, arrival):
                answer = self._kept(asked[name], questions[name], body) if name in missing else None
                if answer is not None:
                    missing.remove(name)
                    told[name] = answer
                    self._silent.pop(name, None)
            now = time.monotonic()
            if arrival is None and self._enough(missing, now - began, deadline):
                for name in missing:
                    told[name] = Failure(code=ABSENT, reason=f"it did not answer in {now - began:.0f} s.")
                    self._silent.setdefault(name, began)
                    self._keep(asked[name], encode(told[name]))
                return
            for name in missing:
                if now - sent[name] >= self.patience.resend:
                    self._send(asked[name])
                    sent[name] = now
            if missing and self._watch is not None and now - watched >= 1.0:
                first = asked[missing[0]]
                self._watch(Waiting(first.kind, first.round, tuple(missing), now - began))
                watched = now

    def _interval(self, deadline: float | None) -> float:
        """Seconds to wait for one answer before looking at the clock again."""
        limits = (self.patience.resend, self.patience.deadline, deadline, 1.0 if self._watch else None)
        return max(0.01, min(limit for limit in limits if limit is not None))

    def _enough(self, missing: list[str], seconds: float, deadline: float | None) -> bool:
        """Whether to go on without these sites."""
        at_least, limit = self.patience.at_least, self.patience.deadline if deadline is None else deadline
        if at_least is None or self._strict or limit is None or len(self.names) - len(missing) < at_least:
            return False
        return seconds >= limit or all(self._still_silent(name) for name in missing)

    def _still_silent(self, name: str) -> bool:
        """Whether a site that missed a question has not been heard of since."""
        since = self._silent.get(name)
        return since is not None and self.link.seen().get(name, inf) > time.monotonic() - since

    def _arrived(self, asked: Mapping[str, Envelope], arrival: tuple[str, bytes] | None) -> Iterator[tuple[str, bytes]]:
        """Answers to these questions, one or none; whatever else arrives was answered before and is dropped."""
        if arrival is None:
            return
        site, data = arrival
        self.wire["received"] += len(data)
        try:
            envelope = unpack(data)
        except BadRecord:
            return  # a site that was tampered with must not end the run of the others; its question stays open
        expected = asked.get(site)
        if expected is not None and expected.answered(envelope.body) == envelope:
            yield site, envelope.body

    def _send(self, envelope: Envelope) -> None:
        data = envelope.pack()
        self.link.send(envelope.site, data)
        self.wire["sent"] += len(data)

    def _kept(self, envelope: Envelope, question: Question, body: bytes) -> Answer | None:
        """The answer, once it is kept. Where sites may be missing, None for one that cannot be read.

        A failure that stops the run is not kept: once its cause is mended, the site is asked again.
        """
        strict = self.patience.at_least is None or self._strict
        try:
            answer = _read(envelope.site, question, body)
        except BadRecord:
            if strict:
                raise
            return None
        if not (strict and isinstance(answer, Failure)):
            self._keep(envelope, body)
        if self._heard is not None:
            where = (envelope.site, envelope.number, envelope.kind, envelope.round)
            self._heard(Received(*where, type(answer).__name__, size(answer), sha256(body).hexdigest()))
        return answer

    def _keep(self, envelope: Envelope, body: bytes) -> None:
        if self.journal is not None:
            self.journal.keep(envelope.site, envelope.number, envelope.body, body)


def _read(name: str, question: Question, body: bytes) -> Answer:
    try:
        answer = decode(body, answer_to=type(question))
    except BadRecord as error:
        raise BadRecord(f"Site '{name}' sent what is no answer to '{question.kind}': {error}") from error
    assert isinstance(answer, Answer)
    return answer


def _is_absent(answer: Answer) -> bool:
    return isinstance(answer, Failure) and answer.code == ABSENT
