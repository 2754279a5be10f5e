"""The exported Flower app: the config and imports, nothing else, and nothing of anybody's is overwritten."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from unpooled.errors import BadSetting
from unpooled.runs.flower import PACKAGE, export

CONFIG = """\
title = "Three hospitals: a “first” try"
[data]
source = "hospitals"
target = "sick"
[model]
kind = "linear"
[training]
steps = 4
lr = 0.1
[[protocols]]
kind = "FedDC"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def test_the_app_is_the_config_and_imports(config: Path, tmp_path: Path) -> None:
    folder = export(config, tmp_path / "app", ["berlin", "san-josé"])
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    package = [f"{PACKAGE}/{name}" for name in ("__init__.py", "client_app.py", "config.toml", "server_app.py")]
    assert files == ["pyproject.toml", *package]
    assert (folder / PACKAGE / "config.toml").read_text(encoding="utf-8") == CONFIG
    for name in ("server_app.py", "client_app.py", "__init__.py"):
        for line in ast.parse((folder / PACKAGE / name).read_text(encoding="utf-8")).body:
            assert isinstance(line, (ast.Import, ast.ImportFrom, ast.Assign))  # no function, no branch, no loop
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["name"] == "three-hospitals-a-first-try"
    assert project["tool"]["flwr"]["app"]["config"]["sites"] == "berlin san-josé"
    assert "federations" not in project["tool"]["flwr"]  # Flower would rewrite the file


def test_exporting_again_replaces_what_was_exported(config: Path, tmp_path: Path) -> None:
    export(config, tmp_path / "app", ["a"])
    config.write_text(CONFIG.replace("steps = 4", "steps = 5"), encoding="utf-8")
    folder = export(config, tmp_path / "app", ["a", "b"])
    assert "steps = 5" in (folder / PACKAGE / "config.toml").read_text(encoding="utf-8")
    assert 'sites = "a b"' in (folder / "pyproject.toml").read_text(encoding="utf-8")


def test_a_folder_of_something_else_is_left_alone(config: Path, tmp_path: Path) -> None:
    other = tmp_path / "app"
    other.mkdir()
    (other / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(BadSetting, match="choose another folder with --out"):
        export(config, other, [])
    assert (other / "pyproject.toml").read_text() == "[project]\n"
    with pytest.raises(BadSetting, match="choose another folder"):
        export(config, config, [])


@pytest.mark.parametrize("names", [["a", "a"], ["a b"], ["a,b"], ['a"b'], [""], [" "], ["a\\b"], ["a\nb"]])
def test_names_that_a_list_cannot_hold_are_refused(names: list[str], config: Path, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="Site names"):
        export(config, tmp_path / "app", names)
    assert not (tmp_path / "app").exists()


def test_a_config_that_cannot_be_used_is_refused_before_anything_is_written(config: Path, tmp_path: Path) -> None:
    config.write_text(CONFIG.replace("steps = 4", "stepps = 4"), encoding="utf-8")
    with pytest.raises(BadSetting, match="steps"):
        export(config, tmp_path / "app", ["a"])
    assert not (tmp_path / "app").exists()
