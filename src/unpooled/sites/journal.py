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
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from unpooled.errors import BadRecord

GENESIS = b"\0" * 32
Key = tuple[str, int]
"""A site and the number of a question to it."""


class Journal:
    """Answers by site and number in the file `path`, which is made where there is none.

    `keep` writes an answer, `commit` brings all that was kept to the disk, `restart` empties the journal once a
    checkpoint holds what it stands for. Raises `BadRecord` for a file that was changed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._answers: dict[Key, tuple[str, bytes]] = {}
        self._head = GENESIS
        kept = self._read()
        self._file = self.path.open("ab")
        if kept < self.path.stat().st_size:
            self._file.truncate(kept)

    def answer(self, site: str, number: int, question: bytes) -> bytes | None:
        """What the site answered to this question, or None; `BadRecord` where that number was another question."""
        known = self._answers.get((site, number))
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
        asked = sha256(question).hexdigest()
        header = json.dumps({"site": site, "number": number, "question": asked}).encode()
        entry = len(header).to_bytes(4, "little") + len(body).to_bytes(8, "little") + header + body
        self._head = sha256(self._head + entry).digest()
        self._file.write(self._head + entry)
        self._answers[site, number] = (asked, body)

    def commit(self) -> None:
        """Wait until the disk has all that was kept."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def restart(self) -> None:
        """Forget all answers: a checkpoint on disk stands for them now."""
        self._file.truncate(0)
        self._answers.clear()
        self._head = GENESIS
        self.commit()

    def close(self) -> None:
        """Bring all to the disk and let go of the file."""
        self.commit()
        self._file.close()

    def _read(self) -> int:
        """Take in what is there; the number of bytes that are whole entries."""
        data = self.path.read_bytes() if self.path.exists() else b""
        end = 0
        for start, stop, head, entry in _entries(data):
            if sha256(self._head + entry).digest() != head:
                raise BadRecord(f"Journal {self.path} was changed at byte {start}: its hash does not fit its content.")
            header: dict[str, Any] = json.loads(entry[12 : 12 + int.from_bytes(entry[:4], "little")])
            body = entry[12 + int.from_bytes(entry[:4], "little") :]
            self._answers[header["site"], header["number"]] = (header["question"], body)
            self._head, end = head, stop
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
