"""`unpooled study CONFIG`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unpooled.cli.options import ConfigFile, Format, OutputFormat, Workers, workers_or_cores

if TYPE_CHECKING:
    from unpooled.runs.studies import StudyConfig
    from unpooled.runs.study_run import Told


def study(
    config: ConfigFile,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="By default runs/study-TITLE.")] = None,
    workers: Workers = None,
    output: OutputFormat = Format.text,
) -> None:
    """Try methods of causal discovery on data whose graph is known: distances with intervals, a figure and a page."""
    from unpooled.runs import studies

    made = studies.load(config)
    run_and_show(
        made, out or studies.default_folder(made), workers=workers_or_cores(workers), as_json=output is Format.json
    )


def run_and_show(config: StudyConfig, folder: Path, *, workers: int, as_json: bool) -> None:
    """Run what is missing in the folder, write picture and page, and print the result."""
    import pandas as pd

    from unpooled.cli import show
    from unpooled.cli.running import stopped_cleanly
    from unpooled.figures.study import study_figure, study_table
    from unpooled.report import write_report
    from unpooled.runs.study_run import execute

    with stopped_cleanly(folder, f"unpooled resume {folder}"), _progress(config.title) as told:
        outcome = execute(config, folder, workers=workers, told=told)
    runs = pd.read_csv(folder / "runs.csv")
    drawn = folder / "study.png"
    study_figure(outcome, runs, config.measures[0]).savefig(drawn, dpi=150)
    page = write_report([folder], folder / "report.html")
    if as_json:
        cells = runs.to_dict("records")
        typer.echo(
            json.dumps({"folder": str(folder), "figure": str(drawn), "report": str(page), **outcome, "runs": cells})
        )
        return
    for measure in config.measures:
        show.page.print(show.rich_table(study_table(outcome, runs, measure)))
    typer.echo(f"Tables and figure: {folder}\nReport: {page}")


@contextmanager
def _progress(title: str) -> Iterator[Told]:
    """A bar over all cells on standard error; quiet where there is no terminal."""
    from unpooled.cli import show
    from unpooled.runs.progress import Tick

    with show.progress(title) as watch:
        yield lambda cell, done, total: watch(Tick(done, total, cell))
