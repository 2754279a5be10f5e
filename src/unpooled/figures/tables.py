"""The tables of a comparison as plain text, built once for the terminal, the report, the README and the docs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from unpooled.figures.looks import Methods, methods
from unpooled.figures.paired import NO_CLEAR, ONE_SEED, p_text, paired_tests
from unpooled.figures.summary import final_table, interval, result_values, traffic_table
from unpooled.figures.words import Metric, bytes_text, metric_called

TESTED = ("accuracy", "balanced_accuracy")
"""Metrics that methods are compared by, besides the run's main one, where a record has them."""
MODELS = {"aggregate": "aggregate", "local_mean": "mean of local models", "local_min": "worst local model"}


@dataclass(frozen=True)
class TextTable:
    """Cells as text; the first column names the row, those in `numbers` are set right."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers: frozenset[int]

    def markdown(self) -> str:
        """Title, caption and rows in Markdown."""
        lines = [f"**{self.title}** ({self.caption})", "", f"| {' | '.join(self.columns)} |"]
        lines.append("|" + "|".join("---:" if i in self.numbers else "---" for i in range(len(self.columns))) + "|")
        return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in self.rows)])


def finished(frame: pd.DataFrame, outcome: Mapping[str, Any]) -> pd.DataFrame:
    """The rows of a record's table that belong to cells which finished: a failed cell has no final value."""
    kept = {(c["protocol"], c["seed"]) for c in outcome["cells"] if c["status"] == "finished"}
    mask = [pair in kept for pair in zip(frame["protocol"], frame["seed"], strict=True)]
    return frame[np.array(mask, dtype=bool)]


def results_table(outcome: Mapping[str, Any], history: pd.DataFrame, traffic: pd.DataFrame) -> TextTable:
    """Final results of each method with 95 % intervals over seeds, and its bytes; of a run's `result.json`.

    Metrics besides the main one are those of the model that counts as the method's result: the aggregate, or the mean
    of the local models where these are never combined.
    """
    metric, looks = metric_called(outcome["main_metric"]), methods(outcome["protocols"])
    history, traffic = finished(history, outcome), finished(traffic, outcome)
    final: dict[tuple[str, str], Any] = {
        (str(row.protocol), str(row.model)): row for row in final_table(history, metric.name).itertuples()
    }
    cost: dict[str, Any] = {str(row.protocol): row for row in traffic_table(traffic).itertuples()}
    others = [m for m in tested(outcome, history) if m != metric.name]
    beside = {name: _results(history, name, looks) for name in others}
    rows = []
    for label, method in looks.items():
        cells = [
            metric.interval(final[label, model].mean, final[label, model].half_width)
            if (label, model) in final
            else "-"
            for model in MODELS
        ]
        cells += [beside[name].get(label, "-") for name in others]
        size = bytes_text(cost[label].up_bytes + cost[label].down_bytes) if label in cost else "-"
        rows.append((method.shown, *cells, size))
    seeds = len({cell["seed"] for cell in outcome["cells"]})
    over = f"mean and 95 % interval over {seeds} seeds" if seeds > 1 else "one seed: no interval"
    heads = [*MODELS.values(), *(f"{metric_called(name).words} of the result" for name in others), "bytes a site"]
    numbers = frozenset(range(1, len(heads) + 1))
    return TextTable(outcome["title"], f"{metric.name}, {over}", ("protocol", *heads), rows, numbers)


def differences_table(outcome: Mapping[str, Any], history: pd.DataFrame) -> TextTable | None:
    """The method to speak of against every other, seed by seed; None where nothing can be compared."""
    history, looks = finished(history, outcome), methods(outcome["protocols"])
    main = metric_called(outcome["main_metric"])
    subject = subject_of(result_values(history, main.name, looks), looks, main, outcome.get("headline"))
    if subject is None or len(looks) < 2:
        return None
    rows: dict[str, list[str]] = {label: [looks[label].shown] for label in looks if label != subject}
    heads = ["against"]
    for name in tested(outcome, history):
        metric = metric_called(name)
        heads += [f"{metric.words} (points)" if metric.percent else metric.words, "seeds", "p (Holm)"]
        tests = paired_tests(result_values(history, name, looks), subject)
        found: dict[str, Any] = {str(row.protocol): row for row in tests.itertuples()}
        for label, cells in rows.items():
            cells += _turned(found[label], metric) if label in found else ["-"] * 3
    return TextTable(
        f"{subject} against each other method",
        "difference seed by seed with its 95 % interval, seeds above : below, p of a paired t test corrected by Holm "
        f"for {len(rows)} comparisons",
        tuple(heads),
        [tuple(row) for row in rows.values()],
        frozenset(range(1, len(heads))),
    )


def pairs_table(outcome: Mapping[str, Any], history: pd.DataFrame) -> TextTable:
    """Of all pairs of methods those whose difference is clear, one row a pair and metric."""
    history, looks = finished(history, outcome), methods(outcome["protocols"])
    rows, count = [], len(looks) * (len(looks) - 1) // 2
    for name in tested(outcome, history):
        metric = metric_called(name)
        tests = paired_tests(result_values(history, name, looks))
        row: Any
        for row in tests[~tests["verdict"].isin([NO_CLEAR, ONE_SEED])].itertuples():
            one, other = (looks[str(label)].shown for label in (row.protocol, row.reference))
            better = (row.mean > 0) == metric.higher_is_better
            first, second = (one, other) if better else (other, one)
            size = metric.difference(abs(row.mean), row.half_width, signed=False)
            rows.append((first, second, metric.words, size, p_text(row.p_holm)))
    return TextTable(
        "Clear differences among all pairs",
        f"paired t tests, p corrected by Holm for the {count} pairs of each metric",
        ("better", "than", "in", "by", "p (Holm)"),
        rows,
        frozenset({3, 4}),
    )


def tested(outcome: Mapping[str, Any], history: pd.DataFrame) -> list[str]:
    """The metrics that methods are compared by."""
    known = set(map(str, history["metric"]))
    return [m for m in dict.fromkeys((outcome["main_metric"], *TESTED)) if m in known]


def subject_of(values: pd.DataFrame, looks: Methods, metric: Metric, wish: str | None) -> str | None:
    """The method to speak of: the record's wish, or the best of those that could run on real sites together."""
    means = {
        str(label): interval(group["value"]).mean
        for label, group in values.groupby("protocol", sort=False)
        if interval(group["value"]).seeds and not looks[str(label)].simulation_only and not looks[str(label)].alone
    }
    if wish in means:
        return wish
    sign = 1 if metric.higher_is_better else -1
    return max(means, key=lambda label: sign * means[label]) if means else None


def _turned(row: Any, metric: Metric) -> list[str]:
    """The subject minus the other, of a test the other way round: verdict and difference, seeds, corrected p."""
    better = (row.mean < 0) == metric.higher_is_better
    said = {NO_CLEAR: "unclear", ONE_SEED: "one seed"}.get(row.verdict, "better" if better else "worse")
    shown = metric.difference(-row.mean, row.half_width, unit=False)
    return [f"{said}: {shown}", f"{row.lower} : {row.higher}", p_text(row.p_holm)]


def _results(history: pd.DataFrame, name: str, looks: Methods) -> dict[str, str]:
    values, metric = result_values(history, name, looks), metric_called(name)
    found = {str(label): interval(group["value"]) for label, group in values.groupby("protocol", sort=False)}
    return {label: metric.interval(f.mean, f.half_width) for label, f in found.items()}
