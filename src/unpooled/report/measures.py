"""The parts of a comparison's page that show measures besides barriers: a heading, pictures and tables for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from unpooled.figures.measures import direction_bars, epoch_map, reset_map, subspace_curves
from unpooled.figures.words import MINUS, count_text, significant
from unpooled.report.record import Record
from unpooled.report.section import Cell, Picture, Table
from unpooled.report.svg import figure_html


@dataclass(frozen=True)
class Shown:
    """One measure on the page."""

    key: str
    title: str
    text: str
    pictures: Sequence[Picture]
    tables: Sequence[Table]


@dataclass(frozen=True)
class _Plan:
    """How a measure is shown: columns of its table that are needed, figures (title, function), tables to print."""

    title: str
    text: str
    needed: Sequence[str]
    draw: Sequence[tuple[str, Callable[[pd.DataFrame, str, float], Figure]]] = ()
    tables: Sequence[tuple[str, str, Mapping[str, str]]] = ()


MODEL = {"model": "Model", "layer": "Layer"}
PLANS = {
    "epochs": _Plan(
        "While the models trained",
        "Barriers between snapshots of the same epochs: the end-points move with training.",
        ("epoch", "kind", "part", "default", "metric", "reference", "barrier"),
        [("Barriers by epoch", lambda t, m, w: epoch_map(t, m, width=w))],
    ),
    "robustness": _Plan(
        "Is the way to the other model special?",
        "Each part is moved half-way to the other model, and as far along random directions. Where random steps cost "
        "as much, a barrier says no more than how far apart the models are.",
        ("part", "scaling", "default", "share", "metric", "averaging", "random", "q05", "q95", "draws"),
        [("Averaging and random directions of equal length", lambda t, m, w: direction_bars(t, m, width=w))],
    ),
    "subspaces": _Plan(
        "Which directions are flat?",
        "Steps of equal length along the way to the other model, in the subspace that training went through, in its "
        "complement, and along the weights themselves.",
        ("part", "default", "kind", "metric", "length", "mean", "q05", "q95", "draws"),
        [("Along each kind of direction, from A", lambda t, m, w: subspace_curves(t, m, width=w))],
        [
            (
                "spaces",
                "The subspace of training: its rank, and how much of the unit way to the other model lies outside.",
                {
                    "part": "Part",
                    "parameters": "Parameters",
                    "columns": "Snapshots",
                    "rank": "Rank",
                    "first_share": "Share of the first direction",
                    "way_outside": "Way outside",
                },
            )
        ],
    ),
    "resets": _Plan(
        "Which layers need their training?",
        "One layer is set back to an earlier checkpoint, or drawn anew from the distribution of its initial weights. "
        "The row of the full model says what chance is.",
        ("model", "layer", "kind", "epoch", "metric", "rise"),
        [("Layers set back", lambda t, m, w: reset_map(t, m, width=w))],
    ),
    "criticality": _Plan(
        "Module criticality",
        "How far back towards its start, and how noisy, a layer may be before the score reaches the level: lower is "
        "more tolerant. The bound that this belongs to is about training data.",
        ("model", "layer", "criticality", "alpha", "sigma", "level"),
        tables=[
            (
                "criticality",
                "Criticality of each layer, where it is attained, and the level that the score may reach.",
                {
                    **MODEL,
                    "criticality": "Criticality",
                    "alpha": "Place (1: trained)",
                    "sigma": "Noise",
                    "level": "Level",
                },
            )
        ],
    ),
    "flatness": _Plan(
        "Relative flatness",
        "Curvature times size of the weights; larger is sharper.",
        ("model", "layer", "flatness", "standard_error"),
        tables=[
            (
                "flatness",
                "Relative flatness with one standard error over draws.",
                {**MODEL, "flatness": "Relative flatness", "standard_error": "Standard error", "draws": "Draws"},
            )
        ],
    ),
    "features": _Plan(
        "Are features half-way averages of features?",
        "Cosine and coefficient of the mixed model's features against the mixed features: both are 1 where they are "
        "equal. Beside them the cosine between the models, without which nearly equal models look like a finding.",
        ("layer", "alpha", "cosine", "coefficient", "apart"),
        tables=[
            (
                "features",
                "Linearity of features by layer, means over samples.",
                {
                    "layer": "Layer",
                    "cosine": "Cosine",
                    "standard_error": "Standard error",
                    "coefficient": "Coefficient",
                    "apart": "Cosine of A and B",
                },
            )
        ],
    ),
    "ways": _Plan(
        "How far training went",
        "Distances of each model from its start, and of the models from each other.",
        ("way", "layer", "distance", "relative", "cosine"),
        tables=[
            (
                "ways",
                "Distances by layer.",
                {
                    "way": "Way",
                    "layer": "Layer",
                    "distance": "Distance",
                    "relative": "Relative",
                    "cosine": "Cosine",
                },
            )
        ],
    ),
}
"""In the order of the page."""


def measured(record: Record, metric: str, anchor: str) -> list[Shown]:
    """Every measure of the record, in the order of the page."""
    asked: Mapping[str, Any] = record.result.get("measures", {})
    return [_shown(record, name, plan, metric, anchor) for name, plan in PLANS.items() if name in asked]


def _shown(record: Record, name: str, plan: _Plan, metric: str, anchor: str) -> Shown:
    table = record.frame(f"{name}.csv", plan.needed)
    for column in ("part", "layer"):
        if column in table:
            table[column] = table[column].astype(str)
    pictures = []
    for place, (title, draw) in enumerate(plan.draw):
        words = f"{title}, in {metric}; the file {name}.csv has all numbers."
        figure = figure_html(_drawn(draw, table, metric), f"{anchor}-{name}-{place}", title, words)
        pictures.append(Picture(figure, f"{title}, in {metric}."))
    return Shown(name, plan.title, plan.text, pictures, [_table(record, *one) for one in plan.tables])


def _drawn(draw: Callable[[pd.DataFrame, str, float], Figure], table: pd.DataFrame, metric: str) -> Any:
    return lambda width: draw(table, metric, width)


def _table(record: Record, name: str, caption: str, columns: Mapping[str, str]) -> Table:
    found = record.frame(f"{name}.csv", list(columns))
    texts = {"part", "layer", "way", "model"}
    rows = []
    for values in found[list(columns)].astype({c: str for c in columns if c in texts}).itertuples(index=False):
        rows.append([_cell(column, value) for column, value in zip(columns, values, strict=True)])
    numbers = frozenset(i for i, column in enumerate(columns) if column not in texts)
    return Table(name, caption, list(columns.values()), rows, numbers=numbers, tall=len(rows) > 20)


def _cell(column: str, value: Any) -> Cell:
    if isinstance(value, str):
        text = {"all": "full model"}.get(value, value)
        return Cell(text.upper() if column == "model" else text)
    if value != value:
        return Cell("–")
    if abs(value) == float("inf"):
        return Cell("∞")
    whole = not isinstance(value, float) and float(value).is_integer()
    return Cell((count_text(value) if whole else significant(value)).replace("-", MINUS))
