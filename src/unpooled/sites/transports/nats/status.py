"""What the coordinator knows of its federation at a moment: who is there, what runs, which certificates end soon."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from unpooled.errors import BadRecord
from unpooled.sites.transports.nats import subjects
from unpooled.sites.transports.nats.access import Pace
from unpooled.sites.transports.nats.federation import Folder, write_private
from unpooled.sites.transports.nats.presence import read_presence
from unpooled.sites.transports.nats.wire import Wire

PRESENCE, PROGRESS = "presence.json", "progress.json"
SOON = timedelta(days=30)
"""How early `status` warns of a certificate's end."""
STALE = 15.0
"""Seconds after which whoever writes a file counts as gone."""


class Attendance:
    """Writes down which site was heard of when, as long as the broker runs; knows what was written down before."""

    def __init__(self, folder: Folder, *, pace: Pace | None = None) -> None:
        self._path = folder.path / PRESENCE
        self._sites: dict[str, dict[str, Any]] = dict(_read(self._path).get("sites", {}))
        self._written, self._pace = 0.0, pace or Pace()
        self._wire = Wire(
            folder.access(), {subjects.HERE_ALL: self._here}, pace=self._pace, up=self._up, every=self._every
        )
        self._wire.start()

    def close(self) -> None:
        """Stop listening."""
        self._wire.close()

    def _up(self) -> None:
        self._wire.publish(subjects.CALL, b"")

    def _here(self, subject: str, message: bytes) -> None:
        try:
            sign = read_presence(message)
        except BadRecord:
            return  # the link says so in its log
        self._sites[subjects.site_of(subject)] = {"seen": time.time(), **asdict(sign)}

    def _every(self, now: float) -> None:
        if now - self._written >= 1.0:
            self._written = now
            table = {"written": time.time(), "connected": self._wire.connected, "sites": self._sites}
            write_private(self._path, json.dumps(table).encode())


class Progress:
    """Writes down how far a run is, at most once a second, for `status` to read. `total` and `done` are rounds.

    The speed is that of the last minute. `waiting` are the sites whose answers are missing.
    """

    def __init__(self, path: Path, title: str, *, clock: Callable[[], float] = time.time) -> None:
        self._path, self._title, self._clock = path / PROGRESS, title, clock
        self._began, self._told = clock(), 0.0
        self._marks: list[tuple[float, int]] = []

    def tell(self, done: int, total: int, *, part: str = "", waiting: tuple[str, ...] = (), end: bool = False) -> None:
        """The run is so far. With `end` it is over, and this is written in any case."""
        now = self._clock()
        if not self._marks or self._marks[-1][1] != done:
            self._marks = [m for m in self._marks if now - m[0] <= 60.0] + [(now, done)]
        if now - self._told < 1.0 and not end:
            return
        self._told = now
        (first, before), (_, after) = self._marks[0], self._marks[-1]
        speed = (after - before) / (now - first) if now > first and after > before else None
        table = {
            "title": self._title,
            "part": part,
            "done": done,
            "total": total,
            "per_second": speed,
            "seconds_left": (total - done) / speed if speed else None,
            "waiting": list(waiting),
            "began": self._began,
            "written": now,
            "ended": end,
        }
        write_private(self._path, json.dumps(table).encode())


@dataclass(frozen=True)
class Standing:
    """One site: `state` is "here", "working", "away" or "never seen"; `seconds` since it was last heard of."""

    site: str
    state: str
    seconds: float | None
    release: str
    expires: str


@dataclass(frozen=True)
class Status:
    """`broker` says whether the broker is served now; `run` is what `Progress` wrote, {} where nothing ran yet."""

    broker: bool
    sites: tuple[Standing, ...]
    run: Mapping[str, Any]
    warnings: tuple[str, ...]


def status(folder: Folder, *, now: float | None = None) -> Status:
    """The federation in `folder` as it stands."""
    now = time.time() if now is None else now
    federation = folder.read()
    presence, run = _read(folder.path / PRESENCE), _read(folder.path / PROGRESS)
    broker = bool(presence.get("connected")) and now - presence["written"] < STALE
    known, expiries = presence.get("sites", {}), folder.expiries()
    sites = tuple(_standing(site, known.get(site), broker, expiries, now) for site in federation.sites)
    running = bool(run) and not run["ended"] and now - run["written"] < STALE
    if run:
        run = {**run, "state": "finished" if run["ended"] else "running" if running else "stopped"}
    return Status(broker, sites, run, tuple(_warnings(expiries, datetime.fromtimestamp(now, UTC))))


def _standing(
    site: str, known: Mapping[str, Any] | None, broker: bool, expiries: Mapping[str, datetime], now: float
) -> Standing:
    expires = expiries[site].date().isoformat() if site in expiries else ""
    if known is None:
        return Standing(site, "never seen", None, "", expires)
    seconds = max(0.0, now - known["seen"])
    here = broker and seconds < STALE
    return Standing(
        site, ("working" if known["parcel"] else "here") if here else "away", seconds, known["release"], expires
    )


def _warnings(expiries: Mapping[str, datetime], now: datetime) -> list[str]:
    found = []
    for name, end in sorted(expiries.items(), key=lambda pair: pair[1]):
        if end - now < SOON:
            what = f"The certificate of {name}"
            when = f"ended on {end.date()}" if end <= now else f"ends on {end.date()}"
            own = name in ("broker", "coordinator")
            remedy = "`unpooled coordinator renew`" if own else f"`unpooled coordinator admit --sites {name}`"
            found.append(f"{what} {when}: {'start a new federation' if name == 'authority' else remedy}.")
    return found


def _read(path: Path) -> dict[str, Any]:
    """A file of ours; {} where there is none yet."""
    try:
        table = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadRecord(f"{path} cannot be read ({error}): remove it, it is written anew.") from error
    if not isinstance(table, dict):
        raise BadRecord(f"{path} holds no table: remove it, it is written anew.")
    return table
