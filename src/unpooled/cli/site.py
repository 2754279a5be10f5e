"""`unpooled site`: a hospital's side of a federation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Take part in a federation with data that stays here.", no_args_is_help=True)
SiteFolder = Annotated[Path, typer.Argument(metavar="[FOLDER]", help="The site's folder; by default this one.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="The site's folder; by default named after the site.")]


@app.command("request")
def request(name: Annotated[str, typer.Argument(help="The site's name, such as berlin.")], out: Out = None) -> None:
    """Make the site's key, which stays here, and a request to send to the coordinator."""
    from unpooled.sites.transports.nats import site_folder

    typer.echo(f"Send this file to the coordinator: {site_folder.request(name, out or Path(name))}")


@app.command("join")
def join(
    file: Annotated[Path, typer.Argument(help="The join file from the coordinator.")],
    data: Annotated[Path, typer.Option(help="The site's rows: a CSV, Parquet or NPZ file, or a folder of images.")],
    policy: Annotated[Path | None, typer.Option(help="What the site answers; by default careful rules.")] = None,
    image_size: Annotated[
        tuple[int, int] | None, typer.Option(help="Height and width that images are brought to.")
    ] = None,
    out: Out = None,
) -> None:
    """Write the site's folder. Nothing is sent yet."""
    from unpooled.errors import BadData
    from unpooled.runs.policy_file import CAREFUL, read_policy
    from unpooled.sites.transports.nats import site_folder

    if not data.exists():
        raise BadData(f"There is no file or folder {data}: --data names the site's rows.")
    read_policy(policy)
    text = CAREFUL if policy is None else policy.read_text(encoding="utf-8")
    joined = site_folder.join(file, out, data, text, image_size=image_size or None)
    typer.echo(f"Site '{joined.site}' is ready in {joined.folder}. Look through {joined.policy}, then:")
    typer.echo(f"  unpooled site check {joined.folder}")
    typer.echo(f"  unpooled site run {joined.folder}")


@app.command("run")
def run(folder: SiteFolder = Path()) -> None:
    """Answer the coordinator's questions until stopped; the connection is mended for ever."""
    from unpooled.cli.logs import to_standard_error
    from unpooled.runs.at_site import open_agent
    from unpooled.runs.policy_file import read_policy
    from unpooled.sites.transports.nats import site_folder
    from unpooled.sites.transports.nats.serve import serve

    to_standard_error()
    site = site_folder.read(folder)
    agent = open_agent(site.site, site.data, folder, read_policy(site.policy), image_size=site.image_size)
    try:
        serve(agent, site.access)
    finally:
        agent.close()


@app.command("check")
def check(
    folder: SiteFolder = Path(),
    seconds: Annotated[float, typer.Option(help="How long to try to reach the broker.")] = 10.0,
) -> None:
    """Does the data read, what does the policy allow, is the broker there and does it let us in?"""
    from unpooled.errors import SiteFailed
    from unpooled.runs.policy_file import read_policy
    from unpooled.sites.loading import read_site
    from unpooled.sites.policy_words import policy_words
    from unpooled.sites.transports.nats import site_folder
    from unpooled.sites.transports.nats.reach import reach

    site = site_folder.read(folder)
    table = read_site(site.site, site.data, image_size=site.image_size).state["table"]
    typer.echo(f"data         {site.data}: {len(table)} rows, {len(table.columns)} columns")
    for about, rule in policy_words(read_policy(site.policy)):
        typer.echo(f"policy       {about}: {rule}")
    typer.echo(f"certificate  of '{site.site}' until {site.access.expires().date()}")
    trouble = reach(site.access, seconds)
    if trouble is not None:
        raise SiteFailed(f"No connection to {', '.join(site.urls)}: {trouble}")
    typer.echo(f"broker       {', '.join(site.urls)}: reached, and it lets us in")


@app.callback()
def _group() -> None:
    pass
