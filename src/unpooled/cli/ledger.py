"""`unpooled ledger show|verify|report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from unpooled.cli.options import Format, OutputFormat

app = typer.Typer(help="A site's record of what left it.", no_args_is_help=True)
One = Annotated[Path, typer.Argument(metavar="LEDGER", help="A site's ledger (.jsonl).")]
Run = Annotated[str | None, typer.Option(help="Only runs whose name begins like this.")]
Kind = Annotated[str | None, typer.Option(help="Only this kind of question.")]


@app.command("show")
def show(
    path: One,
    run: Run = None,
    kind: Kind = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only so many of the newest lines.")] = None,
    output: OutputFormat = Format.text,
) -> None:
    """What left, line by line: when, in answer to what, to whom, how many bytes; and what was refused, and why."""
    from unpooled.sites.summary import chosen

    lines = chosen(_lines(path), run=run, kind=kind)
    lines = lines if last is None else lines[-last:]
    if output is Format.json:
        typer.echo(json.dumps(lines, ensure_ascii=False))
        return
    from unpooled.cli.show import ledger_lines

    ledger_lines(lines)


@app.command("verify")
def verify(
    path: Annotated[Path, typer.Argument(metavar="LEDGER", help="One ledger (.jsonl), or a folder that holds some.")],
    head: Annotated[str | None, typer.Option(help="The hash that the newest line must have (from the record).")] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="The coordinator's folder of a run over real sites, to compare every hash with."
        ),
    ] = None,
) -> None:
    """Check that no line was changed, removed or moved, and with --record that the coordinator was told the same."""
    from unpooled.errors import BadRecord, BadSetting
    from unpooled.sites.answers import compare, read_answers
    from unpooled.sites.ledger import verify as verify_ledger

    files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise BadRecord(f"There is no ledger (.jsonl) in {path}: runs write them with `ledger = true` in the config.")
    if head is not None and len(files) > 1:
        raise BadSetting(f"--head belongs to one ledger, but {path} holds {len(files)}: name one.")
    told = None if record is None else read_answers(record)
    for file in files:
        words = f"{file}: {verify_ledger(file, head=head)} lines, chain whole"
        if told is not None:
            agreeing, unheard = compare(file, told)
            words += f"; {agreeing} answers are those that the coordinator has, {unheard} never arrived there"
        typer.echo(words)


@app.command("report")
def report(
    path: One,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="By default LEDGER with the ending .html.")] = None,
    policy: Annotated[Path | None, typer.Option(help="The site's policy.toml, to be told on the page.")] = None,
    text: Annotated[bool, typer.Option("--text", help="Print the page as plain text instead.")] = False,
) -> None:
    """One page for whoever answers for the data: what was asked, what left, how often, how much, what was refused."""
    import unpooled.training.kept  # noqa: F401  # what each kind of answer holds
    from unpooled.report.ledger import ledger_text, write_ledger_report
    from unpooled.runs.policy_file import read_policy
    from unpooled.sites.summary import summarise

    rules = None if policy is None else read_policy(policy)
    summary = summarise(_lines(path))
    if text:
        typer.echo(ledger_text(summary, policy=rules), nl=False)
    else:
        typer.echo(write_ledger_report(summary, out or path.with_suffix(".html"), policy=rules))


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a ledger whose chain is whole."""
    from unpooled.sites.ledger import read
    from unpooled.sites.ledger import verify as verify_ledger

    verify_ledger(path)
    return list(read(path))
