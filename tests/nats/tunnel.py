"""A line between a site and the broker that a test can cut, with or without a word, and make slow."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress


class Tunnel:
    """Carries bytes from `port` to `target`, both on loopback."""

    def __init__(self, port: int, target: int, bytes_a_second: float = float("inf")) -> None:
        self._target, self._rate = target, bytes_a_second
        self._listener = socket.create_server(("127.0.0.1", port))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._open = threading.Event()
        self._open.set()
        self._refuse = self._done = False
        self.carried = 0

    def __enter__(self) -> Tunnel:
        self._start(self._accept)
        return self

    def __exit__(self, *error: object) -> None:
        self._done = True
        self._open.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._break()
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def cut(self, *, quietly: bool) -> None:
        """Let bytes vanish into thin air, or break all connections and refuse new ones."""
        if quietly:
            self._open.clear()
        else:
            self._refuse = True
            self._break()

    def mend(self) -> None:
        """As if nothing had been, but what was underway is gone."""
        self._break()
        self._refuse = False
        self._open.set()

    def _break(self) -> None:
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._done:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = None if self._refuse else self._reach()
            if far is None:
                near.close()
                continue
            self._sockets += [near, far]
            self._start(self._carry, near, far)
            self._start(self._carry, far, near)

    def _reach(self) -> socket.socket | None:
        try:
            return socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            return None

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if not self._open.is_set():
                    self._open.wait()
                    break
                time.sleep(len(data) / self._rate)
                sink.sendall(data)
                self.carried += len(data)
        except OSError:
            pass
        finally:
            for one in (source, sink):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
