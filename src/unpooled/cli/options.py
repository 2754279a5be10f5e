"""Options that several commands share."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unpooled.runs.config import Config


class Format(StrEnum):
    """For people or for programs."""

    text = "text"
    json = "json"


ConfigFile = Annotated[Path, typer.Argument(help="A TOML config; examples/ has some to start from.")]
Source = Annotated[
    Path | None,
    typer.Option(help="Your own copy of the data: a file or folder that replaces `source` in the config's [data]."),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="The run's folder; by default runs/TITLE-HASH.")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", "-w", min=1, help="Processes that train at once, by default one a core; no bit depends on it."
    ),
]
OutputFormat = Annotated[Format, typer.Option("--format", help="What is printed: text, or json for programs.")]


def workers_or_cores(workers: int | None) -> int:
    """The number asked for, or that of the cores this process may use."""
    return workers if workers is not None else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def load_config(path: Path, source: Path | None) -> Config:
    """The config in `path`; `source`, if given, replaces that of [data] and starts at the working directory."""
    from unpooled.runs.config import load, with_source

    config = load(path)
    return config if source is None else with_source(config, str(source.expanduser().resolve()))
