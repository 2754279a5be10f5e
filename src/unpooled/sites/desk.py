"""What a site keeps on its own disk, so that a question is worked on once however often it comes, and a restart loses
nothing.

For each run: its last answers, the questions whose effect is made again after a restart, parts of the site's state as
bytes, what was counted for the policy, and the line that the ledger must hold. All of it changes in one transaction a
question: a kill, or a power cut, leaves what was before it or what is after it.

Small things are rows of an SQLite database, large ones lie in slots beside it (`unpooled.sites.slots`). Where the
arrays of an answer stand in the saved state too, as a model does that was just trained and sent, they are written once.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from unpooled.errors import BadRecord, SiteFailed
from unpooled.sites.payload import arrays_start
from unpooled.sites.slots import Slots

LARGE = 16384
"""Bytes from which on a piece gets a slot of its own."""
MOST_AGAIN = 100
"""Questions of one run that are asked again after a restart."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (run TEXT PRIMARY KEY, newest INTEGER, spent REAL, visits TEXT, secret TEXT, used INT);
CREATE TABLE IF NOT EXISTS answers (run TEXT, number INTEGER, question BLOB, head BLOB, slot INT, start INT, length INT,
  PRIMARY KEY (run, number));
CREATE TABLE IF NOT EXISTS again (run TEXT, number INTEGER, question BLOB, PRIMARY KEY (run, number));
CREATE TABLE IF NOT EXISTS parts (run TEXT, name TEXT, head BLOB, slot INT, start INT, length INT,
  PRIMARY KEY (run, name));
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT);
"""
Piece = tuple[bytes, int | None, int, int]
"""First bytes as they are, then a slot (or None), and start and length of what follows there."""
T = TypeVar("T")


class DeskFailed(SiteFailed):
    """Nothing could be written down at the site, so nothing was done: the disk is full, or gone."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One question that was worked on, and all that it left behind at the site."""

    run: str
    number: int
    question: bytes
    answer: bytes
    again: bool = False
    parts: Mapping[str, bytes] = field(default_factory=dict)
    visits: Mapping[str, int] = field(default_factory=dict)
    spent: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a desk knows of a run; `newest` is the number of its last answer, -1 while there is none."""

    newest: int
    again: tuple[bytes, ...]
    parts: Mapping[str, bytes]
    visits: Mapping[str, int]
    spent: float
    secret: int


class Desk:
    """The desk in the folder `path`, which is made where there is none; one process at a time may work at it.

    It keeps the last `answers` answers of each run, and at most `runs` runs: one more makes it forget the one that was
    not heard of for longest. Raises `BadRecord` for a folder that holds something else, or that another process uses;
    every method raises `DeskFailed` where the disk refuses.
    """

    def __init__(self, path: str | Path, *, answers: int = 3, runs: int = 64) -> None:
        self.path, self._answers, self._runs = Path(path), answers, runs
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._base = sqlite3.connect(
                self.path / "desk.sqlite", isolation_level=None, check_same_thread=False, timeout=0.0
            )
            self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise BadRecord(
                f"The desk in {self.path} cannot be used ({error}): another process works at it, or it was changed."
            ) from error
        self._slots = Slots(self.path / "slots")
        self._slots.trim(self._used())

    def answer(self, run: str, number: int, question: bytes) -> bytes | None:
        """The answer that was given to this question, None where it was never answered.

        Raises `SiteFailed` where the run has gone on since and the answer is kept no longer, and `BadRecord` where
        that number was another question.
        """
        return self._do(lambda: self._answer(run, number, question))

    def _answer(self, run: str, number: int, question: bytes) -> bytes | None:
        row = self._one(
            "SELECT question, head, slot, start, length FROM answers WHERE run = ? AND number = ?", run, number
        )
        if row is None:
            newest = self._one("SELECT newest FROM runs WHERE run = ?", run)
            if newest is not None and number <= newest[0]:
                raise SiteFailed(
                    f"question {number} came after question {newest[0]} was answered, and its answer is kept no longer:"
                    " the run went on elsewhere. Continue it there, or start a new run."
                )
            return None
        if row[0] != sha256(question).digest():
            raise BadRecord(
                f"it has answered another question {number} of this run: settings, data or the release changed since "
                "the run began. Undo that, or start a new run."
            )
        return self._whole(row[1:])

    def kept(self, run: str) -> Kept:
        """All that is known of a run, whether it has begun or not."""
        return self._do(lambda: self._kept(run))

    def _kept(self, run: str) -> Kept:
        row = self._one("SELECT newest, spent, visits, secret FROM runs WHERE run = ?", run)
        newest, spent, visits, secret = row or (-1, 0.0, "{}", str(secrets.randbits(128)))
        again = self._base.execute("SELECT question FROM again WHERE run = ? ORDER BY number", (run,))
        parts = self._base.execute("SELECT name, head, slot, start, length FROM parts WHERE run = ?", (run,))
        return Kept(
            newest=newest,
            again=tuple(question for (question,) in again),
            parts={name: self._whole(piece) for name, *piece in parts},
            visits=json.loads(visits),
            spent=spent,
            secret=int(secret),
        )

    def write(self, work: Work, secret: int) -> None:
        """Make `work` last, all of it or nothing; what the run needs no longer is dropped.

        Raises `SiteFailed` where a run set the site up more often than `MOST_AGAIN` times.
        """
        self._do(lambda: self._write(work, secret))

    def _write(self, work: Work, secret: int) -> None:
        if work.again and self._one("SELECT COUNT(*) FROM again WHERE run = ?", work.run)[0] >= MOST_AGAIN:
            raise SiteFailed(f"this run has set the site up {MOST_AGAIN} times: start a new run.")
        used = self._used()
        parts = {name: self._piece(data, used) for name, data in work.parts.items()}
        answer = self._beside(work, parts) or self._piece(work.answer, used)
        with self._base:  # commits, or takes all back
            self._base.execute("BEGIN IMMEDIATE")
            row = (work.run, work.number, work.spent, json.dumps(dict(work.visits)), str(secret), self._next_use())
            self._base.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?)", row)
            where = (work.run, work.number)
            self._base.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", (*where, sha256(work.question).digest(), *answer)
            )
            self._base.execute(
                "DELETE FROM answers WHERE run = ? AND number NOT IN"
                " (SELECT number FROM answers WHERE run = ? ORDER BY number DESC LIMIT ?)",
                (work.run, work.run, self._answers),
            )
            if work.again:
                self._base.execute("INSERT INTO again VALUES (?, ?, ?)", (*where, work.question))
            for name, piece in parts.items():
                self._base.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?)", (work.run, name, *piece))
            for name, value in work.facts.items():
                self._base.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))
            self._drop_oldest()

    def fact(self, name: str) -> Any:
        """What `Work.facts` last said under that name, None where nothing did."""
        row = self._do(lambda: self._one("SELECT value FROM facts WHERE name = ?", name))
        return None if row is None else json.loads(row[0])

    def runs(self) -> tuple[str, ...]:
        """The runs that are kept, the one heard of last at the end."""
        return self._do(lambda: tuple(run for (run,) in self._base.execute("SELECT run FROM runs ORDER BY used")))

    def spent(self, *, without: str = "") -> float:
        """The epsilon of all runs together, also of those that were forgotten, but for the run `without`."""
        return self._do(lambda: self._spent(without))

    def _spent(self, without: str) -> float:
        known = self._one("SELECT TOTAL(spent) FROM runs WHERE run != ?", without)[0]
        gone = self._one("SELECT value FROM facts WHERE name = 'forgotten'")
        return float(known) + (0.0 if gone is None else float(json.loads(gone[0])))

    def forget(self, run: str) -> None:
        """Drop all that is kept of a run, except the privacy it has spent."""
        self._do(lambda: self._forget(run))

    def _forget(self, run: str) -> None:
        with self._base:
            self._base.execute("BEGIN IMMEDIATE")
            self._drop(run)
        self._slots.trim(self._used())

    def close(self) -> None:
        """Let go of the folder."""
        self._base.close()

    def _drop(self, run: str) -> None:
        row = self._one("SELECT spent FROM runs WHERE run = ?", run)
        if row is not None and row[0]:
            gone = self._spent("") - self._spent_of_kept() + row[0]
            self._base.execute("INSERT OR REPLACE INTO facts VALUES ('forgotten', ?)", (json.dumps(gone),))
        for table in ("runs", "answers", "again", "parts"):
            self._base.execute(f"DELETE FROM {table} WHERE run = ?", (run,))

    def _spent_of_kept(self) -> float:
        return float(self._one("SELECT TOTAL(spent) FROM runs")[0])

    def _drop_oldest(self) -> None:
        rows = self._base.execute("SELECT run FROM runs ORDER BY used DESC LIMIT -1 OFFSET ?", (self._runs,)).fetchall()
        for (run,) in rows:
            self._drop(run)

    def _next_use(self) -> int:
        return int(self._one("SELECT COALESCE(MAX(used), 0) + 1 FROM runs")[0])

    def _used(self) -> set[int]:
        """Slots that something refers to."""
        rows = self._base.execute("SELECT slot FROM answers UNION SELECT slot FROM parts")
        return {slot for (slot,) in rows if slot is not None}

    def _piece(self, data: bytes, used: set[int]) -> Piece:
        if len(data) < LARGE:
            return data, None, 0, 0
        slot = self._slots.write(data, used)
        used.add(slot)
        return b"", slot, 0, len(data)

    def _beside(self, work: Work, parts: Mapping[str, Piece]) -> Piece | None:
        """The answer as its first bytes and a place in a saved part where its arrays stand; None where they do not."""
        head = arrays_start(work.answer)
        if len(work.answer) - head < LARGE:
            return None
        arrays = work.answer[head:]
        for name, (_, slot, _, _) in parts.items():
            start = work.parts[name].find(arrays[:64])
            if slot is not None and start >= 0 and work.parts[name].startswith(arrays, start):
                return work.answer[:head], slot, start, len(arrays)
        return None

    def _whole(self, piece: Any) -> bytes:
        head, slot, start, length = piece
        return bytes(head) if slot is None else bytes(head) + self._slots.read(slot, start, length)

    def _one(self, query: str, *values: Any) -> Any:
        return self._base.execute(query, values).fetchone()

    def _do(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except (sqlite3.Error, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DeskFailed(f"the site cannot write down what it does ({reason}): look at its disk.") from error
