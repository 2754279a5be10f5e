"""Flower on this machine as real processes: one SuperLink and a SuperNode a site, with TLS and registered keys.

Used by the tests in tests/flower and by the benchmark of federations. Everything lies in one folder, every port is a
free one, and nothing outside this machine is asked.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.05",
}
"""What a machine without internet needs, and the shortest wait of Flower's helper processes."""
START_S, RUN_S = 90.0, 600.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Deployment:
    """SuperLink and SuperNodes in `folder`; `sites` maps a site's name to what its node config says besides the name.

    As a context manager it starts all, and at the end kills what it started. `proxy` is told the port of the SuperLink,
    starts what is put before it, and returns the port that SuperNodes dial. The SuperNodes of `guarded` sites find the
    commands of `unpooled flower guard` first on their PATH.
    """

    def __init__(
        self,
        folder: Path,
        sites: Mapping[str, Mapping[str, str]],
        *,
        env: Mapping[str, str] | None = None,
        proxy: Callable[[int], int] | None = None,
        guarded: Collection[str] = (),
    ) -> None:
        self.folder, self.sites = folder, {name: dict(config) for name, config in sites.items()}
        self.port = free_port()
        self.fleet_port = self.port
        self.proxy, self.guarded = proxy, guarded
        self.bin = Path(sys.executable).parent
        self.env = {**os.environ, **QUIET, "HOME": str(folder), "FLWR_HOME": str(folder / ".flwr"), **(env or {})}
        self.env["PATH"] = f"{self.bin}{os.pathsep}{self.env.get('PATH', '')}"
        self.nodes: dict[str, str] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            certificates(self.folder)
            self.start_superlink()
            home = self.folder / ".flwr"
            home.mkdir(exist_ok=True)
            (home / "config.toml").write_text(
                f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{self.port}"\n'
                f'root-certificates = "{self.folder / "ca.crt"}"\n'
            )
            for name in self.sites:
                key_pair(self.folder / name)
                self.register(name)
            if self.proxy is not None:
                self.fleet_port = self.proxy(self.port)
            for name in self.sites:
                self.start_site(name)
            wait_for(lambda: len(self.online()) == len(self.sites), "SuperNodes online", START_S, pause=1.0)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.processes):
            self.kill(name)
        for pid in self._helpers("flwr-serverapp") + self._helpers("flower-superexec"):
            os.kill(pid, signal.SIGKILL)

    def start_superlink(self) -> None:
        """The SuperLink, and wait until it listens."""
        tls = ("--ssl-ca-certfile", "ca.crt", "--ssl-certfile", "server.pem", "--ssl-keyfile", "server.key")
        self._start(
            "superlink", "flower-superlink", *tls, "--enable-supernode-auth", "--port", str(self.port),
            "--database", "state.db",
        )  # fmt: skip
        wait_for(lambda: listens(self.port), "SuperLink listening", START_S)

    def register(self, site: str, name: str | None = None) -> None:
        """Admit the key of a site, under its name or another."""
        key = str(self.folder / f"{site}.pub")
        told = self.flwr("supernode", "register", key, "--name", name or site, "--format", "json")
        self.nodes[str(json.loads(told)["node-id"])] = site

    def start_site(self, name: str) -> None:
        """The SuperNode of a site, under the key that was registered."""
        config = " ".join(f'{key}="{value}"' for key, value in {"site": name, **self.sites[name]}.items())
        path = self.env["PATH"]
        if name in self.guarded:
            subprocess.run([self.bin / "unpooled", "flower", "guard", self.folder / "guard"], check=True, env=self.env)
            path = f"{self.folder / 'guard'}{os.pathsep}{path}"
        self._start(
            name, "flower-supernode", "--root-certificates", "ca.crt", "--superlink", f"127.0.0.1:{self.fleet_port}",
            "--auth-supernode-private-key", name, "--port", str(free_port()), "--node-config", config,
            PATH=path, FLOWER_SITE=name,
        )  # fmt: skip

    def _start(self, name: str, command: str, *arguments: str, **env: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(self.bin / command), *arguments],
                cwd=self.folder,
                env={**self.env, **env},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def signal_serverapp(self, which: signal.Signals) -> None:
        """Kill the process of the run that goes on, as a crash would, or stop it for a while."""
        found = self._helpers("flwr-serverapp")
        if not found:
            raise RuntimeError("There is no ServerApp.")
        for pid in found:
            os.kill(pid, which)

    def _helpers(self, command: str) -> list[int]:
        """Processes of that name that the SuperLink started: they have a session of their own, and know its port."""
        marks = (command.encode(), f"127.0.0.1:{self.port}".encode())
        commands = {path: _content(path) for path in Path("/proc").glob("[0-9]*/cmdline")}
        return [int(path.parent.name) for path, line in commands.items() if all(mark in line for mark in marks)]

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """End a process that this started; killed, all its children go too."""
        process = self.processes.pop(name)
        try:
            if how is signal.SIGKILL:
                os.killpg(process.pid, how)
            else:
                process.send_signal(how)
        except ProcessLookupError:
            pass
        process.wait(timeout=60)

    def flwr(self, *arguments: str) -> str:
        """What the command `flwr` prints; its error where it fails."""
        done = subprocess.run(
            [str(self.bin / "flwr"), *arguments],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode or '"success": false' in done.stdout:
            raise RuntimeError(f"flwr {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def online(self) -> list[str]:
        """Sites whose SuperNode is online."""
        nodes = json.loads(self.flwr("supernode", "list", "--format", "json"))["nodes"]
        return sorted(self.nodes[node["node-id"]] for node in nodes if node["status"] == "online")

    def submit(self, app: Path, **run_config: Any) -> int:
        """Start a run of the app in the folder `app`; its number."""
        told = [f"{key}={json.dumps(value)}" for key, value in run_config.items()]
        config = ("--run-config", " ".join(told)) if told else ()
        return int(json.loads(self.flwr("run", str(app), "here", "--format", "json", *config))["run-id"])

    def status(self, run: int) -> str:
        """Such as "running" or "finished:completed"."""
        return str(json.loads(self.flwr("list", "--run-id", str(run), "--format", "json"))["runs"][0]["status"])

    def finish(self, run: int, limit: float = RUN_S) -> str:
        """Wait for the end of a run; its last status."""
        wait_for(lambda: self.status(run).startswith("finished"), f"run {run} finished", limit, pause=1.0)
        return self.status(run)

    def log(self, name: str) -> str:
        """What a process of this deployment has printed."""
        return (self.folder / f"{name}.log").read_text(errors="replace")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process has ended meanwhile
        return b""


def wait_for(done: Callable[[], bool], what: str, limit: float, *, pause: float = 0.2) -> None:
    """Look again and again; `TimeoutError` after `limit` seconds."""
    end = time.monotonic() + limit
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"Not within {limit:.0f} s: {what}.")
        time.sleep(pause)


def listens(port: int) -> bool:
    """Whether someone takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def certificates(folder: Path) -> None:
    """A CA and a certificate of 127.0.0.1 signed by it: ca.crt, server.pem, server.key."""
    ca_key, key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")])
    ca = _certificate(ca_name, ca_name, ca_key, ca_key, x509.BasicConstraints(ca=True, path_length=None))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    server = _certificate(name, ca_name, key, ca_key, address)
    pem = serialization.Encoding.PEM
    (folder / "ca.crt").write_bytes(ca.public_bytes(pem))
    (folder / "server.pem").write_bytes(server.public_bytes(pem) + ca.public_bytes(pem))
    (folder / "server.key").write_bytes(_private(key, serialization.PrivateFormat.PKCS8))


def _certificate(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + timedelta(days=2))
    return made.add_extension(extension, critical=False).sign(signer, hashes.SHA384())


def _private(key: ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def key_pair(path: Path) -> None:
    """A site's key and its public part, as `ssh-keygen -t ecdsa -b 384` makes them."""
    key = ec.generate_private_key(ec.SECP384R1())
    path.write_bytes(_private(key, serialization.PrivateFormat.OpenSSH))
    path.chmod(0o600)
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    path.with_suffix(".pub").write_bytes(public)
