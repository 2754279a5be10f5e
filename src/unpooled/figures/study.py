"""A study in tables and a picture: means over graphs with their intervals, published numbers beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from unpooled.figures import style
from unpooled.figures.looks import methods_of
from unpooled.figures.summary import Interval, interval
from unpooled.figures.tables import TextTable
from unpooled.figures.words import NB

Means = Mapping[tuple[str, str], Interval]
"""Kind of data and method -> mean over graphs with its 95 % interval."""


def means(runs: pd.DataFrame, measure: str) -> Means:
    """Of one measure of a study's `runs.csv`."""
    own = runs[runs["measure"] == measure]
    return {(str(d), str(m)): interval(group) for (d, m), group in own.groupby(["data", "method"])["value"]}


def study_table(result: Mapping[str, Any], runs: pd.DataFrame, measure: str) -> TextTable:
    """One row a kind of data, one column a method: "mean ± half of the 95 % interval", and "(published)"."""
    found = means(runs, measure)
    shown = [name for name in result["methods"] if any(method == name for _, method in found)]
    rows = [
        (
            data["name"],
            *(_cell(found.get((data["name"], method)), _published(data, measure, method)) for method in shown),
        )
        for data in result["data"]
    ]
    counts = [one.seeds for one in found.values()]
    over = f"{min(counts)} to {max(counts)}" if counts and min(counts) < max(counts) else str(max(counts, default=0))
    known = any(data["published"].get(measure) for data in result["data"])
    caption = f"means over {over} graphs with 95 % intervals" + ("; in brackets: published" if known else "")
    said = result["measures"].get(measure, measure.replace("_", " "))
    return TextTable(_capital(said), caption, ("data", *shown), rows, frozenset(range(1, len(shown) + 1)))


def study_figure(result: Mapping[str, Any], runs: pd.DataFrame, measure: str, *, width: float = style.WIDE) -> Figure:
    """One row a kind of data, a marker a method with its interval; hollow markers are published numbers."""
    found, narrow = means(runs, measure), style.is_narrow(width)
    looks = methods_of(name for name in result["methods"] if any(method == name for _, method in found))
    kinds, step = result["data"], 0.62 / max(len(looks) - 1, 1)
    with style.styled():
        height = 1.5 + (0.24 if narrow else 0.2) * len(kinds) * max(len(looks), 2) * 0.62 + 0.2 * len(looks) * narrow
        figure = style.new_figure(width, height)
        ax = figure.subplots()
        ax.grid(False, axis="y")
        published = False
        for place, (name, method) in enumerate(looks.items()):
            for row, data in enumerate(kinds):
                at = row + (place - (len(looks) - 1) / 2) * step
                look: dict[str, Any] = {"ls": "", "marker": method.look.marker, "color": method.look.light}
                one, told = found.get((data["name"], name)), _published(data, measure, name)
                if told is not None:
                    ax.plot(told, at, markersize=6, markerfacecolor=style.PAPER, zorder=3, **look)
                    published = True
                if one is not None and math.isfinite(one.mean):
                    half = one.half_width if math.isfinite(one.half_width) else 0.0
                    ax.errorbar(one.mean, at, xerr=half, color=method.look.light, lw=1.2, capsize=2)
                    ax.plot(one.mean, at, markersize=5.5, zorder=4, **look)
        for row in range(1, len(kinds)):
            ax.axhline(row - 0.5, color=style.GRID, lw=0.8)
        ax.set_yticks(range(len(kinds)), [style.wrap(data["name"], 16 if narrow else 30, 3) for data in kinds])
        ax.set_ylim(len(kinds) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0)
        ax.set_xlim(left=0.0)
        ax.xaxis.set_major_locator(MaxNLocator(4 if narrow else 7))
        ax.set_xlabel(style.wrap(result["measures"].get(measure, measure), 44 if narrow else 90))
        handles = [
            Line2D([], [], ls="", color=m.look.light, marker=m.look.marker, label=m.label) for m in looks.values()
        ]
        if published:
            handles.append(
                Line2D([], [], ls="", color=style.MUTED, marker="o", markerfacecolor=style.PAPER, label="published")
            )
        columns = style.columns_that_fit([str(h.get_label()) for h in handles], width, 3)
        figure.legend(handles=handles, loc="outside upper left", ncols=columns, handlelength=1.2)
        style.note(figure, _note(found))
    return figure


def _note(found: Means) -> str:
    most = int(np.max([one.seeds for one in found.values()], initial=0))
    return "One graph only: no interval can be given." if most < 2 else f"Bars: 95 % t-interval over {most} graphs."


def _published(data: Mapping[str, Any], measure: str, method: str) -> float | None:
    found = data["published"].get(measure, {}).get(method)
    return None if found is None else float(found)


def _cell(one: Interval | None, published: float | None) -> str:
    told = "" if published is None else f" ({published:g})"
    if one is None or not math.isfinite(one.mean):
        return f"–{told}"
    half = f"{NB}±{NB}{one.half_width:.2f}" if math.isfinite(one.half_width) else ""
    return f"{one.mean:.2f}{half}{told}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
