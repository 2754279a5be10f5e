"""`unpooled coordinator`: who takes part, the broker between coordinator and sites, and how a run stands."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from unpooled.cli.coordinate import run
from unpooled.cli.options import Format, OutputFormat

app = typer.Typer(help="Run a federation of sites on other machines.", no_args_is_help=True)
FederationFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The federation's folder.")]
Sites = Annotated[str, typer.Option("--sites", help="Names with commas between them, as in berlin,paris,rome.")]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@app.command("init")
def init(
    folder: FederationFolder,
    host: Annotated[list[str], typer.Option(help="A name or address sites reach the broker at; may be repeated.")],
    sites: Sites,
    port: Annotated[int, typer.Option(help="The one port that sites dial.")] = 4222,
    listen: Annotated[str, typer.Option(help="The address the broker listens at; by default all.")] = "",
) -> None:
    """Make a federation: certificates, the broker's config, and one join file for each site."""
    from unpooled.sites.transports.nats.federation import Folder

    made = Folder.make(folder, host, _names(sites), port=port, listen=listen)
    _say_joins([folder / "join" / f"{site}.join" for site in made.read().sites])
    typer.echo(f"Then: unpooled coordinator serve {folder}")


@app.command("admit")
def admit(
    folder: FederationFolder,
    sites: Sites,
    request: Annotated[Path | None, typer.Option(help="The site's request, where it made its own key.")] = None,
) -> None:
    """Admit sites, or renew their certificates: new join files, and the old ones open nothing any more."""
    from unpooled.errors import BadRecord
    from unpooled.sites.transports.nats.federation import Folder

    if request is not None and not request.is_file():
        raise BadRecord(f"There is no request {request}: `unpooled site request NAME` makes one, at the site.")
    asked = None if request is None else request.read_bytes()
    _say_joins(Folder(folder).admit(_names(sites), request=asked))


@app.command("remove")
def remove(folder: FederationFolder, sites: Sites) -> None:
    """Let sites in no more; a broker that is being served cuts them off within seconds."""
    from unpooled.sites.transports.nats.federation import Folder

    Folder(folder).remove(_names(sites))
    typer.echo(f"Removed: {sites}. Configs that count on these sites wait for them: see at_least in [federation].")


@app.command("renew")
def renew(folder: FederationFolder) -> None:
    """New certificates for the broker and the coordinator; sites notice nothing."""
    from unpooled.sites.transports.nats.federation import Folder

    Folder(folder).renew()
    ends = Folder(folder).expiries()
    typer.echo(f"The broker's certificate ends on {ends['broker'].date()}; restart `serve`, and runs, for the new one.")


@app.command("serve")
def serve(folder: FederationFolder) -> None:
    """Run the broker in the foreground until stopped."""
    from unpooled.cli.logs import to_standard_error
    from unpooled.sites.transports.nats.federation import Folder
    from unpooled.sites.transports.nats.service import serve as serve_broker

    to_standard_error()
    serve_broker(Folder(folder))


@app.command("status")
def status(folder: FederationFolder, output: OutputFormat = Format.text) -> None:
    """Sites and when they were last heard of, the run's round, speed and time left, and certificates that end soon."""
    from dataclasses import asdict

    from unpooled.sites.transports.nats.federation import Folder
    from unpooled.sites.transports.nats.status import status as status_of

    found = status_of(Folder(folder))
    if output is Format.json:
        typer.echo(json.dumps(asdict(found)))
        return
    from rich.table import Table

    from unpooled.cli.show import page

    table = Table("site", "state", "last heard of", "release", "certificate until")
    for site in found.sites:
        ago = "-" if site.seconds is None else f"{_clock(site.seconds)} ago"
        table.add_row(site.site, site.state, ago, site.release or "-", site.expires)
    page.print(table)
    typer.echo(f"Broker: {'served' if found.broker else 'not served; start `unpooled coordinator serve`'}")
    run = found.run
    if run:
        speed = f", {run['per_second']:.3g} a second" if run["per_second"] else ""
        left = f", {_clock(run['seconds_left'])} left" if run["seconds_left"] is not None else ""
        where = f" ({run['part']})" if run["part"] else ""
        typer.echo(f"Run '{run['title']}'{where}: {run['state']}, {run['done']} of {run['total']} done{speed}{left}")
        if run["waiting"] and run["state"] == "running":
            typer.echo(f"Waiting for: {', '.join(run['waiting'])}")
    for warning in found.warnings:
        page.print(f"Note: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _say_joins(files: list[Path]) -> None:
    typer.echo("One file a site. It opens the door to whoever holds it: send it where nobody else can read it.")
    for file in files:
        typer.echo(f"  {file}")


app.command("run")(run)


@app.callback()
def _group() -> None:
    pass
