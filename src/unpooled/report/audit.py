"""What attackers could tell from what was shown, beside what the model was worth."""

from __future__ import annotations

import math
from typing import Any

from unpooled.figures.looks import Methods
from unpooled.figures.words import metric_called, significant
from unpooled.report.section import Cell, Table
from unpooled.report.training_record import TrainingRecord

COLUMNS = (
    "protocol", "seen", "attack", "worlds", "auc", "auc_half_width", "advantage", "advantage_half_width", "tpr",
    "tpr_half_width", "metric", "value", "epsilon",
)  # fmt: skip


def audit_table(run: TrainingRecord, methods: Methods) -> Table | None:
    """How well each attack does against each method; None where the run was not audited (`unpooled audit`)."""
    if not (run.record.folder / "audit.parquet").is_file():
        return None
    rows = []
    records: list[dict[str, Any]] = run.record.frame("audit", COLUMNS).to_dict("records")  # type: ignore[assignment]
    for row in records:
        if str(row["protocol"]) not in methods:
            continue
        metric = metric_called(str(row["metric"])) if row["metric"] else None
        spent = row["epsilon"]
        rows.append(
            [
                Cell(methods[str(row["protocol"])].shown),
                Cell(str(row["seen"])),
                Cell(str(row["attack"])),
                Cell(_share(row["auc"], row["auc_half_width"])),
                Cell(_share(row["advantage"], row["advantage_half_width"])),
                Cell(_share(row["tpr"], row["tpr_half_width"])),
                Cell(metric.interval(float(row["value"]), math.nan) if metric else "–"),
                Cell("none" if spent is None or math.isnan(spent) else significant(float(spent))),
            ]
        )
    columns = ["Method", "What was seen", "Attack", "AUC", "Advantage", "Found at 1 % false", "Worth", "epsilon"]
    caption = (
        "Membership inference: telling who was trained on (mean ± 95 % interval over worlds that hold half of the rows "
        "each). Guessing gives AUC 0.5, advantage 0, found 0.01."
    )
    return Table("audit", caption, columns, rows, numbers=frozenset({3, 4, 5, 6, 7}))


def _share(value: float, half_width: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f} ± {half_width:.2f}"
