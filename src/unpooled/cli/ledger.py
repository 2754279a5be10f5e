"""`unpooled ledger verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="A site's record of what left it.", no_args_is_help=True)


@app.command("verify")
def verify(
    path: Annotated[Path, typer.Argument(metavar="LEDGER", help="One ledger (.jsonl), or a folder that holds some.")],
    head: Annotated[str | None, typer.Option(help="The hash that the newest line must have (from the record).")] = None,
) -> None:
    """Check that no line was changed, removed or moved."""
    from unpooled.errors import BadRecord, BadSetting
    from unpooled.sites.ledger import verify as verify_ledger

    files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise BadRecord(f"There is no ledger (.jsonl) in {path}: runs write them with `ledger = true` in the config.")
    if head is not None and len(files) > 1:
        raise BadSetting(f"--head belongs to one ledger, but {path} holds {len(files)}: name one.")
    for file in files:
        typer.echo(f"{file}: {verify_ledger(file, head=head)} lines, chain whole")


@app.callback()
def _group() -> None:
    pass
