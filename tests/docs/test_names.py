"""What can be called is written about: every command, every option that a page shows, every public name."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from unpooled.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
SHELL = re.compile(r"```(?:sh|bash|console)\n(.*?)```", re.S)


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands that do something, with the words that call them."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, each in inner.items():
        yield from commands(each, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


def calls() -> list[tuple[str, list[str]]]:
    """Every call of unpooled in a shell block: (page, words)."""
    found = []
    for page in PAGES:
        for block in SHELL.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                for part in re.split(r"&&|;|\|", line):
                    words = shlex.split(part, comments=True)
                    if words[:1] == ["unpooled"]:
                        found.append((page.name, words[1:]))
    return found


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_is_shown_on_a_page_and_says_what_it_does(path: tuple[str, ...]) -> None:
    assert any(" ".join(("unpooled", *path)) in page.read_text(encoding="utf-8") for page in PAGES)
    assert COMMANDS[path].help
    for parameter in COMMANDS[path].params:
        assert getattr(parameter, "help", None), f"{' '.join(path)}: {parameter.name} has no help."


def test_pages_show_calls() -> None:
    assert len(calls()) > 40


@pytest.mark.parametrize(
    ("page", "words"), calls(), ids=lambda part: " ".join(part) if isinstance(part, list) else part
)
def test_a_call_on_a_page_exists_with_its_options(page: str, words: list[str]) -> None:
    path = max((p for p in COMMANDS if tuple(words[: len(p)]) == p), key=len, default=None)
    if path is None:
        assert words == [] or words[0].startswith("--"), f"{page}: there is no `unpooled {' '.join(words)}`."
        return
    options = {name for parameter in COMMANDS[path].params for name in (*parameter.opts, *parameter.secondary_opts)}
    asked = {word.partition("=")[0] for word in words[len(path) :] if re.match(r"--?[A-Za-z]", word)}
    assert asked <= options | {"--help", "-h"}, f"{page}: {asked - options} of `unpooled {' '.join(path)}`."


PACKAGES = ("", ".parallel", ".connectivity", ".causal.peri", ".combine", ".figures", ".report", ".explain")


def public() -> Iterator[tuple[str, str]]:
    """Functions and classes that packages name as public: (package, name)."""
    for package in PACKAGES:
        module = importlib.import_module(f"unpooled{package}")
        for name in module.__all__:
            found = getattr(module, name)
            if callable(found) and getattr(found, "__module__", "").startswith("unpooled"):
                yield module.__name__, name


@pytest.mark.parametrize(("package", "name"), list(public()))
def test_a_public_name_is_in_the_reference_and_has_a_docstring(package: str, name: str) -> None:
    found = getattr(importlib.import_module(package), name)
    assert found.__doc__
    if not hasattr(found, "__qualname__"):
        return  # a value, told by the docstring of its class
    home = found.__module__
    documented = set(re.findall(r"^::: (\S+)", REFERENCE, re.M))
    told = {home, f"{home}.{found.__qualname__}"} | ({package} - {"unpooled"})  # a package shows what it names
    assert told & documented, f"docs/reference.md lacks {home}.{found.__qualname__}."
