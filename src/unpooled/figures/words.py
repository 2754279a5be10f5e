"""Numbers and metrics in words: the same rounding and units on every axis, in every table and sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass

NB = "\N{NO-BREAK SPACE}"
"""Keeps a number and its unit on one line."""
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Metric:
    """What a metric is called, whether it is a share shown in per cent, and which way is better."""

    name: str
    words: str
    percent: bool = False
    higher_is_better: bool = True

    @property
    def scale(self) -> float:
        """What a recorded value is multiplied with before it is shown."""
        return 100.0 if self.percent else 1.0

    @property
    def axis(self) -> str:
        """Name and unit for an axis or a column."""
        return f"{self.words} (%)" if self.percent else self.words

    @property
    def direction(self) -> str:
        """Which way is better, as half a sentence."""
        return "higher is better" if self.higher_is_better else "lower is better"

    def number(self, value: float, *, like: float = 0.0, signed: bool = False) -> str:
        """The value without its unit: one decimal for per cent, otherwise three significant digits.

        `like` is another value beside it: both then get the decimals of the greater one.
        """
        if not math.isfinite(value):
            return "–"
        value *= self.scale
        if self.percent:
            text = f"{value:.1f}"
        else:
            greatest = max(abs(value), abs(like) if math.isfinite(like) else 0.0)
            text = significant(value) if greatest >= 1e6 or 0 < greatest < 1e-3 else f"{value:.{_decimals(greatest)}f}"
        text = text if float(text) else text.lstrip("-")
        if signed and float(text) > 0:
            text = f"+{text}"
        return text.replace("-", MINUS)

    def interval(self, mean: float, half_width: float, *, unit: bool = True) -> str:
        """Such as "94.1 ± 0.8 %"; without the ± part where there is no interval."""
        shown = self._pair(mean, half_width)
        return f"{shown}{NB}%" if unit and self.percent and math.isfinite(mean) else shown

    def difference(self, mean: float, half_width: float, *, signed: bool = True, unit: bool = True) -> str:
        """Such as "+3.1 ± 0.9 points", or without the word where the metric is no share."""
        word = f"{NB}points" if unit and self.percent and math.isfinite(mean) else ""
        return f"{self._pair(mean, half_width, signed=signed)}{word}"

    def _pair(self, mean: float, half_width: float, *, signed: bool = False) -> str:
        first = self.number(mean, like=half_width, signed=signed)
        if not math.isfinite(half_width):
            return first
        return f"{first}{NB}±{NB}{self.number(half_width, like=mean)}"


METRICS = {
    m.name: m
    for m in (
        Metric("accuracy", "accuracy", percent=True),
        Metric("balanced_accuracy", "balanced accuracy", percent=True),
        Metric("auc", "area under the ROC curve"),
        Metric("r2", "explained variance (R²)"),
        Metric("loss", "loss", higher_is_better=False),
        Metric("train_loss", "loss on training rows", higher_is_better=False),
        Metric("rmse", "root mean squared error", higher_is_better=False),
        Metric("mse", "mean squared error", higher_is_better=False),
        Metric("mae", "mean absolute error", higher_is_better=False),
    )
}
"""A metric that is not here is shown under its own name, as a plain number."""
ERRORS = ("loss", "error", "rmse", "mse", "mae", "brier")
"""In the name of a metric that is not in the table, these say that less is better."""


def metric_called(name: str) -> Metric:
    """The metric's row, or a plain one for a name that is not in the table."""
    lower = any(word in name.lower() for word in ERRORS)
    return METRICS.get(name, Metric(name, name.replace("_", " "), higher_is_better=not lower))


def significant(value: float, digits: int = 3) -> str:
    """A number with about three significant digits and no exponent between 0.0001 and a million.

    >>> [significant(v) for v in (0.01234, 1.5, 123.4, 51234.0, 0.0)]
    ['0.0123', '1.50', '123', '51234', '0']
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "–"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}"
    value = float(f"{value:.{digits}g}") if abs(value) < 10**digits else value
    return f"{value:.{_decimals(value, digits)}f}"


def _decimals(value: float, digits: int = 3) -> int:
    """Decimals that show `digits` significant digits of a value."""
    return max(digits - 1 - math.floor(math.log10(abs(value))), 0) if value else digits - 1


def bytes_text(count: float) -> str:
    """Bytes with a unit, in steps of 1000.

    >>> [bytes_text(v).replace(NB, " ") for v in (0, 999, 12_345, 3_400_000, 999_999)]
    ['0 B', '999 B', '12.3 kB', '3.40 MB', '1.00 MB']
    """
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if count >= 1000**power * 0.9995:
            return f"{significant(count / 1000**power)}{NB}{unit}"
    return f"{round(count)}{NB}B"


def count_text(count: float) -> str:
    """A whole number with thin blanks between thousands; one decimal where it is not whole."""
    text = f"{count:,.0f}" if float(count).is_integer() or count >= 100 else f"{count:,.1f}"
    return text.replace(",", "\N{NARROW NO-BREAK SPACE}")


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, the end replaced by an ellipsis."""
    return text if len(text) <= limit else text[: max(limit - 1, 1)].rstrip() + "…"
