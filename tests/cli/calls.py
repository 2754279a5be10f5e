"""Call the command line in this process, and small sites and configs to call it with."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from unpooled.cli import main


@dataclass(frozen=True)
class Called:
    """What a command gave back."""

    code: int
    out: str
    err: str


Call = Callable[..., Called]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs `unpooled ...` as a shell would, without a terminal."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> Called:
        monkeypatch.setattr(sys, "argv", ["unpooled", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            code: Any = 0
        except SystemExit as end:
            code = end.code or 0
        return Called(code, *capfd.readouterr())

    return run


def write_sites(folder: Path, sites: int = 3, rows: int = 12) -> Path:
    """One CSV a site: two features that tell the class, up to noise."""
    folder.mkdir()
    rng = np.random.default_rng(7)
    for i in range(sites):
        lines = ["age,pressure,y"]
        for j in range(rows):
            y = j % 2
            lines.append(f"{50 + 10 * y + rng.normal():.3f},{120 - 5 * y + rng.normal():.3f},{'ill' if y else 'well'}")
        (folder / f"clinic-{i}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def tables(**changes: Any) -> dict[str, Any]:
    """A config for these sites as plain tables; `changes` replaces settings (`training__steps` is [training] steps)."""
    table: dict[str, Any] = {
        "title": "Three clinics",
        "data": {"source": "sites", "target": "y"},
        "model": {"kind": "linear"},
        "training": {"steps": 20, "lr": 0.1, "executor": "reference", "evaluate_every": 10},
        "protocols": [{"kind": "FedAvg", "aggregate_period": 5}, {"kind": "Local"}],
        "seeds": [0],
    }
    for path, value in changes.items():
        *way, last = path.split("__")
        inner = table
        for step in way:
            inner = inner.setdefault(step, {})
        inner[last] = copy.deepcopy(value)
    return table


def write_config(folder: Path, **changes: Any) -> Path:
    """The config in a file, beside sites that are made where they are missing."""
    if not (folder / "sites").exists():
        write_sites(folder / "sites")
    path = folder / "config.toml"
    path.write_text(tomli_w.dumps(tables(**changes)), encoding="utf-8")
    return path
