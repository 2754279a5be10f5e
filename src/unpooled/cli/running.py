"""What train, compare, resume and demo share: run with progress, then write the report and show the result."""

from __future__ import annotations

from pathlib import Path

from unpooled.errors import Diverged, Interrupted
from unpooled.runs.config import Config
from unpooled.runs.execute import default_folder
from unpooled.runs.families import runner_of


def run(config: Config, out: Path | None, *, workers: int, as_json: bool, quiet: bool = False) -> Path:
    """Run `config`; the folder is returned. Raises `Diverged` after the record is written when a training failed."""
    from unpooled.cli import show
    from unpooled.report import write_report

    folder = out or default_folder(config)
    runner = runner_of(config)
    try:
        with show.progress(config.title) as watch:
            outcome = runner(config, folder, workers=workers, watch=watch)
    except Interrupted:
        raise Interrupted(f"Stopped. All finished work is saved; continue with: unpooled resume {folder}") from None
    report = write_report([folder], folder / "report.html")
    if not quiet:
        show.result(folder, outcome, as_json=as_json, report=report)
    if outcome["error"]:
        raise Diverged(f"{outcome['error']} The record up to there is in {folder}.")
    return folder
