"""Ctrl-C as a question to ask between rounds."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class StopOnInterrupt:
    """Turns Ctrl-C into a question to ask between rounds; a second Ctrl-C stops at once."""

    def __enter__(self) -> Callable[[], bool]:
        self._asked = False
        try:
            self._before = signal.signal(signal.SIGINT, self._ask)
        except ValueError:  # not in the main thread: whoever started the thread handles Ctrl-C
            self._before = None
        return lambda: self._asked

    def _ask(self, number: int, frame: Any) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


@contextmanager
def held_back() -> Iterator[None]:
    """Ctrl-C waits until the block has ended; processes started inside never see one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
