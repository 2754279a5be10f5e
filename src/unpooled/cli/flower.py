"""`unpooled flower export` and `unpooled flower guard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unpooled.cli.options import ConfigFile

app = typer.Typer(help="For those who run Flower already: unpooled as a Flower app.", no_args_is_help=True)

NEXT = """\
Wrote {folder}: {config} and a few lines that import unpooled, which every machine installs itself.
Next, on the SuperLink's machine:
  flwr run {folder} SUPERLINK --stream{sites}
and the same again where a run was stopped: it continues. docs/flower.md says how to start SuperLink and SuperNodes."""


@app.command("export")
def export(
    config: ConfigFile,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The app's folder; by default flower/TITLE.")] = None,
    site: Annotated[
        list[str] | None,
        typer.Option("--site", "-s", help="Name that a SuperNode was registered under; once for each site."),
    ] = None,
) -> None:
    """Write CONFIG as an app folder: what the command flwr run takes."""
    from unpooled.runs.flower import export as write_app

    folder = write_app(config, out, site or [])
    sites = "" if site else " --run-config 'sites=\"NAME NAME\"'"
    typer.echo(NEXT.format(folder=folder, config=config.name, sites=sites))


@app.command("guard")
def guard(
    folder: Annotated[
        Path, typer.Argument(help="A folder for the commands; it goes first on the PATH of a SuperNode.")
    ],
) -> None:
    """Write commands that keep a SuperNode from running any code but that of the unpooled installed here."""
    from unpooled.sites.transports.flower.guarded import write_commands

    write_commands(folder, "unpooled.runs.flower_site")
    typer.echo(
        f"Start the SuperNode with PATH={folder.resolve()}:$PATH, and look at its log: it says so for each message."
    )


@app.callback()
def _group() -> None:
    pass
