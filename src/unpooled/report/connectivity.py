"""The section of a comparison of two models, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from unpooled.errors import BadRecord
from unpooled.figures.connectivity import barrier_map, cumulative_curves, cut_curves
from unpooled.figures.words import count_text, significant
from unpooled.report.glossary import CONNECTIVITY_TERMS
from unpooled.report.measures import measured
from unpooled.report.record import RUN_AGAIN, Record
from unpooled.report.section import Cell, Picture, Section, Table, render
from unpooled.report.svg import figure_html
from unpooled.report.training_tables import pairs_table

BARRIERS = ("kind", "place", "part", "default", "metric", "reference", "barrier", "standard_error", "layers")
CELLS = ("kind", "part", "default", "alpha", "metric", "value")
LAYERS = ("layer", "parameters", "distance", "relative", "cosine")
KEYS = ("name", "status", "started", "seconds", "facts", "notes", "a", "b", "data")
PARTS = {
    "what": "What was compared, and on what",
    "layers": "Layer by layer",
    "together": "Layers together",
    "cuts": "Along the cuts",
    "settings": "Settings and environment",
    "again": "How to run it again",
}
LAST = ("settings", "again")
"""Parts that come after the measures."""
UNIT = {"loss": " nats", "error": " points"}


def connectivity_page(record: Record, anchor: str, peers: Sequence[Record]) -> Section:
    """Barriers of every layer and of layers together, with what they are measured against."""
    run = record.result
    missing = [key for key in KEYS if key not in run]
    if missing:
        raise BadRecord(f"{record.folder / 'result.json'} has no {', '.join(map(repr, missing))}. {RUN_AGAIN}")
    barriers, cells = record.frame("barriers.csv", BARRIERS), record.frame("cells.csv", CELLS)
    for frame in (barriers, cells):
        frame["part"] = frame["part"].astype(str)
    layers = record.frame("layers.csv", LAYERS)
    measures = measured(record, _main(run["facts"]), anchor)
    html = render(
        "connectivity.html.j2",
        anchor=anchor,
        run=run,
        lead=_lead(barriers, run["facts"]),
        parts=PARTS,
        facts=_facts(run),
        layers=_layers(barriers, layers),
        pictures=_pictures(barriers, cells, run["facts"], anchor),
        measures=measures,
        config=record.config,
        environment=pairs_table("environment", "Environment", ("What", "Value"), record.environment),
    )
    titles = {**PARTS, **{shown.key: shown.title for shown in measures}}
    order = [key for key in PARTS if key not in LAST] + [shown.key for shown in measures] + list(LAST)
    named = {f"{anchor}-{key}": titles[key] for key in order}
    return Section(anchor, str(run["title"]), html, named, CONNECTIVITY_TERMS)


def _paper(barriers: pd.DataFrame, metric: str) -> pd.DataFrame:
    return barriers[(barriers["metric"] == metric) & (barriers["reference"] == "mean")]


def _main(facts: Mapping[str, Any]) -> str:
    return "error" if "error" in facts["metrics"] else str(facts["metrics"][0])


def _lead(barriers: pd.DataFrame, facts: Mapping[str, Any]) -> str:
    """What came out, in two sentences."""
    metric = _main(facts)
    rows = _paper(barriers, metric)
    unit = UNIT.get(metric, "")
    full, single = rows[rows["kind"] == "full"], rows[rows["kind"] == "layer"]
    told = []
    if len(full):
        told.append(
            f"Half-way between the models the {metric} is {_signed(full['barrier'].mean(), unit)} against the "
            "mean of both."
        )
    if len(single):
        top = single.sort_values("barrier").iloc[-1]
        told.append(
            f"Of single layers, {top['part']} (default {str(top['default']).upper()}) has the highest barrier: "
            f"{_signed(top['barrier'], unit)}."
        )
    if len(full) and len(single) and facts.get("null_model", {}).get(metric) is not None:
        told.append(
            f"If barriers of layers just added up, {single['part'].nunique()} times their mean would be the "
            f"full one; here it is {facts['null_model'][metric]:.2f} of it."
        )
    return " ".join(told)


def _signed(value: float, unit: str) -> str:
    return f"{'+' if value >= 0 else '−'}{significant(abs(value))}{unit}"


def _facts(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = run["facts"]
    return [
        ("Model A", str(run["a"])),
        ("Model B", str(run["b"])),
        ("Data", f"{run['data']}, {count_text(facts['samples'])} samples"),
        ("Points on a cut", str(len(facts["alphas"]))),
        ("Batch norm", str(facts["norms"])),
        ("Models scored", count_text(facts["models_scored"])),
        ("Engine", f"{facts['engine']}: the work of {facts['passes']:.0f} passes"),
        ("Seed", str(facts["seed"])),
        ("Run", str(run["name"])),
        ("Started", str(run["started"])),
        ("Took", f"{significant(run['seconds'])} s"),
    ]


def _layers(barriers: pd.DataFrame, layers: pd.DataFrame) -> Table:
    """Distances beside barriers: a small step has a small barrier."""
    single = barriers[(barriers["kind"] == "layer") & (barriers["reference"] == "mean")]
    metrics = list(dict.fromkeys(single["metric"]))
    found = {(r.part, r.default, r.metric): r for r in single.itertuples()}
    columns = ["Layer", "Parameters", "Distance", "Relative", "Cosine"]
    columns += [f"{metric}, default {default.upper()}" for metric in metrics for default in "ab"]
    rows = []
    for layer in layers.itertuples():
        name = str(layer.layer)
        cells = [Cell(name), Cell(count_text(float(str(layer.parameters))))]
        cells += [Cell(significant(float(str(v)))) for v in (layer.distance, layer.relative, layer.cosine)]
        for metric in metrics:
            for default in "ab":
                row = found.get((name, default, metric))
                cells.append(Cell("–" if row is None else _with_error(row)))
        rows.append(cells)
    caption = (
        "Distance between the models and barrier of each layer against the mean of the full models, with one "
        "standard error over samples."
    )
    return Table("layers", caption, columns, rows, numbers=frozenset(range(1, len(columns))), tall=len(rows) > 20)


def _with_error(row: Any) -> str:
    error = float(row.standard_error)
    value = _signed(float(row.barrier), "")
    return value if error != error else f"{value} ± {significant(error)}"


def _pictures(barriers: pd.DataFrame, cells: pd.DataFrame, facts: Mapping[str, Any], anchor: str) -> dict[str, Picture]:
    metric = _main(facts)
    kinds = set(barriers["kind"])
    text = "; ".join(
        f"{r.part}, default {str(r.default).upper()}: {r.barrier:.3g}"
        for r in _paper(barriers, metric).itertuples()
        if r.kind in ("full", "layer")
    )
    plans: dict[str, tuple[bool, Callable[[float], Figure], str, str]] = {
        "map": (
            bool(kinds & {"full", "layer", "group"}),
            lambda w: barrier_map(barriers, width=w),
            "Barriers of the full model and of each layer",
            f"Barriers in {metric}: {text}.",
        ),
        "together": (
            bool(kinds & {"from_input", "from_output", "random_order", "window"}),
            lambda w: cumulative_curves(barriers, metric, width=w),
            "Barriers of layers together",
            f"Barriers in {metric} as layers are added; the file barriers.csv has all numbers.",
        ),
        "cuts": (
            bool(kinds & {"full", "layer"}),
            lambda w: cut_curves(cells, facts["metrics"][0], width=w),
            f"{str(facts['metrics'][0]).capitalize()} along each cut",
            "The file cells.csv has all numbers.",
        ),
    }
    return {
        key: Picture(figure_html(draw, f"{anchor}-{key}", title, words), f"{title}.")
        for key, (drawable, draw, title, words) in plans.items()
        if drawable
    }
