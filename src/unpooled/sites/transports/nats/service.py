"""The broker as a service in the foreground: it follows changes of who is admitted, and writes down who is there."""

from __future__ import annotations

import logging
import signal
from threading import Event, current_thread, main_thread
from typing import Any

from unpooled.sites.transports.nats.broker import Broker
from unpooled.sites.transports.nats.federation import FILE, Folder
from unpooled.sites.transports.nats.status import Attendance

log = logging.getLogger(__name__)


def serve(folder: Folder, *, stop: Event | None = None) -> None:
    """Until SIGTERM, Ctrl-C or `stop`. Raises `SiteFailed` where nats-server ends by itself."""
    stop = stop or Event()
    if current_thread() is main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: stop.set())
    federation = folder.read()
    broker = Broker(folder)
    attendance = Attendance(folder)
    log.info("serving %s", ", ".join(federation.urls), extra={"sites": list(federation.sites)})
    try:
        seen = _stamp(folder)
        while not stop.wait(0.5):
            broker.check()
            now = _stamp(folder)
            if now != seen:
                seen = now
                attendance = _follow(folder, broker, attendance)
    finally:
        attendance.close()
        broker.close()


def _stamp(folder: Folder) -> Any:
    return (folder.path / FILE).stat().st_mtime_ns


def _follow(folder: Folder, broker: Broker, attendance: Attendance) -> Attendance:
    """What changed is read anew; our own certificate may be among it."""
    attendance.close()
    broker.reload()
    log.info("who is admitted was read anew", extra={"sites": list(folder.read().sites)})
    return Attendance(folder)
