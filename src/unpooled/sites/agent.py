"""The site's end of every network: bytes of a question in, bytes of its answer out, whatever those bytes are.

A question passes, in this order: its size, its envelope, who asks, whether it was answered before (then that answer is
given again), the policy, decoding, and the site's door (policy, handler). What it did is brought to the desk in one
transaction, then to the ledger, and only then does the answer leave. Where a question fails, the site is put back to
where it was, nothing of it is kept, and it may be asked again once its cause is gone.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import replace
from threading import Lock
from typing import Any

from unpooled.errors import BadRecord, SiteFailed, UnpooledError
from unpooled.seeds import Streams
from unpooled.sites.desk import Desk, DeskFailed, Work
from unpooled.sites.envelope import HEAD, Envelope, unpack
from unpooled.sites.keeping import AGAIN, PARTS
from unpooled.sites.payload import decode, encode
from unpooled.sites.policy import Usage
from unpooled.sites.questions import KINDS, Answer, Failure, Question, failure_from, handler_of
from unpooled.sites.refusals import Refusals
from unpooled.sites.site import Site

UNABLE = "unable"
"""The kind of an envelope that answers nothing: the site cannot write down what it does, and did not do it. A
coordinator goes on waiting, and asks again."""
LINES, SENT = "ledger lines", "sent"
"""Names of facts on the desk: the newest lines that the ledger must hold, and the bytes of a day."""
LINES_A_SYNC = 16
"""Lines of the ledger that are brought to its disk together; until then, the desk's disk has them."""
log = logging.getLogger(__name__)


class Agent:
    """Answers for `site`, whose policy and ledger guard what leaves; `desk` is where its work lasts.

    The site given here stays as it is: each run works on a copy of its own, with its own state, and the `at_hand` runs
    heard of last are kept in memory. Raises `BadRecord` where ledger and desk do not belong together.
    """

    def __init__(self, site: Site, desk: Desk, *, at_hand: int = 4) -> None:
        self.site, self.desk = site, desk
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._at_hand, self._lock, self._refusals = at_hand, Lock(), Refusals()
        day, sent = desk.fact(SENT) or ("", 0)
        self._usage = Usage(day=day, bytes=sent, today=site.usage.today)
        self._lines: list[dict[str, Any]] = desk.fact(LINES) or []
        self._written = len(self._lines)
        if site.ledger is not None:
            site.ledger.settle(self._lines)

    def handle(self, data: bytes) -> bytes:
        """The packed answer to a packed question. Whatever `data` holds, this returns; nothing is raised."""
        with self._lock:
            most = self.site.policy.question_bytes
            too_long = most is not None and len(data) > most
            try:
                envelope = unpack(data[:HEAD] if too_long else data)
            except BadRecord as error:
                envelope = Envelope(run="", site=self.site.name, number=0, kind="", round=None, asker="", body=b"")
                return self._guarded(envelope, Failure(code="BadRecord", reason=str(error)))
            if too_long:
                reason = f"the question has {len(data)} bytes, and the policy allows at most {most}."
                return self._guarded(envelope, Failure(code="Refused", reason=reason))
            return self._guarded(envelope, self._stranger(envelope))

    def close(self) -> None:
        """Let go of the desk."""
        with self._lock:
            self.desk.close()

    def _stranger(self, envelope: Envelope) -> Failure | None:
        """Why nothing at all is told to who asks."""
        askers = self.site.policy.askers
        if envelope.site != self.site.name:
            return Failure(code="Refused", reason=f"this is site '{self.site.name}', and the question is for another.")
        if askers is not None and envelope.asker not in askers:
            return Failure(code="Refused", reason="the policy does not allow this asker.")
        return None

    def _guarded(self, envelope: Envelope, refused: Failure | None) -> bytes:
        """The answer, or word that the site can do nothing now."""
        try:
            self._write_ledger()
            if refused is not None:
                return self._refuse(envelope, refused, "unread").pack()
            return self._answered(envelope).pack()
        except (DeskFailed, OSError, MemoryError) as error:
            self._runs.pop(envelope.run, None)
            log.error("site %s can do nothing now: %s", self.site.name, error)
            reason = str(error) if isinstance(error, DeskFailed) else f"the site has a {type(error).__name__}."
            return replace(envelope, kind=UNABLE, body=encode(Failure(code=type(error).__name__, reason=reason))).pack()

    def _answered(self, envelope: Envelope) -> Envelope:
        try:
            known = self.desk.answer(envelope.run, envelope.number, envelope.body)
        except DeskFailed:
            raise
        except SiteFailed as late:  # repeats are how networks are: no line for them, as for those that are answered
            log.info("site %s: %s", self.site.name, late)
            return envelope.answered(encode(failure_from(late)))
        except BadRecord as error:
            return self._refuse(envelope, failure_from(error), "known")
        if known is not None:
            return envelope.answered(known)
        kind = KINDS.get(envelope.kind)
        if kind is None:
            return self._refuse(
                envelope, Failure(code="BadRecord", reason="there is no such kind of question."), "kind"
            )
        refusal = self.site.policy.refusal(kind, None)
        if refusal is not None:
            return self._refuse(envelope, Failure(code="Refused", reason=refusal), kind.kind)
        try:
            question = decode(envelope.body)
            if not isinstance(question, kind):
                raise BadRecord("the envelope names another kind than the question in it.")
        except BadRecord as error:
            return self._refuse(envelope, failure_from(error), "unread")
        return self._work(envelope, question)

    def _work(self, envelope: Envelope, question: Question) -> Envelope:
        """Ask the site, and make what it did last."""
        run: _Run | None = None
        try:
            run = self._run(envelope.run)
            answer = run.site.reply(question)
            parts = {} if isinstance(answer, Failure) else run.changed(question.kind)
            body = encode(answer)
        except (DeskFailed, MemoryError):
            raise
        except UnpooledError as error:
            answer = failure_from(error)
        except Exception as error:
            log.exception("site %s could not answer '%s'", self.site.name, question.kind)
            reason = f"an unexpected {type(error).__name__} stopped '{question.kind}': the site's own log says more."
            answer = Failure(code="SiteFailed", reason=reason)
        if isinstance(answer, Failure) or run is None:
            self._runs.pop(envelope.run, None)  # half of its work may be in memory; what was before it is on the desk
            assert isinstance(answer, Failure)
            return self._refuse(envelope, self._told(answer), question.kind)
        line = self._next_line(envelope, question.kind, answer, body, privacy_spent=run.site.spent)
        usage = run.site.usage
        lines = self._lines if len(self._lines) < LINES_A_SYNC else []
        lines = lines if line is None else [*lines, line]
        work = Work(
            run=envelope.run,
            number=envelope.number,
            question=envelope.body,
            answer=body,
            again=question.kind in AGAIN,
            parts=parts,
            visits=usage.visits,
            spent=run.site.spent,
            facts={SENT: [usage.day, usage.bytes], LINES: lines},
        )
        try:
            self.desk.write(work, run.secret)
        except DeskFailed:
            raise
        except UnpooledError as error:
            self._runs.pop(envelope.run, None)
            return self._refuse(envelope, failure_from(error), question.kind)
        run.saved.update(parts)
        self._usage.day, self._usage.bytes = usage.day, usage.bytes
        self._written += len(lines) - len(self._lines) - (line is not None)
        self._lines = lines
        self._write_ledger()
        return envelope.answered(body)

    def _run(self, name: str) -> _Run:
        """A run as it was left, from memory or from the desk."""
        run = self._runs.get(name)
        if run is None:
            run = self._runs[name] = _Run(self.site, self.desk, name)
            while len(self._runs) > self._at_hand:
                self._runs.popitem(last=False)
        self._runs.move_to_end(name)
        run.site.usage.day, run.site.usage.bytes = self._usage.day, self._usage.bytes
        run.site.usage.elsewhere = self.desk.spent(without=name) if self.site.policy.limits.epsilon is not None else 0.0
        return run

    def _told(self, failure: Failure) -> Failure:
        """What leaves of a failure: errors in the data may name a cell."""
        if failure.code != "BadData" or self.site.policy.tell_cells:
            return failure
        log.error("site %s: %s", self.site.name, failure.reason)
        return Failure(code="BadData", reason="its data cannot be used like this: the site's own log says why.")

    def _refuse(self, envelope: Envelope, failure: Failure, sort: str) -> Envelope:
        """The failure as an answer, and in the ledger; of very many of one sort, some."""
        count = self._refusals.count(f"{sort} {failure.code}")
        body = encode(failure)
        if count is not None:
            log.warning("site %s refused '%s' (%d so far): %s", self.site.name, envelope.kind, count, failure.reason)
            line = self._next_line(envelope, envelope.kind or "malformed", failure, body, count=count)
            if self.site.ledger is not None and line is not None:
                self.site.ledger.append(line)
        return envelope.answered(body)

    def _next_line(
        self, envelope: Envelope, kind: str, answer: Answer, body: bytes, **more: Any
    ) -> dict[str, Any] | None:
        if self.site.ledger is None:
            return None
        asked = {"site": self.site.name, "run": envelope.run, "asker": envelope.asker, "number": envelope.number}
        return self.site.ledger.line(kind, answer, body, round=envelope.round, **asked, **more)

    def _write_ledger(self) -> None:
        """Before anything leaves, the ledger has its line, and the desk has those that a power cut may take from it."""
        if self.site.ledger is not None:
            for line in self._lines[self._written :]:
                self.site.ledger.append(line, sync=len(self._lines) >= LINES_A_SYNC)
                self._written += 1


class _Run:
    """The site's copy for one run, as the desk remembers it."""

    def __init__(self, site: Site, desk: Desk, name: str) -> None:
        kept = desk.kept(name)
        self.secret = kept.secret
        self.saved: dict[str, bytes] = dict(kept.parts)
        state = {"noise": Streams(kept.secret), **site.state}
        usage = Usage(visits=dict(kept.visits), today=site.usage.today)
        self.site = Site(site.name, site.train, site.test, site.policy, None, state, kept.spent, usage)
        for data in kept.again:
            question = decode(data)
            assert isinstance(question, Question)
            handler_of(type(question))(self.site, question)
        for part, content in kept.parts.items():
            PARTS[part].restore(self.site, content)
        self.site.spent = kept.spent

    def changed(self, kind: str) -> dict[str, bytes]:
        """The parts of the state that a question of this kind has changed, as bytes."""
        found = {name: part.save(self.site) for name, part in PARTS.items() if kind in part.kinds}
        return {name: data for name, data in found.items() if data is not None and data != self.saved.get(name)}
