"""What protecting the sites cost and promises, as a table and a sentence."""

from __future__ import annotations

from typing import Any

from unpooled.figures.looks import Methods
from unpooled.figures.words import count_text, significant
from unpooled.report.section import Cell, Table
from unpooled.report.training_record import TrainingRecord

SEALED_KIND = "train_sealed"
"""The kind of question by which models travel sealed."""
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


def hidden_words(run: TrainingRecord, methods: Methods) -> str:
    """What the coordinator could not read, in a few sentences; empty where it could read every model."""
    hidden, words = run.result.privacy, []
    traffic = run.traffic[(run.traffic["kind"] == SEALED_KIND) & (run.traffic["up_messages"] > 0)]
    labels = [method.shown for label, method in methods.items() if label in set(traffic["protocol"])]
    if hidden.sealed_hops and labels:
        words.append(
            f"Under {', '.join(labels)} models that hopped were sealed for the site that received them, and the "
            "coordinator passed on what it could not read; at real sites the combined model is then measured only "
            "where models are averaged."
        )
        if not hidden.secure_sum:
            words.append("It did see each model that was averaged.")
    if hidden.secure_sum:
        words.append("Models were averaged under masks: the coordinator saw sums, and no single model.")
    return " ".join(words)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)
