"""What train, compare, resume and demo share: run with progress, then write the report and show the result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unpooled.errors import Interrupted, UnpooledError

if TYPE_CHECKING:
    from unpooled.runs.config import Config


@dataclass(frozen=True)
class Ran:
    """A run that ended: its folder, its result, its report."""

    folder: Path
    outcome: dict[str, Any]
    report: Path

    def check(self) -> None:
        """Raise, now that the record is written and shown, when a cell failed."""
        failed = [c for c in self.outcome["cells"] if c["status"] == "failed"]
        if failed:
            more = f" So ended {len(failed)} of {len(self.outcome['cells'])} cells." if len(failed) > 1 else ""
            raise UnpooledError(f"{self.outcome['error']}{more} The record up to there is in {self.folder}.")


def run(config: Config, out: Path | None, *, workers: int) -> Ran:
    """Run `config`, with progress on a terminal, and write its report."""
    from unpooled.cli import show
    from unpooled.report import write_report
    from unpooled.runs.execute import default_folder
    from unpooled.runs.families import runner_of

    runner = runner_of(config)
    folder = out or default_folder(config)
    with stopped_cleanly(folder, f"unpooled resume {folder}"):
        with show.progress(config.title) as watch:
            outcome = runner(config, folder, workers=workers, watch=watch)
        return Ran(folder, outcome, write_report([folder], folder / "report.html"))


@contextmanager
def stopped_cleanly(folder: Path, again: str) -> Iterator[None]:
    """Say, after Ctrl-C, what there is of the run in `folder` and which command goes on with it."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        if not (folder / "config.toml").is_file():
            raise Interrupted("Stopped before training began; nothing was written.") from None
        raise Interrupted(f"Stopped. All finished work is saved; continue with: {again}") from None


def run_and_show(config: Config, out: Path | None, *, workers: int, as_json: bool) -> None:
    """`run`, and print the result; raises when a training failed."""
    from unpooled.cli import show

    ran = run(config, out, workers=workers)
    show.result(ran.folder, ran.outcome, as_json=as_json, report=ran.report)
    ran.check()
