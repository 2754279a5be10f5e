"""Letters from one site to another that nobody between them can read, change or forge.

Each site has a long-term key of X25519, and a roster of the others' public keys that it was admitted with. Both lie in
the site's own folder; no question reads or writes them, so a coordinator that relays letters cannot put its own key in
anybody's place. A letter's key comes from two agreements at once, of a fresh key and of the sender's long-term key with
the recipient's (as AuthEncap of RFC 9180, section 4.1, does): each letter looks different, and only the sender named in
it can have written it. There is no secrecy against who gets hold of a recipient's long-term key later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from unpooled.errors import BadSetting, Refused, SiteFailed
from unpooled.sites.keys import (
    KEY_BYTES,
    SEAL_BYTES,
    Buffer,
    derive,
    new_private_key,
    public_key,
    seal,
    shared_secret,
    unseal,
)

STATE = "sealing"
"""Where a site's `Sealing` stands among what its handlers keep (`Site.state`)."""
OVERHEAD = 8 + 2 * KEY_BYTES + SEAL_BYTES
"""Bytes that a sealed letter is longer than the letter: when, who, a fresh public key, and a tag."""
_USE = b"unpooled sealed letter 1"


@dataclass(frozen=True)
class Roster:
    """Public keys (32 bytes each) by site name: who may write to whom. Raises `BadSetting` for what is no key."""

    keys: Mapping[str, bytes]

    def __post_init__(self) -> None:
        for name, key in self.keys.items():
            if len(key) != KEY_BYTES:
                raise BadSetting(f"The roster's key of site '{name}' has {len(key)} bytes: it takes {KEY_BYTES}.")
        if len(set(self.keys.values())) < len(self.keys):
            raise BadSetting("Two sites of the roster have the same key: each site makes its own.")

    def key_of(self, name: str) -> bytes:
        """The public key of that site; raises `Refused` where the roster has none."""
        if name not in self.keys:
            raise Refused(f"its roster has no site '{name}', so nothing is sealed for it: admit that site first.")
        return self.keys[name]

    def name_of(self, key: bytes) -> str:
        """Whose public key that is; raises `Refused` for nobody's."""
        for name, known in self.keys.items():
            if known == key:
                return name
        raise Refused("a sealed letter comes from a key that is not in its roster: admit that site first.")

    @property
    def fingerprint(self) -> str:
        """24 hexadecimal digits that differ when anybody's key does: to be compared between sites, by telephone."""
        lines = "".join(f"{name}={key.hex()}\n" for name, key in sorted(self.keys.items()))
        return sha256(lines.encode()).hexdigest()[:24]


class Opened(NamedTuple):
    """A letter, who wrote it, and `after` how many local steps."""

    sender: str
    after: int
    letter: bytes


@dataclass(frozen=True)
class Sealing:
    """What the site `name` seals and opens letters with; raises `BadSetting` where the roster knows it otherwise."""

    name: str
    private: bytes = field(repr=False)
    roster: Roster
    _lasting: dict[bytes, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.roster.keys.get(self.name) != public_key(self.private):
            raise BadSetting(
                f"The roster does not hold the public key of site '{self.name}' itself: make it again from the keys "
                "that all sites have now."
            )

    def seal(self, recipient: str, letter: Buffer, *, after: int, subject: str) -> bytes:
        """The letter for `recipient`, `OVERHEAD` bytes longer. Raises `Refused` for a site that is not in the roster.

        `subject` is what both ends must agree on before the letter can be opened.
        """
        to = self.roster.key_of(recipient)
        fresh = new_private_key()
        own, once = self.roster.keys[self.name], public_key(fresh)
        key = _letter_key(shared_secret(fresh, to), self._shared_with(to), once, own, to)
        sealed = seal(key, letter, _context(self.name, recipient, after, subject))
        return b"".join((after.to_bytes(8, "little"), own, once, sealed))

    def open(self, data: bytes, *, subject: str) -> Opened:
        """The letter in `data`. Raises `Refused` for an unknown sender, `SiteFailed` where it cannot be opened."""
        whole = memoryview(data)
        if len(whole) < OVERHEAD:
            raise SiteFailed(f"a sealed letter of {len(whole)} bytes was cut: it takes {OVERHEAD} or more.")
        after, theirs = int.from_bytes(whole[:8], "little"), bytes(whole[8 : 8 + KEY_BYTES])
        once, sealed = bytes(whole[8 + KEY_BYTES : 8 + 2 * KEY_BYTES]), whole[8 + 2 * KEY_BYTES :]
        sender = self.roster.name_of(theirs)
        secrets = shared_secret(self.private, once), self._shared_with(theirs)
        key = _letter_key(*secrets, once, theirs, self.roster.keys[self.name])
        return Opened(sender, after, unseal(key, sealed, _context(sender, self.name, after, subject)))

    def _shared_with(self, other: bytes) -> bytes:
        """What the long-term keys agree on, which is the same for all letters between two sites."""
        if other not in self._lasting:
            self._lasting[other] = shared_secret(self.private, other)
        return self._lasting[other]


def _letter_key(fresh: bytes, lasting: bytes, *public: bytes) -> bytes:
    return derive(fresh + lasting, b"".join((_USE, *public)))


def _context(sender: str, recipient: str, after: int, subject: str) -> str:
    return json.dumps([sender, recipient, after, subject])


def strangers(names: Iterable[str]) -> dict[str, Sealing]:
    """Fresh keys for sites of this process, all in one roster: for simulations."""
    private = {name: new_private_key() for name in names}
    roster = Roster({name: public_key(key) for name, key in private.items()})
    return {name: Sealing(name, key, roster) for name, key in private.items()}
