"""`unpooled resume RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unpooled.cli.options import Format, OutputFormat, Workers, workers_or_cores
from unpooled.cli.running import run


def resume(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run that was stopped or killed.")],
    workers: Workers = None,
    output: OutputFormat = Format.text,
) -> None:
    """Continue a run where it stopped; it ends as if it had never been stopped, to the bit."""
    from unpooled.errors import BadRecord
    from unpooled.runs.record import config_of

    if not (folder / "config.toml").is_file():
        raise BadRecord(f"There is no run in {folder}: `unpooled runs` lists the runs that exist.")
    run(config_of(folder), folder, workers=workers_or_cores(workers), as_json=output is Format.json)
