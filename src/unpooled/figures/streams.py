"""Learning on streams in pictures: loss against communication, and both over time with the drifts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from unpooled.figures import style
from unpooled.figures.looks import LOOKS, RESERVED, Look, Methods, methods_of
from unpooled.figures.words import bytes_text, count_text

COSTS = {"transfers": "model transfers, up and down, logarithmic", "bytes": "bytes up and down, logarithmic"}
"""What loss may be drawn against: columns of the table, and the words on the axis."""


def loss_against_cost(table: pd.DataFrame, cost: str = "transfers", *, width: float = style.WIDE) -> Figure:
    """One marker a setting: cumulative loss against `transfers` or `bytes` (logarithmic), both means over seeds.

    `table` is that of `StreamComparison.table`, or of the kernel learners. Settings that differ in numbers only share a
    colour and a line; those that nobody beats in both (the column `best`) are ringed. Learners that never exchange are
    a level line. A serial learner, which sees all data, is told in the note: its loss is often far below the axis.
    """
    narrow = style.is_narrow(width)
    serial, alone = table[table["kind"] == "Serial"], table[table["kind"] == "Local"]
    shown = table[~table["kind"].isin(["Serial", "Local"]) & (table[cost] > 0)].sort_values(cost)
    shown = shown.assign(family=[_parts(label)[0] for label in shown["protocol"]])
    looks = dict(zip(sorted(set(shown["family"])), itertools.cycle(LOOKS), strict=False))
    with style.styled():
        figure = style.new_figure(width, 4.6 if narrow else 4.2)
        ax = figure.subplots()
        _cost_axis(ax, cost)
        if shown[cost].nunique() == 1:  # a margin around one value would be none
            ax.set_xlim(shown[cost].min() / 2, shown[cost].max() * 2)
        for place, (family, look) in enumerate(looks.items()):
            _settings(ax, shown[shown["family"] == family], cost, look, above=bool(place % 2), few=narrow)
        best = shown[shown["best"]]
        ring: dict[str, Any] = {
            "ls": "",
            "marker": "o",
            "markerfacecolor": "none",
            "color": style.INK,
            "markeredgewidth": 1.1,
        }
        ax.plot(best[cost], best["loss"], zorder=4, markersize=12, **ring)
        for loss in alone["loss"]:
            ax.axhline(loss, color=RESERVED["local"].light, ls=RESERVED["local"].dash)
            where: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
            ax.annotate("no exchange", (0.99, loss), **where)
        ax.margins(x=0.09, y=0.12)
        ax.set_xlabel(COSTS[cost])
        ax.set_ylabel("cumulative loss")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count_text(value)))
        names = {family: style.wrap(family, 38 if narrow else 60) for family in looks}
        handles = [Line2D([], [], color=k.light, marker=k.marker, ls=k.dash, label=names[f]) for f, k in looks.items()]
        handles.append(Line2D([], [], markersize=9, label="nobody beats it in both", **ring))
        columns = style.columns_that_fit([str(h.get_label()) for h in handles], width, 4)
        figure.legend(handles=handles, loc="outside upper left", ncols=columns)
        style.note(figure, _note(serial["loss"], table["seeds"]))
    return figure


def _note(serial: Iterable[float], seeds: Iterable[object]) -> str:
    counts = [int(str(n)) for n in seeds]
    words = "".join(f" A serial learner that sees all data: {count_text(round(x))}." for x in serial)
    bars = style.band_note(counts, "Bars")
    shared = " All follow the same streams, so their differences vary less." if max(counts, default=0) > 1 else ""
    return f"Lower and further left is better.{words} {bars}{shared}"


def _cost_axis(ax: Axes, cost: str) -> None:
    if cost == "bytes":
        style.bytes_axis(ax)
        return
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(numticks=6))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count_text(value)))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _settings(ax: Axes, rows: pd.DataFrame, cost: str, look: Look, *, above: bool, few: bool) -> None:
    """One family's markers, joined, with intervals and their settings; with `few` only the outermost are named."""
    x, y, half = (rows[name].to_numpy(float) for name in (cost, "loss", "loss_half_width"))
    ax.plot(x, y, color=look.light, ls=look.dash, marker=look.marker, lw=1.0)
    if np.isfinite(half).any():
        ax.errorbar(x, y, yerr=np.nan_to_num(half), color=look.light, ls="", capsize=2.5, lw=1.0, alpha=0.35)
    for i, label in enumerate(rows["protocol"]):
        if few and i not in (0, len(rows) - 1):
            continue
        ax.annotate(
            _parts(label)[1], (x[i], y[i]), xytext=(0, 9 if above else -9), textcoords="offset points", ha="center",
            va="bottom" if above else "top", fontsize=8, color=look.light,
        )  # fmt: skip


def _parts(label: str) -> tuple[str, str]:
    """A label's family, its kind with the settings that have names, and the numbers that are left.

    >>> _parts("DynamicAveraging(0.1, check_period=10)")
    ('DynamicAveraging, check_period=10', '0.1')
    >>> _parts("SubsetAveraging(50, 0.3)")
    ('SubsetAveraging', '50, 0.3')
    """
    kind, _, inside = label.partition("(")
    words = [word for word in inside.removesuffix(")").split(", ") if word]
    named = [word for word in words if "=" in word]
    return ", ".join([kind, *named]), ", ".join(word for word in words if "=" not in word)


def over_time(
    curves: pd.DataFrame,
    drifts: Iterable[int] = (),
    *,
    methods: Methods | None = None,
    cost: str = "transfers",
    width: float = style.WIDE,
) -> Figure:
    """Cumulative loss, and cumulative transfers or bytes, over rounds; upright lines where the concept changed.

    `curves` has the columns of `StreamComparison.curves`, for one seed: drifts of another seed are elsewhere.
    """
    methods = methods_of(curves["protocol"]) if methods is None else methods
    shown, narrow = style.present(curves, methods), style.is_narrow(width)
    moved = "Bytes so far" if cost == "bytes" else "Model transfers so far"
    panels = [("loss", "Cumulative loss"), (cost, f"{moved}, logarithmic")]
    with style.styled():
        figure = style.new_figure(width, 5.6 if narrow else 4.0)
        axes = figure.subplots(2 if narrow else 1, 1 if narrow else 2, sharex=True, squeeze=False).ravel()
        for ax, (column, title) in zip(axes, panels, strict=True):
            ax.set_title(title)
            if column != "loss":
                ax.set_yscale("log")
            for drift in drifts:
                ax.axvline(drift, color=style.MUTED, lw=0.9, ls=(0, (4, 3)))
            for place, method in enumerate(shown):
                rows = curves[(curves["protocol"] == method.label) & (curves[column] > 0)]
                if rows.empty:
                    continue
                every = max(len(rows) // 5, 1)
                ax.plot(
                    rows["round"], rows[column], color=method.look.light, ls=method.look.dash, lw=1.3,
                    marker=method.look.marker, markevery=(place * every // max(len(shown), 1), every),
                )  # fmt: skip
            text = bytes_text if column == "bytes" else count_text
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _, text=text: text(value)))
            ax.xaxis.set_major_locator(MaxNLocator(4 if narrow else 6))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count_text(value)))
        _xlabels(axes, narrow)
        style.method_legend(figure, shown)
        style.note(figure, "One seed. Broken upright lines: the concept changes there. No line: no exchange.")
    return figure


def _xlabels(axes: Any, narrow: bool) -> None:
    for ax in axes[-1:] if narrow else axes:
        ax.set_xlabel("rounds")
