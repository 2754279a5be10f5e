"""What a coordinator was told since its last checkpoint, on disk before it acts on it.

A coordinator that was killed starts again from its checkpoint and asks the same questions once more: those with an
answer in the journal are answered from it, the others go to the sites, which repeat what they answered before. So a
killed run goes on where it was, and no site works twice.

The file is append-only. Each entry holds the hash of the entry before; what was cut off in the middle by a kill is
dropped, and anything else that does not fit is refused.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from unpooled.errors import BadRecord

GENESIS = b"\0" * 32
Key = tuple[str, int]
"""A site and the number of a question to it."""


class Journal:
    """Answers by site and number in the file `path`, which is made where there is none; `token` is random and its own.

    `keep` writes an answer, `commit` brings all that was kept to the disk. Answers from before `pin` stay for the whole
    run, those after it until `restart`, which is for when a checkpoint stands for them. Raises `BadRecord` for a file
    that was changed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._answers: dict[Key, tuple[str, bytes]] = {}
        self._head = GENESIS
        self._pin: tuple[int, bytes] | None = None
        self.token = ""
        kept = self._read()
        self._file = self.path.open("ab")
        if kept < self.path.stat().st_size:
            self._file.truncate(kept)
        if not self.token:
            self.token = secrets.token_hex(8)
            self._append({"token": self.token}, b"")
            self.commit()

    def answer(self, site: str, number: int, question: bytes) -> bytes | None:
        """What the site had answered to this question before a restart, or None; given out once.

        Raises `BadRecord` where that number was another question.
        """
        known = self._answers.pop((site, number), None)
        if known is None:
            return None
        asked, body = known
        if asked != sha256(question).hexdigest():
            raise BadRecord(
                f"The journal {self.path} holds an answer of site '{site}' to another question {number} than the one "
                "asked now: settings, data or the release changed since the run began. Undo that, or start a new run."
            )
        return body

    def keep(self, site: str, number: int, question: bytes, body: bytes) -> None:
        """Write down an answer; `commit` makes it last."""
        self._append({"site": site, "number": number, "question": sha256(question).hexdigest()}, body)

    def commit(self) -> None:
        """Wait until the disk has all that was kept."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def pin(self) -> None:
        """What was kept so far is for the whole run: how data were prepared, how the training began."""
        if self._pin is None:
            self._append({"pin": True}, b"")
            self.commit()
            self._pin = (self.path.stat().st_size, self._head)

    def restart(self) -> None:
        """Forget the answers since the pin: a checkpoint on disk stands for them now."""
        if self._pin is None:
            raise BadRecord(f"Journal {self.path} cannot be shortened before the run has begun.")
        end, self._head = self._pin
        self._file.flush()
        self._file.truncate(end)
        self._answers.clear()
        self.commit()

    def close(self) -> None:
        """Bring all to the disk and let go of the file."""
        self.commit()
        self._file.close()

    def _append(self, told: dict[str, Any], body: bytes) -> None:
        header = json.dumps(told).encode()
        entry = len(header).to_bytes(4, "little") + len(body).to_bytes(8, "little") + header + body
        self._head = sha256(self._head + entry).digest()
        self._file.write(self._head + entry)

    def _read(self) -> int:
        """Take in what is there; the number of bytes that are whole entries."""
        data = self.path.read_bytes() if self.path.exists() else b""
        end = 0
        for start, stop, head, entry in _entries(data):
            if sha256(self._head + entry).digest() != head:
                raise BadRecord(f"Journal {self.path} was changed at byte {start}: its hash does not fit its content.")
            self._head, end = head, stop
            body = 12 + int.from_bytes(entry[:4], "little")
            told: dict[str, Any] = json.loads(entry[12:body])
            if "token" in told:
                self.token = str(told["token"])
            elif "pin" in told:
                self._pin = (end, head)
            else:
                self._answers[told["site"], told["number"]] = (told["question"], entry[body:])
        return end


def _entries(data: bytes) -> Iterator[tuple[int, int, bytes, bytes]]:
    """Start, stop, hash and content of each whole entry; half an entry at the end is left out."""
    start = 0
    while start + 44 <= len(data):
        header, body = data[start + 32 : start + 36], data[start + 36 : start + 44]
        stop = start + 44 + int.from_bytes(header, "little") + int.from_bytes(body, "little")
        if stop > len(data):
            return
        yield start, stop, data[start : start + 32], data[start + 32 : stop]
        start = stop
