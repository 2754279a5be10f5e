"""`unpooled resume RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unpooled.cli import connect, discover, stream, study
from unpooled.cli.options import Format, OutputFormat, Workers, workers_or_cores
from unpooled.cli.running import run_and_show


def resume(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run that was stopped or killed.")],
    workers: Workers = None,
    output: OutputFormat = Format.text,
) -> None:
    """Continue a run where it stopped; it ends as if it had never been stopped, to the bit."""
    from unpooled.runs import connect as comparisons
    from unpooled.runs import discovery, streams, studies
    from unpooled.runs.record import config_of
    from unpooled.runs.stream_run import is_stream_run
    from unpooled.runs.study_run import is_study

    if comparisons.is_comparison(folder):
        connect.run_and_show([(comparisons.load(folder), folder)], None, as_json=output is Format.json)
        return
    if discovery.is_discovery(folder):
        discover.run_and_show(discovery.load(folder / "config.toml"), folder, as_json=output is Format.json)
        return
    if is_study(folder):
        config = studies.load(folder / "config.toml")
        study.run_and_show(config, folder, workers=workers_or_cores(workers), as_json=output is Format.json)
        return
    if is_stream_run(folder):
        stream.run_and_show(streams.plan(streams.load(folder / "config.toml")), folder, as_json=output is Format.json)
        return
    run_and_show(config_of(folder), folder, workers=workers_or_cores(workers), as_json=output is Format.json)
