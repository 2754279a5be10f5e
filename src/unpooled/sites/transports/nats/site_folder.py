"""A site's folder: how it gets in, where its rows are, and what its people allow.

site.toml           what this module writes
authority.pem, certificate.pem, key.pem
policy.toml         what the site answers; edit it here
ledger.jsonl, desk/ what left the site, and what it must remember; made when it runs
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from unpooled.errors import BadRecord, BadSetting
from unpooled.sites.transports.nats import certificates
from unpooled.sites.transports.nats.access import Access
from unpooled.sites.transports.nats.federation import CRT, JOIN_VERSION, KEY, write_private
from unpooled.sites.transports.nats.subjects import check_name

FILE, AUTHORITY, POLICY, REQUEST = "site.toml", "authority.pem", "policy.toml", "request.pem"
TEXTS = ("site", "federation", "authority", "certificate", "key")


@dataclass(frozen=True)
class Joined:
    """Site `site` of federation `federation`; `data` is the file or folder with its rows, `image_size` in pixels."""

    folder: Path
    site: str
    federation: str
    urls: tuple[str, ...]
    data: str
    image_size: tuple[int, int] | None = None

    @property
    def access(self) -> Access:
        """How the site gets in."""
        own = self.folder
        return Access(self.site, self.urls, own / AUTHORITY, own / CRT, own / KEY)

    @property
    def policy(self) -> Path:
        """What the site answers."""
        return self.folder / POLICY


def request(name: str, folder: Path) -> Path:
    """Make the site's own key in `folder`, and beside it the request to send to the coordinator."""
    check_name(name)
    if (folder / KEY).exists():
        raise BadSetting(f"{folder} has a key already: choose another folder with --out, or move the old key away.")
    key, asked = certificates.make_request(name)
    write_private(folder / KEY, key)
    write_private(folder / REQUEST, asked)
    return folder / REQUEST


def join(
    file: Path, folder: Path | None, data: Path, policy: str, *, image_size: tuple[int, int] | None = None
) -> Joined:
    """Write the site's folder from a join file; `folder` is by default named after the site.

    `policy` is written to policy.toml where there is none yet. Joining again, with a new file, replaces addresses and
    certificate and leaves policy, ledger and desk alone. Raises `BadRecord` for a file that is no join file, and
    `BadSetting` where it is another site's, or where the key is missing.
    """
    table = _read_join(file)
    folder = Path(table["site"]) if folder is None else folder
    if (folder / FILE).exists() and read(folder).site != table["site"]:
        raise BadSetting(f"{folder} belongs to site '{read(folder).site}', the file to '{table['site']}': use --out.")
    key = table["key"].encode() or _own_key(folder, file)
    if not _fits(table["certificate"].encode(), key):
        raise BadSetting(f"The certificate in {file} is not for the key in {folder}: ask for a new one.")
    write_private(folder / AUTHORITY, table["authority"].encode())
    write_private(folder / CRT, table["certificate"].encode())
    write_private(folder / KEY, key)
    if not (folder / POLICY).exists():
        write_private(folder / POLICY, policy.encode())
    own: dict[str, Any] = {"site": table["site"], "federation": table["federation"], "urls": table["urls"]}
    own["data"] = str(data.expanduser().resolve())
    if image_size is not None:
        own["image_size"] = list(image_size)
    write_private(folder / FILE, tomli_w.dumps(own).encode())
    return read(folder)


def read(folder: Path) -> Joined:
    """What `join` wrote. Raises `BadRecord` where there is nothing, or something else."""
    try:
        table = tomllib.loads((folder / FILE).read_text(encoding="utf-8"))
        size = table.pop("image_size", None)
        urls = tuple(table.pop("urls"))
        return Joined(folder=folder, urls=urls, image_size=None if size is None else (size[0], size[1]), **table)
    except FileNotFoundError:
        raise BadRecord(f"{folder} is no site's folder: `unpooled site join FILE --data PATH` makes one.") from None
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise BadRecord(f"{folder / FILE} cannot be read ({error}): join again.") from error


def _read_join(file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadRecord(f"There is no file {file}: the coordinator's `init` wrote one for each site.") from None
    except (OSError, ValueError) as error:
        raise BadRecord(f"{file} is no join file ({error}): ask the coordinator for a new one.") from error
    if table.get("version") != JOIN_VERSION:
        raise BadRecord(f"{file} is no join file of this release of unpooled (version {table.get('version')!r}).")
    if not all(isinstance(table.get(name), str) for name in TEXTS) or not table.get("urls"):
        raise BadRecord(f"{file} is cut or was changed: ask the coordinator for a new one.")
    check_name(table["site"])
    return table


def _own_key(folder: Path, file: Path) -> bytes:
    if not (folder / KEY).is_file():
        raise BadSetting(
            f"{file} holds no key, and {folder} has none: name the folder that made the request with --out."
        )
    return (folder / KEY).read_bytes()


def _fits(certificate: bytes, key: bytes) -> bool:
    kinds = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    try:
        ours = serialization.load_pem_private_key(key, None).public_key().public_bytes(*kinds)
        return ours == x509.load_pem_x509_certificate(certificate).public_key().public_bytes(*kinds)
    except ValueError as error:
        raise BadRecord(
            f"A certificate or key cannot be read ({error}): ask the coordinator for a new file."
        ) from error
