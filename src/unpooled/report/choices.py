"""The tables of a comparison's choices: what learning rates were tried, and which differences are clear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from unpooled.figures.looks import Methods
from unpooled.figures.tables import TextTable, differences_table, pairs_table
from unpooled.figures.words import count_text, metric_called
from unpooled.report.section import Cell, Table
from unpooled.report.training_record import TrainingRecord, Trial
from unpooled.report.training_tables import NOTHING, method_cell


def difference_tables(run: TrainingRecord, methods: Methods) -> dict[str, Table]:
    """The method that the page speaks of against every other, and the clear differences among all pairs."""
    outcome: Mapping[str, Any] = run.record.result
    against, pairs = differences_table(outcome, run.history), pairs_table(outcome, run.history)
    found = {"pairs": _table("pairs", pairs, methods)}
    if against is not None:
        found["differences"] = _table("differences", against, methods)
    return found


def _table(name: str, text: TextTable, methods: Methods) -> Table:
    named = {method.shown: method for method in methods.values()}
    rows = [[method_cell(named[first]), *map(Cell, rest)] for first, *rest in text.rows]
    return Table(name, f"{text.title}: {text.caption}.", text.columns, rows, text.numbers, tall=len(rows) > 15)


def tuning_table(run: TrainingRecord, methods: Methods) -> Table:
    """Results on the validation rows for each method and learning rate, and how often a rate was taken."""
    tuning = run.result.tuning
    if tuning is None:
        return Table("tuning", "", (), [])
    metric = metric_called(tuning.metric)
    chosen: dict[tuple[str, float | None], int] = {}
    for row in tuning.chosen:
        chosen[row.protocol, row.lr] = chosen.get((row.protocol, row.lr), 0) + 1
    rows = []
    for label, method in methods.items():
        cells = [method_cell(method)]
        for lr in tuning.lr:
            tried = [t for t in tuning.tried if t.protocol == label and t.lr == lr]
            taken = chosen.get((label, lr), 0)
            cells.append(_tried(tried, tuning.metric, taken))
        rows.append(cells)
    together = "each seed chose for itself"
    if tuning.seeds is not None:
        seeds = ", ".join(map(str, tuning.seeds))
        together = f"seed {seeds} chose for all" if len(tuning.seeds) == 1 else f"seeds {seeds} chose for all together"
    caption = (
        f"Learning rates tried: mean {metric.axis} on validation rows after {count_text(tuning.steps)} local steps, "
        f"{metric.direction}; {together}. Bold: taken for the comparison, with the number of seeds that took it."
    )
    return Table(
        "tuning",
        caption,
        ["Method", *(f"{lr:g}" for lr in tuning.lr)],
        rows,
        numbers=frozenset(range(1, len(tuning.lr) + 1)),
    )


def _tried(trials: list[Trial], metric: str, taken: int) -> Cell:
    if not trials:
        return NOTHING
    values = [t.values[metric] for t in trials if metric in t.values]
    if len(values) < len(trials):
        return Cell("failed", strong=taken > 0)
    shown = metric_called(metric).number(float(np.mean(values)))
    return Cell(shown, strong=taken > 0, aside=f"{taken} seeds" if taken > 1 else "1 seed" if taken else "")
