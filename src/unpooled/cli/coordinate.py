"""`unpooled coordinator run CONFIG`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from unpooled.cli.options import ConfigFile, Format, Out, OutputFormat, load_config


def run(
    config: ConfigFile,
    federation: Annotated[Path, typer.Option("--federation", "-f", help="The federation's folder.")],
    protocol: Annotated[str | None, typer.Option(help="Which protocol of the config; by default its first.")] = None,
    seed: Annotated[int | None, typer.Option(help="By default the config's first.")] = None,
    whole: Annotated[bool, typer.Option("--all", help="Every protocol with every seed, one after the other.")] = False,
    out: Out = None,
    output: OutputFormat = Format.text,
) -> None:
    """Train over the sites of a federation: what `unpooled train CONFIG` does in one process.

    Stopped or killed at any point, the same command goes on where it was.
    """
    from unpooled.cli import show
    from unpooled.cli.logs import to_standard_error
    from unpooled.cli.running import Ran, stopped_cleanly
    from unpooled.errors import BadSetting
    from unpooled.report import write_report
    from unpooled.runs.config import real_sites
    from unpooled.runs.execute import default_folder, only
    from unpooled.runs.real import execute_over
    from unpooled.sites.transports.nats.link import open_link
    from unpooled.sites.transports.nats.status import Progress

    if whole and (protocol is not None or seed is not None):
        raise BadSetting("--all runs every protocol with every seed: leave --protocol and --seed out, or --all.")
    loaded = load_config(config, None)
    chosen = real_sites(loaded if whole else only(loaded, protocol=protocol, seed=seed))
    folder = out or default_folder(chosen)
    to_standard_error()
    again = f"unpooled coordinator run {config} --federation {federation} --out {folder}"
    told = Progress(federation, chosen.title)
    with closing(open_link(federation)) as link, stopped_cleanly(folder, again), show.progress(chosen.title) as watch:
        outcome = execute_over(link, chosen, folder, told=told, watch=watch)
    ran = Ran(folder, outcome, write_report([folder], folder / "report.html"))
    show.result(ran.folder, ran.outcome, as_json=output is Format.json, report=ran.report)
    ran.check()
