"""The section of a run on streams."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from unpooled.errors import BadRecord
from unpooled.figures.looks import Methods, methods
from unpooled.figures.streams import loss_against_cost, over_time
from unpooled.figures.words import bytes_text, count_text, significant
from unpooled.report.glossary import STREAM_TERMS
from unpooled.report.record import RUN_AGAIN, Record
from unpooled.report.section import Cell, Picture, Section, Table, render
from unpooled.report.svg import figure_html
from unpooled.report.training import STATUS
from unpooled.report.training_tables import method_cell, pairs_table

CURVES = ("protocol", "seed", "round", "loss", "mistakes", "transfers")
KEYS = (
    "name",
    "status",
    "started",
    "seconds",
    "source",
    "learner",
    "learners",
    "rounds",
    "drifts",
    "cells",
    "protocols",
)
PARTS = {
    "what": "What was run, and on what",
    "compared": "Comparison",
    "way": "On the way",
    "settings": "Settings and environment",
    "again": "How to run it again",
}


def streams_page(record: Record, anchor: str, peers: Sequence[Record]) -> Section:
    """Loss and communication of every method; a method looks alike in all `peers`."""
    run = record.result
    missing = [key for key in KEYS if key not in run]
    if missing:
        raise BadRecord(f"{record.folder / 'result.json'} has no {', '.join(map(repr, missing))}. {RUN_AGAIN}")
    title, looks = str(run["title"]), _looks(run, peers)
    html = render(
        "streams.html.j2",
        anchor=anchor,
        run=run,
        status=STATUS.get(run["status"], f"Status of this run: {run['status']}."),
        lead=_lead(run["protocols"]),
        parts=PARTS,
        facts=_facts(run),
        pictures=_pictures(record, looks, anchor) if run["protocols"] else {},
        comparison=_comparison(run["protocols"], looks),
        unfinished=[cell for cell in run["cells"] if cell["status"] != "finished"],
        config=record.config,
        environment=pairs_table("environment", "Environment", ("What", "Value"), record.environment),
    )
    return Section(anchor, title, html, {f"{anchor}-{key}": text for key, text in PARTS.items()}, STREAM_TERMS)


def _looks(run: Mapping[str, Any], peers: Sequence[Record]) -> Methods:
    """Looks drawn from one list over all runs of the page, then only this run's methods."""
    rows = [row for peer in peers if peer.result["family"] == "streams" for row in peer.result["protocols"]]
    everywhere = methods({"label": row["protocol"], "kind": row["kind"]} for row in rows)
    return {str(row["protocol"]): everywhere[str(row["protocol"])] for row in run["protocols"]}


def _lead(rows: Sequence[Mapping[str, Any]]) -> str:
    """What came out, in a sentence or two."""
    moving = [row for row in rows if row["transfers"] > 0]
    if not moving:
        return "No models were exchanged in what has finished."
    least, cheapest = min(moving, key=lambda row: row["loss"]), min(moving, key=lambda row: row["transfers"])
    told = f"Of the methods that exchange models, {least['protocol']} lost least: {_loss(least)}, {_moved(least)}."
    if cheapest is not least:
        told += f" {cheapest['protocol']} moved fewest models: {_loss(cheapest)}, {_moved(cheapest)}."
    alone = next((row for row in rows if row["kind"] == "Local"), None)
    return told + ("" if alone is None else f" Without any exchange: {_loss(alone)}.")


def _loss(row: Mapping[str, Any]) -> str:
    half = row["loss_half_width"]
    return f"loss {count_text(round(row['loss']))}" + ("" if half is None else f" ± {count_text(round(half))}")


def _moved(row: Mapping[str, Any]) -> str:
    return f"{count_text(round(row['transfers']))} model transfers"


def _facts(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    seeds = dict.fromkeys(cell["seed"] for cell in run["cells"])
    drifts = sorted({len(rounds) for rounds in run["drifts"].values()})
    return [
        ("Stream", str(run["source"])),
        ("Learners", f"{count_text(run['learners'])}, each {run['learner']}"),
        ("Rounds", count_text(run["rounds"])),
        ("Known drifts", " or ".join(map(str, drifts)) if drifts else "none"),
        ("Seeds", f"{len(seeds)} ({', '.join(map(str, seeds))})"),
        ("Run", str(run["name"])),
        ("Started", str(run["started"])),
        ("Took", f"{significant(run['seconds'])} s"),
    ]


def _comparison(rows: Sequence[Mapping[str, Any]], looks: Methods) -> Table:
    """Losses and costs, means over seeds."""
    columns = ["Method", "Cumulative loss", "Mistakes", "Model transfers", "Partial / full", "Bytes", "Nobody beats it"]
    moved = any("error" in row for row in rows)
    cells = [
        [
            method_cell(looks[str(row["protocol"])]),
            Cell(_loss(row).removeprefix("loss "), strong=bool(row["best"])),
            Cell(count_text(round(row["mistakes"]))),
            Cell(count_text(round(row["transfers"]))),
            Cell(f"{count_text(round(row['partial']))} / {count_text(round(row['full']))}"),
            Cell(bytes_text(row["bytes"])),
            Cell("yes" if row["best"] else "–"),
            *([Cell(significant(row.get("error") or 0.0))] if moved else []),
        ]
        for row in rows
    ]
    columns += ["Moved by compression"] if moved else []
    many = any(row["loss_half_width"] is not None and not math.isnan(row["loss_half_width"]) for row in rows)
    spread = " (loss ± half of a 95 % interval)" if many else ""
    caption = f"Loss and communication, means over seeds{spread}. A serial learner's bytes are its examples."
    return Table("comparison", caption, columns, cells, numbers=frozenset({1, 2, 3, 4, 5, 7}))


def _pictures(record: Record, looks: Methods, anchor: str) -> dict[str, Picture]:
    run = record.result
    table, curves = pd.DataFrame(list(run["protocols"])), record.frame("curves.csv", CURVES)
    table["loss_half_width"] = table["loss_half_width"].astype(float)
    seed = next(iter(run["drifts"]))
    here = curves[curves["seed"] == int(seed)]
    results = "; ".join(f"{row['protocol']}: {_loss(row)}, {_moved(row)}" for row in run["protocols"])
    plans: dict[str, tuple[bool, Callable[[float], Figure], str, str]] = {
        "cost": (
            bool((table["transfers"] > 0).any()),
            lambda w: loss_against_cost(table, width=w),
            "Cumulative loss against model transfers",
            f"{results}. The table “Comparison” has all numbers.",
        ),
        "time": (
            True,
            lambda w: over_time(here, run["drifts"][seed], methods=looks, width=w),
            "Loss and model transfers over rounds",
            f"Seed {seed}. In the end, means over seeds: {results}.",
        ),
    }
    return {
        key: Picture(figure_html(draw, f"{anchor}-{key}", title, text), f"{title}.")
        for key, (drawable, draw, title, text) in plans.items()
        if drawable
    }
