"""`unpooled stream CONFIG`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unpooled.cli.options import ConfigFile, Format, OutputFormat, Source

if TYPE_CHECKING:
    from unpooled.runs.streams import Told
    from unpooled.training.streams import StreamComparison

PICTURES = ("loss-against-transfers", "over-time")


def stream(
    config: ConfigFile,
    source: Source = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="By default runs/streams-TITLE.")] = None,
    output: OutputFormat = Format.text,
) -> None:
    """Let online learners follow the stream of CONFIG under each protocol; write tables and figures."""
    from unpooled.runs import streams

    made = streams.plan(streams.load(config, source))
    folder = out or streams.default_folder(made.config)
    with _progress(made.config.title, len(made.protocols) * len(made.config.seeds)) as told:
        outcome, found = streams.execute(made, folder, told)
    pictures = [str(path) for path in _draw(found, folder)]
    if output is Format.json:
        typer.echo(json.dumps({"folder": str(folder), "figures": pictures, **outcome}))
        return
    _show(outcome)
    typer.echo(f"Tables and figures: {folder}")


def _draw(found: StreamComparison, folder: Path) -> list[Path]:
    from unpooled.figures.streams import loss_against_cost, over_time

    curves, seed = found.curves(), next(iter(found.drifts()))
    figures = (
        loss_against_cost(found.table()),
        over_time(curves[curves["seed"] == seed], found.drifts()[seed]),
    )
    paths = [folder / f"{name}.png" for name in PICTURES]
    for figure, path in zip(figures, paths, strict=True):
        figure.savefig(path, dpi=150)
    return paths


def _show(outcome: dict[str, Any]) -> None:
    from rich.table import Table

    from unpooled.cli.show import page
    from unpooled.figures.words import bytes_text, count_text

    table = Table(title=outcome["title"], title_justify="left")
    for heading in ("protocol", "loss", "mistakes", "model transfers", "bytes"):
        table.add_column(heading, justify="left" if heading == "protocol" else "right")
    for row in outcome["protocols"]:
        counts = [count_text(round(row[name])) for name in ("loss", "mistakes", "transfers")]
        table.add_row(row["protocol"] + (" *" if row["best"] else ""), *counts, bytes_text(row["bytes"]))
    seeds = outcome["protocols"][0]["seeds"]
    drifts = sum(map(len, outcome["drifts"].values()))
    table.caption = (
        f"{outcome['learners']} learners, {outcome['rounds']} rounds, means over {seeds} seed{'s' * (seeds > 1)}, "
        f"{drifts} known drifts. * No other protocol has less loss with fewer transfers. "
        "A serial learner's bytes are its examples."
    )
    page.print(table)


@contextmanager
def _progress(title: str, runs: int) -> Iterator[Told]:
    """A bar over all rounds of all runs on standard error; quiet where there is no terminal."""
    from unpooled.cli import show
    from unpooled.runs.workers import Tick

    finished: set[tuple[str, int]] = set()
    with show.progress(title) as watch:

        def told(label: str, seed: int, done: int, rounds: int) -> None:
            before = len(finished - {(label, seed)})
            if done == rounds:
                finished.add((label, seed))
            watch(Tick(before * rounds + done, runs * rounds, f"{label}, seed {seed}"))

        yield told
