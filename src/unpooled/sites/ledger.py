"""A site's record of every disclosure: append-only JSON lines, each holding the hash of the line before.

`verify` finds a changed, missing or reordered line. A ledger cannot prove that its newest lines were not cut
off together; write down the last hash elsewhere (it is in the run's record) to close that gap.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from errno import ENOSPC
from hashlib import sha256
from pathlib import Path
from typing import Any

from unpooled.errors import BadRecord
from unpooled.sites.payload import arrays_of, encode, size
from unpooled.sites.questions import Answer, Failure, Question

GENESIS = "0" * 64
"""The `previous` of the first line."""
SETTLED = 4096
"""Lines from the end among which `settle` looks; refusals may have followed those that it looks for."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _written(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, sort_keys=True, ensure_ascii=False).encode()


def _hash(entry: Mapping[str, Any]) -> str:
    return sha256(_written(entry)).hexdigest()


class Ledger:
    """Appends one line a disclosure to `path`; `run` and `asker` are written into each line that names no others."""

    def __init__(
        self, path: str | Path, *, run: str = "", asker: str = "coordinator", clock: Callable[[], str] = _now
    ) -> None:
        self.path, self.run, self.asker, self.clock = Path(path), run, asker, clock
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._cut = self._drop_torn_tail()
        self.head = GENESIS
        for entry in newest(self.path, 1):
            self.head = str(entry["hash"])

    def _drop_torn_tail(self) -> bytes:
        """A process that was killed while writing leaves half a line: cut it off. The next line will say so."""
        cut = _end_of(self.path, 0)
        if cut:
            with self.path.open("r+b") as file:
                file.truncate(self.path.stat().st_size - len(cut))
        return cut

    def record(self, question: Question, answer: Answer, *, round: int | None, privacy_spent: float = 0.0) -> None:
        """Write down what was sent in answer to `question` (or that it was refused, and why)."""
        self.append(self.line(question.kind, answer, encode(answer), round=round, privacy_spent=privacy_spent))

    def line(self, kind: str, answer: Answer, encoded: bytes, *, round: int | None, **more: Any) -> dict[str, Any]:
        """The next line, for `append`: about an answer, which is `encoded` so, and `more` fields of the caller's.

        An answer that is sealed for another site says for which.
        """
        arrays = arrays_of(answer)
        entry: dict[str, Any] = {
            "kind": kind,
            "round": round,
            "answer": type(answer).__name__,
            "shape": {name: list(a.shape) for name, a in arrays.items()},
            "dtype": {name: str(a.dtype) for name, a in arrays.items()},
            "bytes": size(answer),
            "sha256": sha256(encoded).hexdigest(),
        }
        recipient = getattr(answer, "recipient", None)
        if recipient is not None:
            entry["recipient"] = recipient
        if isinstance(answer, Failure):
            entry["refused"] = answer.reason
        return self._next({**entry, **more})

    def append(self, line: Mapping[str, Any], *, sync: bool = True) -> None:
        """Bring a line to the disk, all of it: an `OSError` leaves the ledger as it was. Without `sync` a kill cannot
        take it away any more, but a power cut can."""
        data = _written(line) + b"\n"
        with self.path.open("ab", buffering=0) as file:
            end = file.tell()
            try:
                if file.write(data) != len(data):  # a disk that is full takes a part
                    raise OSError(ENOSPC, os.strerror(ENOSPC))
                if sync:
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
        self.head = str(line["hash"])

    def settle(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Append those of these lines that are not there: they may have been appended before, or half so.

        Raises `BadRecord` where one of them fits neither way.
        """
        if not lines:
            return
        whole = self.head == lines[-1]["hash"]
        there = {str(entry["hash"]) for entry in (lines if whole else newest(self.path, SETTLED))}
        for line in lines:
            if line["hash"] in there:
                continue
            if self.head != line["previous"]:
                raise BadRecord(
                    f"Ledger {self.path} lacks the line of question {line.get('number')} of run '{line['run']}', which "
                    "was written: newer lines were cut off, or another ledger was put there."
                )
            if (_written(line) + b"\n").startswith(self._cut):
                self._cut = b""
            self.append(line)
        with self.path.open("ab") as file:
            os.fsync(file.fileno())

    def _next(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        if self._cut:
            cut, self._cut = self._cut, b""
            self.append(self._next({"kind": "recovered", "bytes": len(cut), "sha256": sha256(cut).hexdigest()}))
        line = {"time": self.clock(), "run": self.run, "asker": self.asker, **entry, "previous": self.head}
        line["hash"] = _hash(line)
        return line


def read(path: str | Path) -> Iterator[dict[str, Any]]:
    """The ledger's lines, none where there is no file. Raises `BadRecord` naming the line that is no ledger line."""
    path = Path(path)
    try:
        data = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise BadRecord(f"Ledger {path} cannot be read: {error.strerror}.") from error
    for number, raw in enumerate(data.removesuffix(b"\n").split(b"\n") if data else (), start=1):
        yield _entry(path, raw, f"line {number}")


def newest(path: Path, count: int) -> list[dict[str, Any]]:
    """At most so many lines from the end of a ledger, without reading what is before them."""
    raws = _end_of(path, count).removesuffix(b"\n")
    return [_entry(path, raw, "a line near its end") for raw in raws.split(b"\n")] if raws else []


def _end_of(path: Path, lines: int) -> bytes:
    """The last `lines` whole lines and what follows them, read from the end in larger and larger steps."""
    size = path.stat().st_size if path.exists() else 0
    step = 1 << 16
    while True:
        start = max(0, size - step)
        data = _part_of(path, start) if size else b""
        end = len(data)
        for _ in range(lines + 1):
            end = data.rfind(b"\n", 0, max(end, 0))
        if end >= 0 or start == 0:
            return data[end + 1 :]
        step *= 4


def _part_of(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read()


def _entry(path: Path, raw: bytes, where: str) -> dict[str, Any]:
    try:
        entry: dict[str, Any] = json.loads(raw)
        as_written = entry["hash"] and _written(entry) == raw
    except (ValueError, KeyError, TypeError):
        as_written = False
    if not as_written:
        raise BadRecord(f"Ledger {path}, {where} is no ledger line: it was changed or cut.")
    return entry


def verify(path: str | Path, *, head: str | None = None) -> int:
    """Check the whole chain and return the number of lines.

    Raises `BadRecord` naming the first line that was changed, removed or moved, and, where `head` is given (the
    hash that the newest line must have), when lines were cut off at the end.
    """
    path = Path(path)
    if not path.is_file():
        raise BadRecord(f"There is no ledger at {path}.")
    if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
        raise BadRecord(f"Ledger {path} ends in half a line: it was cut, or a process was stopped while writing.")
    previous, number = GENESIS, 0
    for number, entry in enumerate(read(path), start=1):
        claimed = entry.pop("hash")
        if _hash(entry) != claimed:
            raise BadRecord(f"Ledger {path}, line {number} was changed: its hash does not fit its content.")
        if entry.get("previous") != previous:
            raise BadRecord(
                f"Ledger {path}, line {number} does not follow line {number - 1}: a line is missing or moved."
            )
        previous = claimed
    if head is not None and previous != head:
        raise BadRecord(
            f"Ledger {path} ends after line {number}, but newer lines are known to exist: they were cut off."
        )
    return number
