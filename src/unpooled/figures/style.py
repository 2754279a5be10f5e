"""What all figures have in common: size, type, colours, and what keeps them readable when narrow."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from unpooled.figures.looks import THEME, Method
from unpooled.figures.words import Metric, bytes_text, significant

WIDE, NARROW = 9.6, 3.8
"""Widths in inches: for a page or a screen, and for a phone."""
INK, MUTED, GRID, PAPER = (THEME[name][0] for name in ("ink", "muted", "grid", "paper"))
STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a site's name is a "$"
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "svg.fonttype": "none",
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the library's style; the caller's settings come back afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that belongs to no window; sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def is_narrow(width: float) -> bool:
    """Whether a figure of this width has room for one column only."""
    return width < 6


def note(figure: Figure, text: str) -> None:
    """Small print under everything else."""
    chars = int(figure.get_figwidth() * 14)
    figure.supxlabel(textwrap.fill(text, chars), x=0.012, ha="left", fontsize=8, color=MUTED)


def band_note(seeds: Iterable[object], what: str = "Bands") -> str:
    """What the intervals mean, or that there are none."""
    most = max((int(str(n)) for n in seeds), default=0)
    if most < 2:
        return "One seed only: no interval can be given."
    return f"{what}: 95 % t-interval over {most} seeds."


def method_legend(figure: Figure, chosen: Sequence[Method], *, line: bool = True) -> None:
    """Names of methods above the axes, where they cover no data."""
    handles = [
        Line2D([], [], color=m.look.light, marker=m.look.marker, ls=m.look.dash if line else "", label=m.shown)
        for m in chosen
    ]
    length = 2.2 if line else 1.0
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=columns_that_fit([m.shown for m in chosen], figure.get_figwidth(), length + 2),
        handlelength=length,
        columnspacing=1.2,
        borderaxespad=0.2,
    )


def columns_that_fit(texts: Sequence[str], width: float, extra: float) -> int:
    """How many columns a legend may have in `width` inches; each entry takes `extra` ems besides its text."""
    for columns in range(min(len(texts), 10), 1, -1):
        rows = -(-len(texts) // columns)
        ems = [max(map(len, texts[i : i + rows])) * 0.61 + extra for i in range(0, len(texts), rows)]
        if sum(ems) * STYLE["font.size"] / 72 < width:
            return -(-len(texts) // rows)  # no more columns than those rows need
    return 1


def metric_axis(ax: Axes, metric: Metric, which: str) -> None:
    """Name, unit and number format of an axis that shows a metric; shares never reach above 100 %."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_label_text(f"{metric.axis}, {metric.direction}" if which == "x" else metric.axis)
    if metric.percent:
        axis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(_per_cent))
        low, high = ax.get_xlim() if which == "x" else ax.get_ylim()
        limits = (max(low, -0.02), min(high, 1.02))
        ax.set_xlim(*limits) if which == "x" else ax.set_ylim(*limits)
    else:
        axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _per_cent(value: float, _: float | None) -> str:
    return _short(round(100 * value, 6)) if value <= 1.0001 else ""


def _short(value: float) -> str:
    return significant(value).rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"


def bytes_axis(ax: Axes) -> None:
    """A logarithmic x axis whose ticks are bytes with units."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(numticks=6))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: bytes_text(value).replace(".00", "").replace(".0", "")))
    ax.xaxis.set_minor_formatter(NullFormatter())


def log_axis(ax: Axes, which: str) -> None:
    """A logarithmic axis, "x" or "y", whose ticks are plain numbers."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    ax.set_xscale("log") if which == "x" else ax.set_yscale("log")
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def wrap(text: str, limit: int, lines: int = 2) -> str:
    """At most `lines` lines of about `limit` characters, broken at blanks and after underscores.

    >>> print(wrap("FedAvg(10, weighted_by_samples=True)", 16, 3))
    FedAvg(10,
    weighted_by_
    samples=True)
    """
    parts = text.replace("_", "_\0 ")
    found = textwrap.wrap(parts, limit, max_lines=lines, placeholder=" …", break_long_words=True)
    return "\n".join(line.replace("\0 ", "").replace("\0", "") for line in found) or text


def present(frame: pd.DataFrame, methods: Any) -> list[Method]:
    """The methods that have rows in `frame`, in the record's order."""
    labels = set(frame["protocol"])
    return [method for label, method in methods.items() if label in labels]
