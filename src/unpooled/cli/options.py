"""Options that several commands share."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """For people or for programs."""

    text = "text"
    json = "json"


ConfigFile = Annotated[Path, typer.Argument(help="A TOML config; examples/ has some to start from.")]
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
