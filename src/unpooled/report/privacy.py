"""What protecting the sites cost and promises, as a table and a sentence."""

from __future__ import annotations

from typing import Any

from unpooled.figures.looks import Methods
from unpooled.figures.words import count_text, significant
from unpooled.report.section import Cell, Table
from unpooled.report.training_record import TrainingRecord

KINDS = {"clip_and_noise": "clip and noise", "dp_sgd": "DP-SGD"}
"""What a record's settings of privacy are called."""


def privacy_table(run: TrainingRecord, methods: Methods) -> Table | None:
    """Models sent and epsilon by method: the worst site, mean over seeds. None where nothing was protected."""
    if run.result.privacy.settings is None:
        return None
    rows = []
    for label, method in methods.items():
        account = run.privacy[run.privacy["protocol"] == label]
        if len(account):
            worst = account.groupby("seed")[["sends", "epsilon", "delta"]].max().mean()
            told = (count_text(float(worst["sends"])), significant(float(worst["epsilon"])), f"{worst['delta']:g}")
        else:
            told = ("–", "not protected", "–")
        rows.append([Cell(method.shown), *map(Cell, told)])
    columns = ["Method", "Models sent by a site", "epsilon", "delta"]
    caption = "What was spent by the site that spent most (mean over seeds): smaller promises more."
    return Table("privacy", caption, columns, rows, numbers=frozenset({1, 2, 3}))


def privacy_words(run: TrainingRecord) -> str:
    """What was added at the sites, in one sentence; empty where nothing was."""
    settings = run.result.privacy.settings
    if settings is None:
        return ""
    kind = str(settings.get("kind", ""))
    added = KINDS.get(kind, kind)
    values = {name: value for name, value in settings.items() if name != "kind" and value is not None}
    told = ", ".join(f"{name} {_plain(value)}" for name, value in values.items())
    return (
        f"Models left the sites under {added} ({told}), and training losses did not leave. Answers to other questions, "
        "such as statistics and test results, are exact and in no account."
    )


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)
