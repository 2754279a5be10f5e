"""All commands in one table, in the order of the help page."""

from __future__ import annotations

from typing import Annotated

import typer

from unpooled import __version__
from unpooled.cli import (
    audit,
    compare,
    connect,
    coordinator,
    data,
    demo,
    discover,
    explain,
    flower,
    ledger,
    plan,
    policy,
    radon,
    report,
    resume,
    roster,
    runs,
    site,
    stream,
    study,
    train,
)

START = "Start here"
LEARN = "Learn one model over many sites"
LOOK = "Look into models and causes"
RECORD = "Go on with what was run"
SITES = "Sites on machines of their own"

app = typer.Typer(
    name="unpooled",
    help="Learn models together from data that must stay where it is.",
    epilog="Start with `unpooled demo`; `unpooled explain` shows why it works; then `unpooled data describe FOLDER`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", rich_help_panel=START)(demo.demo)
app.command("train", rich_help_panel=LEARN)(train.train)
app.command("compare", rich_help_panel=LEARN)(compare.compare)
app.command("stream", rich_help_panel=LEARN)(stream.stream)
app.command("connect", rich_help_panel=LOOK)(connect.connect)
app.command("discover", rich_help_panel=LOOK)(discover.discover)
app.command("study", rich_help_panel=LOOK)(study.study)
app.command("plan", rich_help_panel=LEARN)(plan.plan)
app.command("audit", rich_help_panel=LOOK)(audit.audit)
app.command("explain", rich_help_panel=START)(explain.explain)
app.command("report", rich_help_panel=RECORD)(report.report)
app.command("resume", rich_help_panel=RECORD)(resume.resume)
app.command("runs", rich_help_panel=RECORD)(runs.runs)
app.command("policy", rich_help_panel=SITES)(policy.policy)
app.add_typer(data.app, name="data", rich_help_panel=START)
app.add_typer(coordinator.app, name="coordinator", rich_help_panel=SITES)
app.add_typer(site.app, name="site", rich_help_panel=SITES)
app.add_typer(ledger.app, name="ledger", rich_help_panel=SITES)
app.add_typer(flower.app, name="flower", rich_help_panel=SITES)
app.add_typer(radon.app, name="radon", rich_help_panel=LEARN)
app.add_typer(roster.app, name="roster", rich_help_panel=SITES)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass
