"""What the commands print: progress while a run goes on, and its result as a table or as JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from unpooled.figures.looks import methods
from unpooled.figures.paired import paired_tests
from unpooled.figures.summary import final_table, result_values
from unpooled.figures.tables import TextTable, differences_table, finished, results_table, tested
from unpooled.sites.schema import Schema

if TYPE_CHECKING:
    from unpooled.runs.progress import Tick

WIDE = 200
"""Columns of what goes to a file or another program: it is not cut to a terminal that is not there."""
errors = Console(stderr=True)
page = Console(width=None if sys.stdout.isatty() else WIDE)


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} steps/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def progress(title: str) -> Iterator[Callable[[Tick], None]]:
    """A bar on standard error with speed and time left; quiet where there is no terminal."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        _Speed(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[cell]}", style="dim"),
        console=errors,
        disable=not errors.is_terminal,
    ) as bars:
        task = bars.add_task(title, total=None, cell="")
        yield lambda tick: bars.update(task, completed=tick.done, total=tick.total, cell=tick.cell)


def result(folder: Path, outcome: dict[str, Any], *, as_json: bool, report: Path | None = None) -> None:
    """The finished run."""
    if as_json:
        print(json.dumps(for_programs(folder, outcome, report), allow_nan=False))
        return
    for table in tables(folder, outcome):
        page.print(table)
    for warning in outcome["warnings"]:
        page.print(f"Note: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    page.print(f"Record: {folder}", highlight=False, soft_wrap=True)
    if report is not None:
        page.print(f"Report: {report}", highlight=False, soft_wrap=True)


def tables(folder: Path, outcome: dict[str, Any]) -> list[Table]:
    """Results of each protocol, and where there are several, the headline's differences to the others."""
    history, traffic = (pd.read_parquet(folder / f"{name}.parquet") for name in ("history", "traffic"))
    found = [results_table(outcome, history, traffic), differences_table(outcome, history)]
    return [rich_table(table) for table in found if table is not None]


def rich_table(text: TextTable) -> Table:
    """A table of texts for the terminal."""
    table = Table(title=text.title, title_justify="left", caption=text.caption)
    for place, head in enumerate(text.columns):
        table.add_column(head, justify="right" if place in text.numbers else "left", overflow="fold")
    for row in text.rows:
        table.add_row(*row)
    return table


def for_programs(folder: Path, outcome: dict[str, Any], report: Path | None) -> dict[str, Any]:
    """The result as JSON: final values of each protocol, model and metric over the cells that finished.

    `differences` are paired tests of all pairs of protocols, for each metric that protocols are compared by.
    """
    history, looks = finished(pd.read_parquet(folder / "history.parquet"), outcome), methods(outcome["protocols"])
    finals: list[Any] = []
    for metric in sorted(history["metric"].unique()):
        finals += final_table(history, metric).assign(metric=metric).to_dict("records")
    values = result_values(history, outcome["main_metric"], looks).to_dict("records")
    differences: list[Any] = []
    for metric in tested(outcome, history):
        differences += paired_tests(result_values(history, metric, looks)).assign(metric=metric).to_dict("records")
    keep = ("title", "name", "identity", "status", "error", "seconds", "warnings", "cells", "main_metric")
    picked = {k: outcome[k] for k in keep}
    where = {"folder": str(folder), "report": str(report) if report else None}
    numbers = {"final": finals, "values": values, "differences": differences, "tuning": outcome.get("tuning")}
    return {**where, **{k: _plain(v) for k, v in {**picked, **numbers}.items()}}


def _plain(value: Any) -> Any:
    """JSON has no word for numbers that are not finite: they become null."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def holdings(rows: list[dict[str, Any]], schema: Schema, figure: Path | None) -> None:
    """Who holds what, one row a site."""
    classes = list(schema.classes or ())[:12]
    table = Table("site", "train", "test", *(classes or ["mean target"]))
    for row in rows:
        counts = [str(row["classes"].get(name, 0)) for name in classes] if classes else [f"{row['mean']:.4g}"]
        table.add_row(row["name"], str(row["samples"]), str(row["test_samples"]), *counts)
    page.print(table)
    total = sum(row["samples"] for row in rows)
    shape = " x ".join(map(str, schema.shape))
    page.print(f"{len(rows)} sites, {total} training samples, each of {shape} values.", highlight=False)
    for warning in schema.warnings:
        page.print(f"Note: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    if figure is not None:
        page.print(f"Figure: {figure}", highlight=False, soft_wrap=True)


def ledger_lines(lines: Sequence[Mapping[str, Any]]) -> None:
    """A ledger as a table, one row a line; `--format json` has all its fields."""
    table = Table("time (UTC)", "run", "question", "answer", "bytes", "asker", "epsilon")
    for line in lines:
        asked = f"{line['kind']} {line['number']}" if "number" in line else line["kind"]
        answer = f"refused: {line['refused']}" if "refused" in line else line.get("answer", "")
        answer += f", sealed for {line['recipient']}" if "recipient" in line else ""
        spent = f"{line['privacy_spent']:.4g}" if line.get("privacy_spent") else ""
        cells = [line["time"][:19], line["run"], asked, answer, line.get("bytes", ""), line["asker"], spent]
        table.add_row(*(Text(str(cell), overflow="fold") for cell in cells))
    page.print(table)
