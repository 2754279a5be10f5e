"""`unpooled roster`: two sites make keys, hand them to each other and compare what they have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.calls import Call
from unpooled.errors import Refused
from unpooled.sites.sealing_files import read_sealing


def test_two_sites_admit_each_other(call: Call, tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("berlin", "st. anna")}
    lines = {name: call("roster", "key", folder, "--name", name).out.strip() for name, folder in folders.items()}
    assert all(line.startswith(f"{name}=") for name, line in lines.items())
    with pytest.raises(Refused, match=r"its roster has no site 'st\. anna'"):
        read_sealing(folders["berlin"], "berlin").seal("st. anna", b"model", after=1, subject="")
    for name, folder in folders.items():
        added = call("roster", "add", folder, *(line for other, line in lines.items() if other != name))
        assert added.code == 0
        assert ": 1 added; fingerprint " in added.out
    shown = [call("roster", "show", folder).out.splitlines() for folder in folders.values()]
    assert shown[0][:2] == shown[1][:2] == list(lines.values())
    assert shown[0][2].split("fingerprint ")[1] == shown[1][2].split("fingerprint ")[1]
    berlin, anna = (read_sealing(folder, name) for name, folder in folders.items())
    sealed = berlin.seal("st. anna", b"model", after=1, subject="")
    assert anna.open(sealed, subject="") == ("berlin", 1, b"model")


def test_a_key_is_made_once_and_replaced_by_nobody(call: Call, tmp_path: Path) -> None:
    first = call("roster", "key", tmp_path, "--name", "a").out
    again = call("roster", "key", tmp_path, "--name", "a")
    assert again.code == 2
    assert "There is a key at" in again.err
    other = call("roster", "key", tmp_path / "other", "--name", "b").out.strip().partition("=")[2]
    refused = call("roster", "add", tmp_path, f"a={other}")
    assert refused.code == 2
    assert "has another key of site 'a'" in refused.err
    assert call("roster", "show", tmp_path).out.splitlines()[0] == first.strip()
