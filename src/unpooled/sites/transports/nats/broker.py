"""The broker: nats-server with a config that we write, and nothing in it that is not listed there.

One port, TLS only, and nobody gets in without a certificate of the federation's authority whose common name the config
lists. A site may read its own questions and write its own answers; the coordinator reads answers and signs of life, and
writes questions. Nothing is stored, on disk or in memory, but what is on its way to a slow reader, and that is bounded.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

from unpooled.errors import SiteFailed, Unsupported
from unpooled.sites.transports.nats import subjects
from unpooled.sites.transports.nats.federation import CRT, KEY, Federation, Folder, write_private
from unpooled.sites.transports.nats.parcels import CHUNK_BYTES, HEAD_BYTES, WINDOW

SERVER = "nats-server"
INSTALL = "install it (Debian: apt-get install nats-server), version 2.9 or newer."
SPARE = 1024
"""Bytes that a message may be larger than a chunk."""
log = logging.getLogger(__name__)


def config(folder: Path, federation: Federation) -> dict[str, Any]:
    """The broker's config as plain tables."""
    crowd = len(federation.sites)
    users = [
        _user(
            federation.coordinator,
            publish=[subjects.to("*"), subjects.CALL],
            subscribe=[subjects.FROM_ALL, subjects.HERE_ALL],
        ),
        *(
            _user(
                common_name,
                publish=[subjects.coming_from(site), subjects.here(site)],
                subscribe=[subjects.to(site), subjects.CALL],
            )
            for site, common_name in federation.sites.items()
        ),
    ]
    return {
        "server_name": f"unpooled-{federation.token}",
        "host": federation.listen or "0.0.0.0",
        "port": federation.port,
        "max_payload": CHUNK_BYTES + HEAD_BYTES + SPARE,
        "max_pending": 2 * WINDOW * CHUNK_BYTES * max(crowd, 4) + 2**26,
        "max_connections": 4 * crowd + 16,
        "max_subscriptions": 16,
        "max_control_line": 1024,
        "ping_interval": "10s",
        "ping_max": 3,
        "write_deadline": "60s",
        "tls": {
            "cert_file": str((folder / "broker" / CRT).resolve()),
            "key_file": str((folder / "broker" / KEY).resolve()),
            "ca_file": str((folder / "authority" / CRT).resolve()),
            "verify_and_map": True,
            "timeout": 10,
        },
        "authorization": {"timeout": 15, "users": users},
    }


def _user(common_name: str, *, publish: list[str], subscribe: list[str]) -> dict[str, Any]:
    allowed = {"publish": {"allow": publish}, "subscribe": {"allow": subscribe}, "allow_responses": False}
    return {"user": f"CN={common_name}", "permissions": allowed}


def write_config(folder: Folder) -> Path:
    """Write the config of a federation; nats-server reads JSON."""
    path = folder.path / "broker" / "nats.conf"
    write_private(path, (json.dumps(config(folder.path, folder.read()), indent=1) + "\n").encode())
    return path


def server_path() -> str:
    """Where nats-server is. Raises `Unsupported` where it is not."""
    found = shutil.which(SERVER) or shutil.which(SERVER, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Unsupported(f"The broker needs {SERVER}, which is not on this machine: {INSTALL}")
    return found


class Broker:
    """A running nats-server. What it says goes to the log `unpooled.broker`."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [*_ends_with_us(), server_path(), "--config", str(write_config(folder)), "--logtime=false"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is for us: we tell it
            env=_environment(os.environ),
        )
        self._last = ""
        self._thread = Thread(target=self._listen, name="unpooled-broker-log", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def check(self) -> None:
        """Raise `SiteFailed` where nats-server has ended."""
        code = self._process.poll()
        if code is not None:
            self._thread.join(2)
            raise SiteFailed(f"{SERVER} ended with {code}: {self._last or 'it said nothing'}.")

    def reload(self) -> None:
        """Make it read who is admitted, and its certificates, anew; who is no longer admitted is cut off."""
        write_config(self.folder)
        self._process.send_signal(signal.SIGHUP)

    def close(self) -> None:
        """Stop it."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._thread.join(5)

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                said = line.strip()
                level = logging.WARNING if any(word in said for word in ("[ERR]", "[WRN]", "[FTL]")) else logging.INFO
                if level > logging.INFO or not self._last:
                    self._last = said
                if said:
                    logging.getLogger("unpooled.broker").log(level, said)


def _ends_with_us() -> list[str]:
    """Where Linux has the program for it, nats-server stops when the thread that started it is gone, even by a kill."""
    found = shutil.which("setpriv")
    return [] if found is None else [found, "--pdeathsig", "TERM"]


def _environment(current: Mapping[str, str]) -> dict[str, str]:
    """Nothing that belongs to us, but a ceiling for its memory's garbage."""
    return {"PATH": current.get("PATH", ""), "GOMEMLIMIT": "1GiB", "GODEBUG": current.get("GODEBUG", "")}
