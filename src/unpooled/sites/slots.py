"""Large pieces of bytes on disk, each in a file that is written over again when nobody needs it any more.

Overwriting a file of the same size costs one flush of its data; a new file, or a row of a database that is copied from
a log, costs several. A slot that something refers to is never written to, so a kill leaves old pieces whole.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

flush = getattr(os, "fdatasync", os.fsync)
"""Brings a file's data to the disk, and of its other facts only what reading it takes; not every system has it."""


class Slots:
    """Numbered files in `folder`. Which of them are in use, the caller knows. Raises `OSError`."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._made = {int(path.name) for path in self.folder.iterdir() if path.name.isdigit()}

    def write(self, data: bytes, used: Collection[int]) -> int:
        """Bring `data` to the disk in a slot that is not in use, and return its number."""
        free = self._made.difference(used)
        slot = min(free) if free else next(i for i in range(len(used) + 1) if i not in used)
        path = self.folder / str(slot)
        place = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(place).st_size > len(data):
                os.ftruncate(place, len(data))
            done = 0
            while done < len(data):  # a full disk takes a part, and refuses the rest
                done += os.pwrite(place, memoryview(data)[done:], done)
            flush(place)
        finally:
            os.close(place)
        if slot not in self._made:
            self._made.add(slot)
            self._keep_names()
        return slot

    def read(self, slot: int, start: int, length: int) -> bytes:
        """A part of a slot."""
        with (self.folder / str(slot)).open("rb") as file:
            file.seek(start)
            return file.read(length)

    def trim(self, used: Collection[int]) -> None:
        """Give the space of slots that are not in use back to the disk."""
        for slot in self._made.difference(used):
            (self.folder / str(slot)).unlink(missing_ok=True)
        self._made.intersection_update(used)

    def _keep_names(self) -> None:
        """A new file lasts once its folder is on the disk too."""
        place = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)
