"""The folder in which a site keeps its private key and the roster of all sites' public keys."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from unpooled.errors import BadSetting
from unpooled.sites.keys import KEY_BYTES, new_private_key, public_key
from unpooled.sites.sealing import Roster, Sealing

KEY_FILE = "sealing.key"
"""The site's private key, as hexadecimal digits, in the site's folder."""
ROSTER_FILE = "roster.json"
"""The public keys of all sites by name, the site's own included."""


def make_key(folder: Path) -> bytes:
    """A new private key in `folder`, for its owner's eyes only; the public key. `BadSetting` where there is one."""
    path, private = folder / KEY_FILE, new_private_key()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise BadSetting(
            f"There is a key at {path} already: with a new one the other sites' rosters would be wrong."
        ) from error
    with os.fdopen(handle, "w") as file:
        file.write(private.hex() + "\n")
    return public_key(private)


def write_roster(folder: Path, roster: Roster) -> None:
    """Write the roster into the site's folder."""
    keys = {name: key.hex() for name, key in sorted(roster.keys.items())}
    (folder / ROSTER_FILE).write_text(json.dumps(keys, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_roster(folder: Path) -> Roster:
    """The roster in the site's folder; raises `BadSetting` where there is none that can be read."""
    path = folder / ROSTER_FILE
    try:
        return Roster({str(name): bytes.fromhex(key) for name, key in json.loads(path.read_text("utf-8")).items()})
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise BadSetting(f"There is no roster of public keys at {path} that can be read: {error}.") from error


def read_sealing(folder: Path, name: str) -> Sealing:
    """What site `name` seals with, from its folder; raises `BadSetting` for what is missing, or open to others."""
    path = folder / KEY_FILE
    try:
        mode, private = path.stat().st_mode, bytes.fromhex(path.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise BadSetting(f"There is no private key at {path} that can be read: {error}.") from error
    if mode & 0o077:
        raise BadSetting(f"Others on this machine can read the private key {path}: chmod 600 it.")
    if len(private) != KEY_BYTES:
        raise BadSetting(f"The private key {path} has {len(private)} bytes: it takes {KEY_BYTES}.")
    return Sealing(name, private, read_roster(folder))


def admit(folder: Path, keys: Mapping[str, bytes]) -> Roster:
    """The folder's roster with more sites in it, written. Raises `BadSetting` for another key of a site it knows."""
    known = read_roster(folder) if (folder / ROSTER_FILE).exists() else Roster({})
    for name, key in keys.items():
        if known.keys.get(name, key) != key:
            raise BadSetting(
                f"{folder / ROSTER_FILE} has another key of site '{name}': ask there by telephone whether it made a "
                "new one, and if so take the old line out first."
            )
    roster = Roster({**known.keys, **keys})
    write_roster(folder, roster)
    return roster
