"""The section of a training run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

import pandas as pd
from matplotlib.figure import Figure

from unpooled import figures
from unpooled.figures.looks import Methods, methods
from unpooled.figures.words import bytes_text, count_text, metric_called, significant
from unpooled.report import choices
from unpooled.report import training_tables as tables
from unpooled.report.answer import Answer, AnswerWriter, holders
from unpooled.report.audit import audit_table
from unpooled.report.glossary import TRAINING_TERMS
from unpooled.report.privacy import hidden_words, privacy_table, privacy_words
from unpooled.report.record import Record
from unpooled.report.section import Picture, Section, Table, render
from unpooled.report.svg import figure_html
from unpooled.report.training_record import TrainingRecord

STATUS = {
    "finished": "",
    "interrupted": "This run was interrupted; {continued} continues it. What follows rests on the cells that finished.",
    "failed": "This run failed. What follows rests on the cells that finished before.",
}


def _status(run: TrainingRecord) -> str:
    """What to know of a run that has not finished."""
    continued = "`unpooled resume`" if run.result.simulated else "the command that began it"
    words = STATUS.get(run.result.status, f"Status of this run: {run.result.status}.")
    return words.format(continued=continued)


def _command(run: TrainingRecord, methods: int) -> str:
    """The command without its config, and where the sites are real, with their federation."""
    if not run.result.simulated:
        return "coordinator run --federation FEDERATION" + (" --all" if methods > 1 else "")
    return "compare" if methods > 1 else "train"


def training_page(record: Record, anchor: str, peers: Sequence[Record]) -> Section:
    """Tables, figures and sentences of one training run; a method looks alike in all `peers`."""
    run = TrainingRecord(record)
    looks = _looks(run, peers)
    answer = AnswerWriter(run, looks)
    told = answer.write()
    words = answer.words
    parts = {
        "what": "What was run, and on what",
        "compared": "Comparison",
        "clear": "Which differences are clear",
        **({"tuned": "How learning rates were chosen"} if run.result.tuning else {}),
        "way": "On the way",
        "by-site": f"{words.site.capitalize()} by {words.site}",
        "held": "Who holds what",
        "left": f"What left each {words.site}",
        "warned": "Warnings",
        "settings": "Settings and environment",
        "again": "How to run it again",
    }
    html = render(
        "training.html.j2",
        anchor=anchor,
        run=run.result,
        status=_status(run),
        answer=told,
        words=words,
        parts=parts,
        facts=_facts(run, answer),
        protection=privacy_words(run),
        hidden=hidden_words(run, looks),
        pictures=_pictures(run, looks, answer, anchor, told),
        tables=_tables(run, looks, answer),
        unfinished=run.unfinished,
        config=record.config,
        environment=tables.pairs_table("environment", "Environment", ("What", "Value"), record.environment),
        heads=tables.pairs_table(
            "heads",
            "Last line of each ledger",
            (words.site.capitalize(), "SHA-256"),
            run.result.privacy.heads,
        ),
        command=_command(run, len(looks)),
    )
    return Section(
        anchor,
        run.result.title,
        html,
        {f"{anchor}-{key}": text for key, text in parts.items()},
        TRAINING_TERMS,
    )


def _looks(run: TrainingRecord, peers: Sequence[Record]) -> Methods:
    """Looks drawn from one list over all runs of the page, then only this run's methods in its own order."""
    rows = [
        row for peer in peers if peer.result["family"] == "training" for row in TrainingRecord(peer).result.protocols
    ]
    everywhere = methods(asdict(row) for row in rows)
    here = methods(asdict(row) for row in run.result.protocols)
    return {label: everywhere.get(label, method) for label, method in here.items()}


def _level(looks: Methods) -> str:
    """How to read the lines that do not rise, where there are any."""
    told = [f"{m.shown} exchanges no model and is a level line." for m in looks.values() if m.alone]
    told += [f"{m.shown} moves all rows at once and is one point." for m in looks.values() if m.simulation_only]
    return " ".join(told)


def _facts(run: TrainingRecord, answer: AnswerWriter) -> list[tuple[str, str]]:
    """What was run and on what."""
    result, data, words = run.result, run.result.data, answer.words
    total = count_text(sum(site.samples for site in data.sites))
    where = {
        "central": f"{count_text(data.test_samples)} test {words.rows} in one place, same for all models",
        "sites": f"{count_text(data.test_samples)} test {words.rows} that stay at the {words.sites}",
    }.get(data.test, data.test)
    seeds = dict.fromkeys(cell.seed for cell in result.cells)
    facts = [
        ("Data", data.source + (f". {data.note}" if data.note else "")),
        (words.sites.capitalize(), f"{holders(data, words)}, {total} {words.rows} in all"),
        (
            "Task",
            data.task + (f" from {count_text(data.features)} features" if data.features is not None else ""),
        ),
        ("Measured on", where),
        (
            "Model",
            f"{result.model.kind}, {count_text(result.model.parameters)} parameters, {bytes_text(result.model.bytes)}",
        ),
        ("Training", f"{count_text(result.steps)} local steps at every {words.site}"),
        ("Seeds", f"{len(seeds)} ({', '.join(map(str, seeds))})"),
        ("Run", f"{result.name}, identity {result.identity}"),
    ]
    if result.started:
        facts.append(("Started", result.started))
    if result.seconds is not None:
        facts.append(("Took", f"{significant(result.seconds)} s"))
    return facts


def _tables(run: TrainingRecord, looks: Methods, answer: AnswerWriter) -> dict[str, Table]:
    site = answer.words.site
    return {
        "comparison": tables.comparison_table(run, looks, answer),
        "metrics": tables.metrics_table(run, looks),
        "sites": tables.sites_table(run, looks, site),
        "holdings": tables.holdings_table(run, site),
        "left": tables.left_table(run, looks, site),
        **({"audit": audited} if (audited := audit_table(run, looks)) else {}),
        **({"privacy": protected} if (protected := privacy_table(run, looks)) else {}),
        "cells": tables.cells_table(run, looks),
        "tuning": choices.tuning_table(run, looks),
        **choices.difference_tables(run, looks),
    }


def _pictures(
    run: TrainingRecord, looks: Methods, answer: AnswerWriter, anchor: str, told: Answer
) -> dict[str, Picture]:
    """The figures that there are numbers for."""
    metric, words = metric_called(run.result.main_metric), answer.words
    results = "; ".join(f"{looks[label].shown} {answer.shown(label)}" for label in answer.results)
    sites = [asdict(site) for site in run.result.data.sites]
    at_sites = run.sites[run.sites["metric"] == metric.name]
    name, subject = metric.words, f"{metric.words[0].upper()}{metric.words[1:]}"
    plans: dict[str, tuple[pd.DataFrame | list[object], Callable[[float], Figure], str, str]] = {
        "comparison": (
            answer.values,
            lambda w: figures.comparison(run.history, metric.name, methods=looks, width=w),
            f"{subject} of each method in the end",
            f"{results}. The table “Comparison” has all numbers.",
        ),
        "steps": (
            answer.values,
            lambda w: figures.accuracy_against_steps(run.history, metric.name, methods=looks, width=w),
            f"{subject} against local steps",
            f"One line a method: combined model, and the {words.sites}' own models. In the end: {results}.",
        ),
        "bytes": (
            answer.values,
            lambda w: figures.accuracy_against_bytes(run.history, metric.name, methods=looks, width=w),
            f"{subject} against bytes moved",
            f"The same {name}, over the bytes of all {words.sites} together. {_level(looks)}",
        ),
        "sites": (
            at_sites,
            lambda w: figures.per_site(run.sites, metric.name, methods=looks, width=w),
            f"{subject} at each {words.site}",
            f"Mean over seeds; each method's worst {words.site} is ringed. The table below has all numbers.",
        ),
        "holdings": (
            list(sites),
            lambda w: figures.holdings(sites, row_word=words.rows, width=w),
            f"{words.rows.capitalize()} at each {words.site}",
            f"{holders(run.result.data, words).capitalize()}. The table below has all numbers.",
        ),
        "traffic": (
            run.traffic,
            lambda w: figures.traffic_by_site(run.traffic, methods=looks, width=w),
            f"Bytes sent and received by each {words.site}",
            "In one run of each method, evaluation included. The table below says what they held.",
        ),
    }
    return {
        key: Picture(
            figure_html(draw, f"{anchor}-{key}", title, text),
            f"{title}. {text}" if key == "bytes" else f"{title}.",
        )
        for key, (rows, draw, title, text) in plans.items()
        if len(rows)
    }
