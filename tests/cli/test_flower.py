"""`unpooled flower`: it says what to do next."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.calls import Call, write_config


def test_export_says_the_next_command(call: Call, tmp_path: Path) -> None:
    config = write_config(tmp_path)
    shown = call("flower", "export", str(config), "--out", str(tmp_path / "app"), "--site", "a", "-s", "b")
    assert shown.code == 0
    assert f"flwr run {tmp_path / 'app'} SUPERLINK --stream\n" in shown.out
    assert 'sites = "a b"' in (tmp_path / "app/pyproject.toml").read_text()
    nameless = call("flower", "export", str(config), "--out", str(tmp_path / "app"))
    assert "--run-config 'sites=\"NAME NAME\"'" in nameless.out


def test_guard_without_flower_says_what_to_install(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flwr", None)
    shown = call("flower", "guard", str(tmp_path / "guard"))
    assert shown.code == 2
    assert "pip install 'unpooled[flower]'" in shown.err
    assert not (tmp_path / "guard").exists()
