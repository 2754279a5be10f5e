"""`unpooled discover SOURCE`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unpooled.cli.options import Format, OutputFormat

if TYPE_CHECKING:
    from unpooled.causal.discovery.discover import Watch
    from unpooled.runs.discovery import DiscoveryConfig

SHOWN = 40
"""Edges that are printed; the folder has all."""


def discover(
    source: Annotated[Path, typer.Argument(help="A folder with one table a site, one table, or a TOML config.")],
    method: Annotated[str | None, typer.Option(help="peri (default), ges, and what else docs/causal.md lists.")] = None,
    score: Annotated[str | None, typer.Option(help="auto (default), bic, aic, bdeu, ...")] = None,
    site: Annotated[str | None, typer.Option(help="For one table: the column that names the site.")] = None,
    environment: Annotated[
        str | None, typer.Option(help="The column that tells environments apart inside a site.")
    ] = None,
    reference: Annotated[str | None, typer.Option(help="The site without interventions.")] = None,
    pooled: Annotated[
        bool, typer.Option("--pooled", help="Put all rows in one place, for methods of one table.")
    ] = False,
    tiers: Annotated[
        list[str] | None, typer.Option(metavar="NAME=NUMBER", help="No arrow into a lower tier; repeat for several.")
    ] = None,
    required: Annotated[
        list[str] | None, typer.Option(metavar="FROM->TO", help="An arrow that is known; repeat for several.")
    ] = None,
    forbidden: Annotated[
        list[str] | None, typer.Option(metavar="FROM->TO", help="An arrow that cannot be; repeat for several.")
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Leave it out; repeat for several.")] = None,
    categorical: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Numbers that are categories; repeat for several.")
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Take the logarithm of every number.")] = False,
    missing: Annotated[str | None, typer.Option(help="refuse (default), or drop rows that lack a value.")] = None,
    aggregate: Annotated[
        str | None, typer.Option(help="For peri: sum (default), trimmed, max, max_per_node, iperi.")
    ] = None,
    search: Annotated[str | None, typer.Option(help="For peri with sums: ges (default), delete_first.")] = None,
    noise: Annotated[float | None, typer.Option(help="For peri: the scale of the noise that sites add.")] = None,
    clip: Annotated[
        float | None, typer.Option(help="The bound on every noised number, from which epsilon follows.")
    ] = None,
    secure: Annotated[
        bool, typer.Option("--secure", help="For peri: sums under masks, so that no site is seen.")
    ] = False,
    level: Annotated[
        str | None, typer.Option(help="For combined: what sites tell to be compared, A to E (docs/combined.md); C.")
    ] = None,
    leakage: Annotated[
        bool, typer.Option("--leakage", help="For peri: attack what was told, and say what an attacker learns.")
    ] = False,
    bootstrap: Annotated[
        int | None, typer.Option(min=0, help="Repeat the search so often, for the edges' support.")
    ] = None,
    over: Annotated[str | None, typer.Option(help="What is drawn anew for that: rows (default) or sites.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="Compare with this graph: edges as a table from, to; or another run's folder.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="For what is drawn.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The run's folder; by default runs/causal-TITLE.")
    ] = None,
    output: OutputFormat = Format.text,
) -> None:
    """One causal graph from tables that stay where they are; write edges, figure and a page on what each site told."""

    from unpooled.runs import discovery

    given: dict[str, Any] = {
        "method": method,
        "score": score,
        "site": site,
        "environment": environment,
        "reference": reference,
        "pooled": pooled or None,
        "drop": drop,
        "categorical": categorical,
        "log": log or None,
        "missing": missing,
        "aggregate": aggregate,
        "search": search,
        "noise": noise,
        "clip": clip,
        "secure": secure or None,
        "level": level,
        "leakage": leakage or None,
        "bootstrap": bootstrap,
        "bootstrap_over": over,
        "against": None if against is None else str(against.resolve()),
        "seed": seed,
    }
    if required or forbidden or tiers:
        given["background"] = {
            "required": [_arrow(text) for text in required or ()],
            "forbidden": [_arrow(text) for text in forbidden or ()],
            "tiers": dict(_tier(text) for text in tiers or ()),
        }
    if source.suffix == ".toml":
        base = discovery.as_table(discovery.load(source))
    else:
        base = {"source": str(source.resolve()), "title": f"A causal graph of {source.name.split('.')[0]}"}
    config = discovery.told_settings(**{**base, **{k: v for k, v in given.items() if v is not None}})
    run_and_show(config, out or discovery.default_folder(config), as_json=output is Format.json)


def run_and_show(config: DiscoveryConfig, folder: Path, *, as_json: bool) -> None:
    """Discover, write folder, figure and page, and print the result."""
    from unpooled.cli.running import stopped_cleanly
    from unpooled.report import write_report
    from unpooled.report.causal import picture
    from unpooled.runs.discovery import execute

    with stopped_cleanly(folder, f"unpooled resume {folder}"), _progress(config.title) as watch:
        outcome = execute(config, folder, watch)
    drawn = folder / "graph.png"
    picture(outcome).savefig(drawn, dpi=150)
    page = write_report([folder], folder / "report.html")
    if as_json:
        typer.echo(json.dumps({"folder": str(folder), "figure": str(drawn), "report": str(page), **outcome}))
        return
    _show(outcome)
    typer.echo(f"Edges, figure and graph: {folder}\nReport: {page}")


def _arrow(text: str) -> tuple[str, str]:
    from unpooled.errors import BadSetting

    ends = [end.strip() for end in text.split("->")]
    if len(ends) != 2 or not all(ends):
        raise BadSetting(f"'{text}' is no arrow: write FROM->TO, in quotes, such as 'age->pressure'.")
    return ends[0], ends[1]


def _tier(text: str) -> tuple[str, int]:
    from unpooled.errors import BadSetting

    name, _, number = text.rpartition("=")
    if not name or not number.strip().lstrip("-").isdecimal():
        raise BadSetting(f"'{text}' is no tier: write NAME=NUMBER, such as age=0.")
    return name.strip(), int(number)


@contextmanager
def _progress(title: str) -> Iterator[Watch]:
    """A bar on standard error; quiet where there is no terminal."""
    from unpooled.cli import show
    from unpooled.runs.progress import Tick

    with show.progress(title) as bar:
        yield lambda what, done, total: bar(Tick(done, total, what))


def _show(outcome: dict[str, Any]) -> None:
    from rich.table import Table

    from unpooled.cli.show import page
    from unpooled.figures.words import bytes_text, significant

    edges = outcome["edges"]
    supported, gained = outcome["repetitions"] > 0, any(edge["gain"] is not None for edge in edges)
    table = Table(title=outcome["title"], title_justify="left")
    for heading in ("from", "", "to"):
        table.add_column(heading)
    for heading in (["support", "this direction"] if supported else []) + (
        [f"gain, {outcome['unit']}"] if gained else []
    ):
        table.add_column(heading, justify="right")
    for edge in edges[:SHOWN]:
        cells = [edge["from"], edge["mark"], edge["to"]]
        cells += [f"{100 * edge[key]:.0f} %" for key in ("support", "direction")] if supported else []
        table.add_row(*cells, *([significant(edge["gain"])] if gained else []))
    sites, sent = len(outcome["sites"]), sum(row["bytes"] for row in outcome["disclosed"])
    more = f" {len(edges) - SHOWN} more edges are in edges.csv." if len(edges) > SHOWN else ""
    table.caption = (
        f"{outcome['method']}, score {outcome['score_name']}, {sites} site{'s' * (sites != 1)}. "
        f"'--' leaves the direction open. All sites together told {bytes_text(sent)}.{more}"
    )
    page.print(table)
    for target in outcome["targets"][:SHOWN]:
        page.print(f"{target['site']}: {target['variable']} ({target['type']})", markup=False, highlight=False)
    if outcome["comparison"]:
        numbers = outcome["comparison"]["numbers"]
        said = ", ".join(f"{name} {significant(value)}" for name, value in numbers.items())
        page.print(f"Against {outcome['comparison']['with']}: {said}.", markup=False, highlight=False, soft_wrap=True)
    for sentence in (outcome["leakage"] or {"sentences": []})["sentences"]:
        page.print(sentence, markup=False, highlight=False, soft_wrap=True)
    for warning in outcome["warnings"]:
        page.print(f"Note: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
