"""A federation's folder at the coordinator: who is admitted, with which certificates, at which address.

federation.toml     what this module reads and writes
authority/          certificate and key of the federation's own authority
broker/             the broker's certificate, key and config (written anew at each start)
coordinator/        certificate and key that runs and `status` connect with
join/               one file a site; it holds the site's key, unless the site made its own
presence.json       which site was seen when, kept by `unpooled coordinator serve`
progress.json       how far the run is, kept by the run
"""

from __future__ import annotations

import os
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import tomli_w

from unpooled.errors import BadRecord, BadSetting
from unpooled.sites.transports.nats import certificates
from unpooled.sites.transports.nats.access import Access
from unpooled.sites.transports.nats.certificates import Pair
from unpooled.sites.transports.nats.subjects import check_name

COORDINATOR = "coordinator"
PORT = 4222
FILE = "federation.toml"
JOIN_VERSION = 1


@dataclass(frozen=True)
class Federation:
    """`token` names the federation; `sites` are the admitted ones and the common name of each one's certificate.

    `listen` is the address that the broker listens at, "" for all of the machine.
    """

    token: str
    hosts: tuple[str, ...]
    port: int = PORT
    listen: str = ""
    coordinator: str = ""
    sites: Mapping[str, str] = field(default_factory=dict)

    @property
    def urls(self) -> tuple[str, ...]:
        """Where sites dial to."""
        return tuple(f"tls://{f'[{host}]' if ':' in host else host}:{self.port}" for host in self.hosts)


@dataclass(frozen=True)
class Folder:
    """The folder `path` of a federation."""

    path: Path

    @classmethod
    def make(
        cls, path: Path, hosts: Iterable[str], sites: Iterable[str], *, port: int = PORT, listen: str = ""
    ) -> Folder:
        """Write a new federation: authority, broker, coordinator, and a join file for each site.

        Raises `BadSetting` for a folder that is one already, for no host, and for names that cannot be used.
        """
        folder, hosts, sites = cls(path), tuple(hosts), tuple(sites)
        if (path / FILE).exists():
            raise BadSetting(
                f"{path} is a federation already: `unpooled coordinator admit` adds sites, or renews them."
            )
        if not hosts or not all(hosts):
            raise BadSetting("The broker needs a host name that sites can reach: --host broker.example.org.")
        if not 0 < port < 65536:
            raise BadSetting(f"port must lie between 1 and 65535, got {port}.")
        _check_sites(sites, ())
        federation = Federation(secrets.token_hex(8), hosts, port, listen)
        signer = certificates.authority(federation.token)
        _write_pair(path / "authority", signer)
        _write_pair(path / "broker", certificates.for_server(signer, hosts))
        federation = replace(federation, coordinator=certificates.common_name(COORDINATOR))
        _write_pair(path / COORDINATOR, certificates.for_client(signer, federation.coordinator))
        folder._write(federation)
        folder.admit(sites)
        return folder

    def read(self) -> Federation:
        """What stands in `federation.toml`. Raises `BadRecord` where it is missing or cannot be used."""
        try:
            table = tomllib.loads((self.path / FILE).read_text(encoding="utf-8"))
            plain = {**table, "hosts": tuple(table["hosts"]), "sites": dict(table["sites"])}
            return Federation(**plain)
        except FileNotFoundError:
            raise BadRecord(f"{self.path} holds no federation: `unpooled coordinator init` makes one.") from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise BadRecord(f"{self.path / FILE} cannot be read ({error}): undo the change, or start anew.") from error

    def admit(self, sites: Iterable[str], *, request: bytes | None = None, days: int | None = None) -> list[Path]:
        """Write join files for these sites, new or known, and let in whoever holds them; older files open nothing more.

        With a `request` (of one site) the certificate is for the key that the site made, and the file holds none.
        """
        sites, federation, signer = tuple(sites), self.read(), self._signer()
        _check_sites(sites, () if request is None else sites[1:])
        life = certificates.LEAF_DAYS if days is None else days
        made: list[Path] = []
        for site in sites:
            name = certificates.common_name(site)
            if request is None:
                pair = certificates.for_client(signer, name, days=life)
            else:
                pair = Pair(certificates.for_request(signer, request, name, days=life), b"")
            made.append(self._write_join(federation, site, signer, pair))
            federation = replace(federation, sites={**federation.sites, site: name})
        self._write(federation)
        return made

    def remove(self, sites: Iterable[str]) -> None:
        """Let these sites in no more. Raises `BadSetting` for one that is not admitted."""
        federation = self.read()
        for site in sites:
            if site not in federation.sites:
                raise BadSetting(f"There is no site '{site}' here, only {', '.join(federation.sites) or 'none'}.")
            federation = replace(federation, sites={n: c for n, c in federation.sites.items() if n != site})
            (self.path / "join" / f"{site}.join").unlink(missing_ok=True)
            (self.path / "join" / f"{site}.crt").unlink(missing_ok=True)
        self._write(federation)

    def renew(self) -> None:
        """New certificates for the broker and the coordinator; sites need nothing for this."""
        federation, signer = self.read(), self._signer()
        _write_pair(self.path / "broker", certificates.for_server(signer, federation.hosts))
        name = certificates.common_name(COORDINATOR)
        _write_pair(self.path / COORDINATOR, certificates.for_client(signer, name))
        self._write(replace(federation, coordinator=name))

    def access(self) -> Access:
        """How the coordinator gets in."""
        own = self.path / COORDINATOR
        federation = self.read()
        return Access(COORDINATOR, federation.urls, self.path / "authority" / CRT, own / CRT, own / KEY)

    def expiries(self) -> dict[str, datetime]:
        """When each certificate stops being valid: `authority`, `broker`, `coordinator`, and the sites by name."""
        found = {name: certificates.expires((self.path / name / CRT).read_bytes()) for name in OWN}
        for site in self.read().sites:
            path = self.path / "join" / f"{site}.crt"
            if path.is_file():
                found[site] = certificates.expires(path.read_bytes())
        return found

    def _signer(self) -> Pair:
        folder = self.path / "authority"
        return Pair((folder / CRT).read_bytes(), (folder / KEY).read_bytes())

    def _write(self, federation: Federation) -> None:
        table: dict[str, Any] = {**vars(federation), "hosts": list(federation.hosts), "sites": dict(federation.sites)}
        write_private(self.path / FILE, tomli_w.dumps(table).encode())

    def _write_join(self, federation: Federation, site: str, signer: Pair, pair: Pair) -> Path:
        table = {
            "version": JOIN_VERSION,
            "site": site,
            "federation": federation.token,
            "urls": list(federation.urls),
            "authority": signer.certificate.decode(),
            "certificate": pair.certificate.decode(),
            "key": pair.key.decode(),
        }
        path = self.path / "join" / f"{site}.join"
        write_private(path, tomli_w.dumps(table, multiline_strings=True).encode())
        write_private(path.with_suffix(".crt"), pair.certificate)
        return path


CRT, KEY = "certificate.pem", "key.pem"
OWN = ("authority", "broker", COORDINATOR)


def write_private(path: Path, data: bytes) -> None:
    """Replace a file by one that only its owner reads, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    half = path.with_name(path.name + ".new")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(half, path)


def _write_pair(folder: Path, pair: Pair) -> None:
    write_private(folder / CRT, pair.certificate)
    write_private(folder / KEY, pair.key)


def _check_sites(sites: tuple[str, ...], too_many: tuple[str, ...]) -> None:
    if not sites:
        raise BadSetting("No site is named: --sites berlin,paris,rome.")
    twice = sorted({name for name in sites if sites.count(name) > 1})
    if twice:
        raise BadSetting(f"'{twice[0]}' is named twice: every site needs a name of its own.")
    if too_many:
        raise BadSetting("A request belongs to one site: admit the others apart.")
    for name in sites:
        if check_name(name) == COORDINATOR:
            raise BadSetting("No site can be called 'coordinator': choose another name.")
