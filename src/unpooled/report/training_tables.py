"""The tables of a training run's section."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from unpooled.figures import summary
from unpooled.figures.by_site import worst_site
from unpooled.figures.looks import Method, Methods
from unpooled.figures.words import Metric, bytes_text, count_text, metric_called, significant
from unpooled.report.answer import AnswerWriter, spread_text
from unpooled.report.section import Cell, Table
from unpooled.report.training_record import TrainingRecord

GLYPHS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚", "<": "◀", "h": "⬢", "X": "✖", "*": "★"}
"""matplotlib's markers as characters, so that tables carry the marks of the figures."""
NOTHING = Cell("–")


def capital(text: str) -> str:
    """The text with its first letter as a capital, the rest as it is."""
    return f"{text[:1].upper()}{text[1:]}"


def _all_but_first(columns: Sequence[str]) -> frozenset[int]:
    return frozenset(range(1, len(columns)))


def method_cell(method: Method) -> Cell:
    """A method's name behind its mark."""
    aside = "simulation only" if method.simulation_only else ""
    return Cell(method.label, GLYPHS.get(method.look.marker, ""), method.look.slot, aside=aside)


def comparison_table(run: TrainingRecord, methods: Methods, answer: AnswerWriter) -> Table:
    """Final results and cost of every method."""
    metric, words = metric_called(run.result.main_metric), answer.words
    table = summary.final_table(run.history, metric.name)
    finals = {(str(row.protocol), str(row.model)): row for row in table.itertuples()}
    traffic = {str(row.protocol): row for row in summary.traffic_table(run.traffic).itertuples()}
    main = dict(zip(answer.values["protocol"], answer.values["model"], strict=True))
    rows = []
    for label, method in methods.items():
        row = [method_cell(method)]
        for model in ("aggregate", "local_mean", "local_min"):
            found: Any = finals.get((label, model))
            text = metric.interval(found.mean, found.half_width, unit=False) if found else "–"
            row.append(Cell(text, strong=bool(found) and main.get(label) == model))
        seeds = answer.results[label].seeds if label in answer.results else 0
        row += [_difference(answer, label), Cell(str(seeds))]
        sent: Any = traffic.get(label)
        row += [Cell(count_text(sent.up_messages)), Cell(bytes_text(sent.up_bytes))] if sent else [NOTHING] * 2
        row += [Cell(bytes_text(sent.down_bytes)) if sent else NOTHING]
        rows.append(row)
    return Table(
        "comparison",
        f"{capital(metric.axis)} after {count_text(run.result.steps)} local steps, "
        "mean ± 95 % interval over seeds. Bold: the model that counts as the method's result. "
        f"Messages and bytes of one run, mean over {words.sites}.",
        [
            "Method",
            "Combined model",
            f"{words.sites.capitalize()}' own models: mean",
            f"{words.sites.capitalize()}' own models: worst",
            f"Compared with {answer.subject}" if answer.subject else "Compared",
            "Seeds",
            "Messages sent",
            "Bytes sent",
            "Bytes received",
        ],
        rows,
        numbers=frozenset({1, 2, 3, 5, 6, 7, 8}),
    )


def _difference(answer: AnswerWriter, label: str) -> Cell:
    if answer.subject is None or label not in answer.results:
        return NOTHING
    return NOTHING if label == answer.subject else Cell(answer.compare(label))


def metrics_table(run: TrainingRecord, methods: Methods) -> Table:
    """Everything else that was measured, for the model that counts as the method's result."""
    names = [m for m in dict.fromkeys(map(str, run.history["metric"])) if m != run.result.main_metric]
    columns: dict[str, dict[str, str]] = {}
    for name in names:
        values = summary.result_values(run.history, name, methods)
        found = {
            str(label): summary.interval(group["value"]) for label, group in values.groupby("protocol", sort=False)
        }
        columns[name] = {k: metric_called(name).interval(v.mean, v.half_width, unit=False) for k, v in found.items()}
    rows = [
        [method_cell(method), *(Cell(columns[name].get(label, "–")) for name in names)]
        for label, method in methods.items()
    ]
    heads = [f"{metric_called(n).axis} ({metric_called(n).direction})" for n in names]
    caption = "Other metrics, mean ± 95 % interval over seeds."
    columns_shown = ["Method", *heads]
    return Table("metrics", caption, columns_shown, rows if names else [], numbers=_all_but_first(columns_shown))


def sites_table(run: TrainingRecord, methods: Methods, site_word: str) -> Table:
    """Results at every site, one column a method; the worst site of each method is marked."""
    metric = metric_called(run.result.main_metric)
    table = summary.site_table(run.sites, metric.name, methods)
    table = table[table["mean"].notna()]
    shown = [m for label, m in methods.items() if label in set(table["protocol"])]
    worst = {m.label: worst_site(table[table["protocol"] == m.label], metric)["site"] for m in shown}
    cells = {(str(row.protocol), str(row.site)): row for row in table.itertuples()}
    facts: dict[str, Any] = {str(row.site): row for row in table.drop_duplicates("site").itertuples()}
    names = [site.name for site in run.result.data.sites if site.name in facts]
    tested = run.result.data.test == "sites"
    rows = []
    for name in names:
        row = [Cell(name), Cell(count_text(round(facts[name].samples)))]
        row += [Cell(count_text(round(facts[name].test_samples)))] if tested else []
        row += [_site_cell(cells.get((m.label, name)), worst[m.label] == name, metric) for m in shown]
        rows.append(row)
    kinds = {
        m.label: "its own model" if set(table[table["protocol"] == m.label]["model"]) == {"local"} else ""
        for m in shown
    }
    heads = [f"{m.shown}{', ' + kinds[m.label] if kinds[m.label] else ''}" for m in shown]
    columns = [site_word.capitalize(), "Training rows", *(["Test rows"] if tested else []), *heads]
    caption = f"{capital(metric.axis)} at each {site_word}, mean ± 95 % interval over seeds; {metric.direction}."
    return Table("sites", caption, columns, rows, numbers=_all_but_first(columns), tall=len(rows) > 15)


def _site_cell(row: Any, worst: bool, metric: Metric) -> Cell:
    if row is None:
        return NOTHING
    return Cell(metric.interval(row.mean, row.half_width, unit=False), strong=worst, aside="worst" if worst else "")


def holdings_table(run: TrainingRecord, site_word: str) -> Table:
    """Rows of each site, by class."""
    sites = run.result.data.sites
    counts = summary.class_counts([{"name": s.name, "samples": s.samples, "classes": s.classes} for s in sites])
    named = list(counts.columns) if any(site.classes for site in sites) else []
    tested = any(site.test_samples for site in sites)
    rows = [
        [
            Cell(site.name),
            Cell(count_text(site.samples)),
            *([Cell(count_text(site.test_samples))] if tested else []),
            *(Cell(count_text(int(counts[label].iloc[place]))) for label in named),
        ]
        for place, site in enumerate(sites)
    ]
    columns = [site_word.capitalize(), "Training rows", *(["Test rows"] if tested else []), *map(str, named)]
    caption = f"Rows of each {site_word}" + (", training rows by class." if named else ".")
    return Table("holdings", caption, columns, rows, numbers=_all_but_first(columns), tall=len(rows) > 15)


def left_table(run: TrainingRecord, methods: Methods, site_word: str) -> Table:
    """What answers to each kind of question hold, and how much left a site; equal methods share a row."""
    table = summary.traffic_by_kind(run.traffic)
    rows: list[list[Cell]] = []
    for kind, group in table.groupby("kind", sort=False, observed=True):
        alike: dict[tuple[str, ...], list[str]] = {}
        for _, row in group.iterrows():
            told = (
                spread_text(row, "up_messages", count_text),
                *(bytes_text(float(row[key])) for key in ("up_bytes_min", "up_bytes", "up_bytes_max")),
                spread_text(row, "down_bytes", bytes_text),
            )
            alike.setdefault(told, []).append(methods[str(row["protocol"])].shown)
        holds = run.result.questions.get(str(kind), "The record does not say.")
        for number, (told, who) in enumerate(alike.items()):
            among = "all methods" if len(who) == len(methods) and len(who) > 1 else ", ".join(who)
            rows.append([Cell(str(kind)), Cell(holds if number == 0 else "as above"), Cell(among), *map(Cell, told)])
    columns = [
        "Question",
        "What the answer holds",
        "Asked by",
        "Answers",
        "Bytes sent: least",
        "mean",
        "most",
        "Bytes received",
    ]
    caption = f"Answers that left each {site_word} in one run, by kind of question (mean over seeds)."
    return Table("left", caption, columns, rows, numbers=frozenset({3, 4, 5, 6, 7}))


def cells_table(run: TrainingRecord, methods: Methods) -> Table:
    """How many seeds of each method finished, how long they took, and what ran them."""
    frame = pd.DataFrame(
        [(c.protocol, c.status == "finished", c.seconds, c.executor, c.executor_reason) for c in run.result.cells],
        columns=["protocol", "finished", "seconds", "executor", "reason"],
    )
    rows = []
    for label, method in methods.items():
        group = frame[frame["protocol"] == label]
        executors = ", ".join(dict.fromkeys(str(e) for e in group["executor"] if e)) or "–"
        reason = next((str(r) for r in group["reason"] if r), "–")
        seconds = group["seconds"].dropna()
        rows.append(
            [
                method_cell(method),
                Cell(settings_text(run, label)),
                Cell(f"{int(group['finished'].sum())} of {len(group)}"),
                Cell(f"{significant(float(seconds.mean()))} s" if len(seconds) else "–"),
                Cell(executors),
                Cell(reason),
            ]
        )
    columns = ["Method", "Settings", "Seeds finished", "Time a seed", "Executor", "Why this one"]
    return Table("cells", "Methods as they were run.", columns, rows, numbers=frozenset({2, 3}))


def settings_text(run: TrainingRecord, label: str) -> str:
    """A method's settings and note in one line."""
    row = next((p for p in run.result.protocols if p.label == label), None)
    if row is None:
        return "–"
    told = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in row.settings.items()]
    return "; ".join([*told, *([row.note] if row.note else [])]) or "–"


def pairs_table(name: str, caption: str, columns: tuple[str, str], pairs: Mapping[str, Any]) -> Table:
    """Names and values, such as the environment."""
    return Table(name, caption, columns, [[Cell(str(k)), Cell(str(v))] for k, v in pairs.items()], tall=len(pairs) > 15)
