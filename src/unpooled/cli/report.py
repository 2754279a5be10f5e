"""`unpooled report RUN...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of one or more runs.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="By default report.html in the first folder.")] = None,
    title: Annotated[str | None, typer.Option(help="A title for the page.")] = None,
) -> None:
    """Rebuild the report from the record alone; several runs make one page."""
    from unpooled.report import write_report

    typer.echo(write_report(folders, out or folders[0] / "report.html", title=title))
