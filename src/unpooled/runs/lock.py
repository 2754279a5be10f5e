"""One process at a time writes to a run's folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unpooled.errors import BadRecord


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; it is freed when the process ends, however it ends."""
    import fcntl

    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadRecord(f"Another process is running in {folder}: wait for it, or choose another folder.") from None
        yield
