"""`unpooled audit RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def audit(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    worlds: Annotated[int, typer.Option(help="How many times each method is trained anew: even, 8 or more.")] = 16,
) -> None:
    """Attack what the methods of a run show: can one tell who was trained on? Adds the answer to its report."""
    from unpooled.report import write_report
    from unpooled.runs.audit import audit_run

    audit_run(folder, worlds, lambda line: typer.echo(line, err=True))
    typer.echo(write_report([folder], folder / "report.html"))
