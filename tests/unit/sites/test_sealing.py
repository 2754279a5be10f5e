"""Letters between sites: who can open which, and what a site's folder must hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from unpooled.errors import BadSetting, Refused, SiteFailed
from unpooled.sites.keys import derive, new_private_key, public_key, seal, shared_secret
from unpooled.sites.sealing import OVERHEAD, Roster, Sealing, strangers
from unpooled.sites.sealing_files import admit, make_key, read_roster, read_sealing, write_roster

LETTER = b"a model of 31 numbers, or so" * 9
HOW = {"after": 7, "subject": "run 1"}


def test_the_recipient_opens_what_was_sealed_and_nothing_is_read_from_outside() -> None:
    sites = strangers(["a", "b", "c"])
    sealed = sites["a"].seal("b", LETTER, **HOW)  # type: ignore[arg-type]
    assert sites["b"].open(sealed, subject="run 1") == ("a", 7, LETTER)
    assert len(sealed) == len(LETTER) + OVERHEAD
    assert not any(LETTER[i : i + 8] in sealed for i in range(len(LETTER) - 8))
    again = sites["a"].seal("b", LETTER, **HOW)  # type: ignore[arg-type]
    assert again[40:] != sealed[40:], "every letter has a key of its own"
    assert sum(x == y for x, y in zip(again[40:], sealed[40:], strict=True)) < len(again) / 20


def test_a_site_may_write_to_itself() -> None:
    (site,) = strangers(["a"]).values()
    assert site.open(site.seal("a", LETTER, **HOW), subject="run 1").letter == LETTER  # type: ignore[arg-type]


def test_nobody_else_opens_it() -> None:
    sites = strangers(["a", "b", "c"])
    sealed = sites["a"].seal("b", LETTER, **HOW)  # type: ignore[arg-type]
    for name in ("a", "c"):
        with pytest.raises(SiteFailed, match="was changed on the way, or is not meant for this place"):
            sites[name].open(sealed, subject="run 1")


@pytest.mark.parametrize("place", [0, 7, 8, 40, 72, 100, -1])
def test_each_byte_counts(place: int) -> None:
    """The step, the sender's key, the fresh key, the letter and the tag."""
    sites = strangers(["a", "b"])
    broken = bytearray(sites["a"].seal("b", LETTER, **HOW))  # type: ignore[arg-type]
    broken[place] ^= 1
    with pytest.raises((SiteFailed, Refused)):
        sites["b"].open(bytes(broken), subject="run 1")


@pytest.mark.parametrize("data", [b"", b"x", bytes(OVERHEAD - 1), bytes(OVERHEAD), bytes(500)])
def test_what_is_no_letter_is_refused(data: bytes) -> None:
    with pytest.raises((SiteFailed, Refused), match=r"was cut|not in its roster"):
        strangers(["a"])["a"].open(data, subject="run 1")


def test_another_subject_opens_nothing() -> None:
    sites = strangers(["a", "b"])
    sealed = sites["a"].seal("b", LETTER, **HOW)  # type: ignore[arg-type]
    with pytest.raises(SiteFailed, match="changed on the way"):
        sites["b"].open(sealed, subject="run 2")


def test_a_letter_names_its_sender_truly() -> None:
    """Who relays letters knows every public key. It can seal for anybody, but not in a site's name."""
    sites = strangers(["a", "b"])
    a, b = public_key(sites["a"].private), public_key(sites["b"].private)
    own = new_private_key()
    once = public_key(own)
    for stolen in (shared_secret(own, b), bytes(32)):
        key = derive(shared_secret(own, b) + stolen, b"".join((b"unpooled sealed letter 1", once, a, b)))
        forged = (7).to_bytes(8, "little") + a + once + seal(key, LETTER, '["a", "b", 7, "run 1"]')
        with pytest.raises(SiteFailed, match="changed on the way"):
            sites["b"].open(forged, subject="run 1")


def test_the_forgery_above_fails_for_want_of_the_key_alone() -> None:
    sites = strangers(["a", "b"])
    a, b = public_key(sites["a"].private), public_key(sites["b"].private)
    fresh = new_private_key()
    both = shared_secret(fresh, b) + shared_secret(sites["a"].private, b)
    key = derive(both, b"".join((b"unpooled sealed letter 1", public_key(fresh), a, b)))
    by_hand = (7).to_bytes(8, "little") + a + public_key(fresh) + seal(key, LETTER, '["a", "b", 7, "run 1"]')
    assert sites["b"].open(by_hand, subject="run 1") == ("a", 7, LETTER)


def test_strangers_are_refused_both_ways() -> None:
    sites, others = strangers(["a", "b"]), strangers(["a", "z"])
    with pytest.raises(Refused, match="its roster has no site 'z'"):
        sites["a"].seal("z", LETTER, **HOW)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="comes from a key that is not in its roster"):
        sites["a"].open(others["z"].seal("a", LETTER, **HOW), subject="run 1")  # type: ignore[arg-type]


def test_a_key_of_small_order_is_no_key() -> None:
    """X25519 with such a point gives zeros, whatever the private key."""
    private = new_private_key()
    sealing = Sealing("a", private, Roster({"a": public_key(private), "b": bytes(32)}))
    with pytest.raises(SiteFailed, match="no key of X25519"):
        sealing.seal("b", LETTER, **HOW)  # type: ignore[arg-type]


# --- the folder ------------------------------------------------------------------------------------------------------


def test_a_site_reads_its_folder(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("köln", "b")}
    for folder in folders.values():
        folder.mkdir()
    roster = Roster({name: make_key(folder) for name, folder in folders.items()})
    for folder in folders.values():
        write_roster(folder, roster)
    a, b = (read_sealing(folder, name) for name, folder in folders.items())
    assert b.open(a.seal("b", LETTER, **HOW), subject="run 1").sender == "köln"  # type: ignore[arg-type]
    assert (folders["b"] / "sealing.key").stat().st_mode & 0o777 == 0o600
    assert a.private.hex() not in repr(a)


def test_fingerprints_differ_when_any_key_does(tmp_path: Path) -> None:
    roster = strangers(["a", "b"])["a"].roster
    (tmp_path / "x").mkdir()
    write_roster(tmp_path / "x", roster)
    assert read_roster(tmp_path / "x").fingerprint == roster.fingerprint
    other = Roster({**roster.keys, "b": public_key(new_private_key())})
    assert len({roster.fingerprint, other.fingerprint, Roster({"a": roster.keys["a"]}).fingerprint}) == 3


def test_a_second_key_is_not_made(tmp_path: Path) -> None:
    make_key(tmp_path)
    with pytest.raises(BadSetting, match=r"There is a key at .* already"):
        make_key(tmp_path)


def test_folders_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"no private key at .*sealing\.key"):
        read_sealing(tmp_path, "a")
    own = make_key(tmp_path)
    with pytest.raises(BadSetting, match=r"no roster of public keys at .*roster\.json"):
        read_sealing(tmp_path, "a")
    write_roster(tmp_path, Roster({"b": own}))
    with pytest.raises(BadSetting, match="does not hold the public key of site 'a' itself"):
        read_sealing(tmp_path, "a")
    (tmp_path / "sealing.key").chmod(0o644)
    with pytest.raises(BadSetting, match=r"Others on this machine can read the private key .* chmod 600"):
        read_sealing(tmp_path, "b")
    (tmp_path / "sealing.key").chmod(0o600)
    (tmp_path / "sealing.key").write_text("abcd")
    with pytest.raises(BadSetting, match="has 2 bytes: it takes 32"):
        read_sealing(tmp_path, "b")
    (tmp_path / "roster.json").write_text('{"a": "zz"}')
    with pytest.raises(BadSetting, match="no roster"):
        read_roster(tmp_path)


def test_rosters_hold_keys_of_one_site_each() -> None:
    with pytest.raises(BadSetting, match="key of site 'a' has 3 bytes: it takes 32"):
        Roster({"a": b"abc"})
    with pytest.raises(BadSetting, match="Two sites of the roster have the same key"):
        Roster({"a": bytes(32), "b": bytes(32)})


def test_a_known_key_is_not_replaced(tmp_path: Path) -> None:
    first, other = public_key(new_private_key()), public_key(new_private_key())
    admit(tmp_path, {"a": first})
    assert read_roster(tmp_path).keys == {"a": first}
    assert admit(tmp_path, {"a": first, "b": other}).keys == {"a": first, "b": other} == read_roster(tmp_path).keys
    with pytest.raises(BadSetting, match=r"roster\.json has another key of site 'b': ask there by telephone"):
        admit(tmp_path, {"b": public_key(new_private_key())})
    assert read_roster(tmp_path).keys == {"a": first, "b": other}
