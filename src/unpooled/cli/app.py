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

app = typer.Typer(
    name="unpooled",
    help="Learn models together from data that must stay where it is.",
    epilog="Start with `unpooled demo`; `unpooled explain` shows why it works; then `unpooled data describe FOLDER`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("compare")(compare.compare)
app.command("stream")(stream.stream)
app.command("connect")(connect.connect)
app.command("discover")(discover.discover)
app.command("study")(study.study)
app.command("plan")(plan.plan)
app.command("audit")(audit.audit)
app.command("explain")(explain.explain)
app.command("report")(report.report)
app.command("resume")(resume.resume)
app.command("runs")(runs.runs)
app.command("policy")(policy.policy)
app.add_typer(data.app, name="data")
app.add_typer(coordinator.app, name="coordinator")
app.add_typer(site.app, name="site")
app.add_typer(ledger.app, name="ledger")
app.add_typer(flower.app, name="flower")
app.add_typer(radon.app, name="radon")
app.add_typer(roster.app, name="roster")


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
