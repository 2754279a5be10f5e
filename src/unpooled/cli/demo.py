"""`unpooled demo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from unpooled.cli.options import Format, OutputFormat, Workers, workers_or_cores
from unpooled.cli.running import run


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where records and report go.")] = Path("runs/demo"),
    workers: Workers = None,
    output: OutputFormat = Format.text,
) -> None:
    """Two real data sets, shared out to many small sites: five protocols, five seeds, one report."""
    from unpooled.cli import show
    from unpooled.report import write_report
    from unpooled.runs.demos import NAMES, demo_config

    rans = []
    for name in NAMES:
        rans.append(run(demo_config(name), out / name, workers=workers_or_cores(workers)))
        if output is Format.text:
            show.result(rans[-1].folder, rans[-1].outcome, as_json=False, report=rans[-1].report)
    page = write_report([ran.folder for ran in rans], out / "report.html", title="Small hospitals learn together")
    if output is Format.json:
        runs = [show.for_programs(ran.folder, ran.outcome, ran.report) for ran in rans]
        typer.echo(json.dumps({"report": str(page), "runs": runs}))
        return
    typer.echo(f"\nOpen {page.resolve()} in a browser. Then try:")
    typer.echo("  unpooled compare examples/heart_disease/heart_disease.toml --source FILE   # four real hospitals")
    typer.echo("  unpooled data describe FOLDER --target COLUMN   # your own files, one a site")
    typer.echo("  unpooled report RUN   # rebuild a report from its record")
