"""The section of a study: how far every method's graphs are from the true ones, published numbers beside."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from unpooled.errors import BadRecord
from unpooled.figures.study import means, study_figure, study_table
from unpooled.figures.tables import TextTable
from unpooled.figures.words import count_text, significant
from unpooled.report.glossary import STUDY_TERMS
from unpooled.report.record import RUN_AGAIN, Record
from unpooled.report.section import Cell, Picture, Section, Table, render
from unpooled.report.svg import figure_html
from unpooled.report.training import STATUS
from unpooled.report.training_tables import pairs_table

RUNS = ("data", "method", "graph", "measure", "value")
KEYS = ("name", "status", "started", "seconds", "graphs", "measures", "data", "methods", "cells")
PARTS = {
    "what": "What was run, and on what",
    "distances": "How far from the truth",
    "settings": "Settings and environment",
    "again": "How to run it again",
}


def study_page(record: Record, anchor: str, peers: Sequence[Record]) -> Section:
    """The section of a study's record."""
    run = record.result
    missing = [key for key in KEYS if key not in run]
    if missing:
        raise BadRecord(f"{record.folder / 'result.json'} has no {', '.join(map(repr, missing))}. {RUN_AGAIN}")
    runs = record.frame("runs.csv", RUNS)
    first = next(iter(run["measures"]))
    tables = [study_table(run, runs, measure) for measure in (*run["measures"], "cpu_seconds")]
    unfinished = sum(cell["status"] != "finished" for cell in run["cells"])
    html = render(
        "study.html.j2",
        anchor=anchor,
        run=run,
        status=STATUS.get(run["status"], f"Status of this run: {run['status']}.").format(continued="`unpooled resume`"),
        lead=_lead(record, runs, first),
        parts=PARTS,
        facts=_facts(record),
        kinds=Table("kinds", "Kinds of data.", ["Data", "How they were drawn"], _kinds(record)),
        picture=_picture(record, runs, first, tables[0], anchor) if len(runs) else None,
        tables=[_shown(table, number) for number, table in enumerate(tables)] if len(runs) else [],
        unfinished=unfinished,
        config=record.config,
        environment=pairs_table("environment", "Environment", ("What", "Value"), record.environment),
    )
    return Section(anchor, str(run["title"]), html, {f"{anchor}-{k}": t for k, t in PARTS.items()}, STUDY_TERMS)


def _lead(record: Record, runs: pd.DataFrame, measure: str) -> str:
    """Which method came closest, over all kinds of data."""
    run, found = record.result, means(runs, measure)
    if not found:
        return "No cell has finished."
    by_method = {method: [one.mean for (_, own), one in found.items() if own == method] for method in run["methods"]}
    whole = {method: sum(own) / len(own) for method, own in by_method.items() if own}
    said = ", ".join(f"{method} {value:.2f}" for method, value in whole.items())
    return f"{run['measures'][measure][:1].upper()}{run['measures'][measure][1:]}. Mean over all kinds of data: {said}."


def _facts(record: Record) -> list[tuple[str, str]]:
    run = record.result
    done = sum(cell["status"] == "finished" for cell in run["cells"])
    return [
        ("Methods", ", ".join(run["methods"])),
        ("Graphs", f"{run['graphs']} of every kind, the same for all methods"),
        ("Cells", f"{count_text(done)} of {count_text(len(run['cells']))} finished"),
        ("Run", str(run["name"])),
        ("Started", str(run["started"])),
        ("Took", f"{significant(run['seconds'])} s"),
    ]


def _kinds(record: Record) -> list[list[Cell]]:
    return [[Cell(data["name"]), Cell(data["text"])] for data in record.result["data"]]


def _shown(table: TextTable, number: int) -> Table:
    cells = [[Cell(text) for text in row] for row in table.rows]
    return Table(f"measure-{number}", f"{table.title} ({table.caption}).", list(table.columns), cells, table.numbers)


def _picture(record: Record, runs: pd.DataFrame, measure: str, table: TextTable, anchor: str) -> Picture:
    title = record.result["measures"][measure]
    said = "; ".join(
        f"{row[0]}: " + ", ".join(f"{m} {cell}" for m, cell in zip(table.columns[1:], row[1:], strict=True))
        for row in table.rows
    )
    html = figure_html(
        lambda width: study_figure(record.result, runs, measure, width=width), f"{anchor}-study", title, f"{said}."
    )
    return Picture(html, f"{title[:1].upper()}{title[1:]}. Hollow markers are published numbers.")
