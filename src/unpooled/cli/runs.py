"""`unpooled runs`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from unpooled.cli.options import Format, OutputFormat


def runs(
    root: Annotated[Path, typer.Argument(help="Where to look, two levels deep.")] = Path("runs"),
    output: OutputFormat = Format.text,
) -> None:
    """List the runs in a folder: status, cells done, folder."""
    from rich.console import Console
    from rich.table import Table

    paths = sorted({*root.glob("result.json"), *root.glob("*/result.json"), *root.glob("*/*/result.json")})
    found = [(path.parent, _read(path)) for path in paths]
    if output is Format.json:
        keys = ("title", "identity", "status", "started", "seconds")
        typer.echo(json.dumps([{"folder": str(folder), **{k: r.get(k) for k in keys}} for folder, r in found]))
        return
    if not found:
        typer.echo(f"There are no runs in {root}. Start with: unpooled demo")
        return
    table = Table("title", "status", "cells", "started")
    table.add_column("folder", overflow="fold")
    for folder, r in found:
        cells = r.get("cells", [])
        done = sum(c["status"] == "finished" for c in cells)
        table.add_row(r.get("title", "?"), r["status"], f"{done}/{len(cells)}", r.get("started", "?"), str(folder))
    Console().print(table)


def _read(path: Path) -> dict[str, Any]:
    """A run's result; one that cannot be read is listed as such, so that it does not hide the others."""
    from unpooled.errors import BadRecord
    from unpooled.runs.files import read_json

    try:
        result: dict[str, Any] = read_json(path)
    except BadRecord:
        return {"status": "unreadable"}
    return result if {"title", "status", "cells"} <= set(result) else {"status": "unreadable"}
