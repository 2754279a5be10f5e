"""`unpooled runs`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from unpooled.cli.options import Format, OutputFormat


def runs(
    root: Annotated[Path, typer.Argument(help="Where to look, two levels deep.")] = Path("runs"),
    output: OutputFormat = Format.text,
) -> None:
    """List the runs in a folder: status, cells done, folder."""
    from rich.console import Console
    from rich.table import Table

    from unpooled.runs.files import read_json

    paths = sorted({*root.glob("result.json"), *root.glob("*/result.json"), *root.glob("*/*/result.json")})
    found = [(path.parent, read_json(path)) for path in paths]
    if output is Format.json:
        keys = ("title", "identity", "status", "started", "seconds")
        typer.echo(json.dumps([{"folder": str(folder), **{k: r[k] for k in keys}} for folder, r in found]))
        return
    if not found:
        typer.echo(f"There are no runs in {root}. Start with: unpooled demo")
        return
    table = Table("title", "status", "cells", "started", "folder")
    for folder, r in found:
        done = sum(c["status"] == "finished" for c in r["cells"])
        table.add_row(r["title"], r["status"], f"{done}/{len(r['cells'])}", r["started"], str(folder))
    Console().print(table)
