"""The answer of a training run in sentences, every one computed from the record.

Who is better is said only where a paired test over seeds, corrected for all comparisons of the method that the page
speaks of, leaves p below 0.05; all else is "no clear difference".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from unpooled.figures import paired, summary
from unpooled.figures.looks import Methods
from unpooled.figures.summary import Interval
from unpooled.figures.tables import subject_of
from unpooled.figures.words import Metric, bytes_text, count_text, metric_called
from unpooled.report.training_record import Data, TrainingRecord

ROW_KINDS = frozenset({"rows"})
"""Question kinds whose answers hold rows of data."""


@dataclass(frozen=True)
class Answer:
    """One sentence to remember, then the sentences behind it under a few words that sort them."""

    lead: str
    facts: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Nouns:
    """What a site and a row are called in this run."""

    site: str
    sites: str
    row: str
    rows: str


def nouns(data: Data) -> Nouns:
    """The record's words for a site and a row, "site" and "row" where it has none."""
    site, row = data.words.get("site", "site"), data.words.get("row", "row")
    return Nouns(site, data.words.get("sites", f"{site}s"), row, data.words.get("rows", f"{row}s"))


def holders(data: Data, words: Nouns) -> str:
    """Such as "40 hospitals with 8 patients each"."""
    sizes = [site.samples for site in data.sites]
    if not sizes:
        return f"no {words.site}"
    if len(sizes) == 1:
        return f"1 {words.site} with {_rows(sizes[0], words)}"
    if min(sizes) == max(sizes):
        return f"{len(sizes)} {words.sites} with {_rows(sizes[0], words)} each"
    return f"{len(sizes)} {words.sites} with {count_text(min(sizes))} to {_rows(max(sizes), words)} each"


def _rows(count: int, words: Nouns) -> str:
    return f"{count_text(count)} {words.row if count == 1 else words.rows}"


def compared(difference: Interval, verdict: str, p: float, metric: Metric) -> str:
    """Such as "better by 3.1 ± 0.9 points", for a difference of one method minus another; `p` is the corrected one."""
    mean, half, seeds = difference
    if seeds == 0:
        return "not compared, as no seed finished with both"
    if verdict == paired.ONE_SEED:
        return f"{metric.difference(mean, half)} with one seed, which may be chance"
    if verdict == paired.NO_CLEAR:
        alone = f", but p = {paired.p_text(p)} after correction" if abs(mean) > half else ""
        return f"no clear difference ({metric.difference(mean, half)}{alone})"
    better = (mean > 0) == metric.higher_is_better
    return f"{'better' if better else 'worse'} by {metric.difference(abs(mean), half, signed=False)}"


class AnswerWriter:
    """Holds the tables that the sentences are computed from."""

    def __init__(self, record: TrainingRecord, methods: Methods) -> None:
        self.result, self.methods, self.traffic = record.result, methods, record.traffic
        self.metric = metric_called(record.result.main_metric)
        self.words = nouns(record.result.data)
        self.values = summary.result_values(record.history, record.result.main_metric, methods)
        self.finals = summary.final_table(record.history, record.result.main_metric)
        self.results = {
            str(label): summary.interval(group["value"]) for label, group in self.values.groupby("protocol", sort=False)
        }
        self.subject = subject_of(self.values, methods, self.metric, record.result.headline)
        tests = paired.paired_tests(self.values, self.subject) if self.subject else pd.DataFrame()
        self.tests = {str(row["protocol"]): row for _, row in tests.iterrows()}

    def write(self) -> Answer:
        """All sentences; those without numbers behind them are left out."""
        if self.subject is None:
            return Answer(self._no_lead(), [fact for fact in (self._left(),) if fact[1]])
        facts = [self._alone(), self._others(), self._pooled(), self._cost(), self._left(), self._certainty()]
        return Answer(self._lead(self.subject), [fact for fact in facts if fact[1]])

    def shown(self, label: str) -> str:
        """A method's final result with its interval."""
        found = self.results[label]
        return self.metric.interval(found.mean, found.half_width)

    def _no_lead(self) -> str:
        if not self.results:
            return "Nothing finished in this run, so there is no result yet."
        told = "; ".join(f"{self.methods[label].shown}: {self.shown(label)}" for label in self.results)
        return f"No method that works across {self.words.sites} finished. Measured {self.metric.words}: {told}."

    def _lead(self, subject: str) -> str:
        held = holders(self.result.data, self.words)
        text = f"{held[0].upper()}{held[1:]}: {subject} reaches {self.shown(subject)} {self.metric.words}"
        yardsticks = []
        for label, found in self.results.items():
            if self.methods[label].alone:
                yardsticks.append(f"training alone {self.shown(label)} on average")
            elif self.methods[label].simulation_only and found.seeds:
                yardsticks.append(f"pooled training (simulation only) {self.shown(label)}")
        return f"{text}, {', '.join(yardsticks)}." if yardsticks else f"{text}."

    def compare(self, label: str, *, turned: bool = False) -> str:
        """How a method compares with the one the page speaks of, in words; `turned`: that one with the method."""
        row = self.tests.get(label)
        if row is None:
            return compared(Interval(math.nan, math.nan, 0), paired.ONE_SEED, math.nan, self.metric)
        mean = -float(row["mean"]) if turned else float(row["mean"])
        found = Interval(mean, float(row["half_width"]), int(row["seeds"]))
        return compared(found, str(row["verdict"]), float(row["p_holm"]), self.metric)

    def _against(self, label: str) -> str:
        return f"{self.subject} against {label} ({self.shown(label)}): {self.compare(label, turned=True)}."

    def _alone(self) -> tuple[str, list[str]]:
        alone = [label for label in self.results if self.methods[label].alone]
        told = [self._against(label) for label in alone]
        worst = self.finals[self.finals["protocol"].isin(alone) & (self.finals["model"] == "local_min")]
        if len(worst):
            mean, half = float(worst["mean"].iloc[0]), float(worst["half_width"].iloc[0])
            told.append(f"Trained alone, the worst {self.words.site} reaches {self.metric.interval(mean, half)}.")
        return f"Against each {self.words.site} alone", told

    def _others(self) -> tuple[str, list[str]]:
        others = [
            label
            for label in self.results
            if label != self.subject and not self.methods[label].alone and not self.methods[label].simulation_only
        ]
        return "Against other methods", [self._against(label) for label in others]

    def _pooled(self) -> tuple[str, list[str]]:
        told = [self._against(label) for label in self.results if self.methods[label].simulation_only]
        if told:
            told.append("That yardstick needs all rows in one place: it was computed in simulation only.")
        return "Against pooled training", told

    def _cost(self) -> tuple[str, list[str]]:
        table = summary.traffic_table(self.traffic[self.traffic["protocol"] == self.subject])
        if table.empty:
            return "", []
        row = table.iloc[0]
        up, down = (spread_text(row, key, bytes_text) for key in ("up_bytes", "down_bytes"))
        messages = spread_text(row, "up_messages", count_text)
        text = f"In one run of {self.subject} every {self.words.site} sent {up} in {messages} messages"
        return "What it cost", [f"{text} and received {down}, evaluation included."]

    def _left(self) -> tuple[str, list[str]]:
        site = self.words.site
        allowed = {label for label, method in self.methods.items() if not method.simulation_only}
        real = self.traffic[self.traffic["protocol"].isin(allowed) & (self.traffic["up_bytes"] > 0)]
        with_rows = real[real["kind"].isin(ROW_KINDS)]
        unknown = sorted(set(map(str, real["kind"])) - set(self.result.questions) - ROW_KINDS)
        if self.traffic.empty:
            return "", []
        if len(with_rows):
            who = ", ".join(dict.fromkeys(map(str, with_rows["protocol"])))
            told = [f"Rows of data left their {site} under {who}."]
        elif unknown:
            told = [f"The record does not say what answers to {', '.join(unknown)} hold: nothing is claimed here."]
        else:
            told = [f"No row of data left a {site}; what did is listed under “What left each {site}”."]
        apart = self.traffic[~self.traffic["protocol"].isin(allowed) & self.traffic["kind"].isin(ROW_KINDS)]
        for label, group in apart.groupby("protocol", sort=False, observed=True):
            raw = spread_text(summary.traffic_table(group).iloc[0], "up_bytes", bytes_text)
            told.append(f"{label} (simulation only) stands for sending all rows: {raw} of raw data a {site}.")
        return f"What left a {site}", told

    def _certainty(self) -> tuple[str, list[str]]:
        seeds = [found.seeds for found in self.results.values()]
        if max(seeds) < 2:
            return "How sure", ["One seed only: there are no intervals, and differences may be chance."]
        told = str(max(seeds)) if min(seeds) == max(seeds) else f"{min(seeds)} to {max(seeds)}"
        fixed = f" The test {self.words.rows} are the same under every seed." if self.result.data.test_fixed else ""
        sure = [
            f"± is a 95 % interval over {told} seeds: over chance in splitting, starting and drawing. "
            f"It says nothing about other {self.words.rows} than these.{fixed}"
        ]
        if self.tests:
            sure.append(
                f"Differences are taken seed by seed. Better or worse is said where a paired t test, after Holm's "
                f"correction for {count_text(len(self.tests))} comparisons, has p below 0.05."
            )
        return "How sure", sure


def spread_text(row: pd.Series[Any], column: str, words: Callable[[float], str]) -> str:
    """The mean over sites, or the range where they differ by more than 2 %; `words` makes a number text."""
    low, high, mean = (float(row[key]) for key in (f"{column}_min", f"{column}_max", column))
    if high - low <= 0.02 * mean:
        return words(mean)
    return f"{words(low)} to {words(high)} (mean {words(mean)})"
