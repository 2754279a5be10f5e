"""Site by site: how good the result is there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unpooled.figures import style, summary
from unpooled.figures.looks import Method, Methods, methods_of
from unpooled.figures.words import Metric, metric_called, shorten

FEW = 12
"""Up to this many sites each has a row of its own; beyond, each method has a row of dots, one a site."""


def per_site(
    sites: pd.DataFrame,
    metric: str = "accuracy",
    *,
    methods: Methods | None = None,
    width: float = style.WIDE,
) -> Figure:
    """Results at the sites, mean over seeds, with the worst site of each method ringed.

    `sites` has the columns of a record's `sites.parquet`. Where sites are many, only the worst is named.
    """
    methods = methods_of(sites["protocol"]) if methods is None else methods
    table = summary.site_table(sites, metric, methods)
    table = table[np.isfinite(table["mean"].astype(float))]
    shown, words = style.present(table, methods), metric_called(metric)
    names = list(dict.fromkeys(table["site"]))
    draw = _a_row_a_site if len(names) <= FEW else _a_row_a_method
    with style.styled():
        return draw(table, names, shown, words, width)


def worst_site(table: pd.DataFrame, words: Metric) -> pd.Series[Any]:
    """The row of `site_table` (for one protocol) where the result is worst; the first of equals."""
    means = table["mean"].to_numpy(float)
    return table.iloc[int(np.argmin(means) if words.higher_is_better else np.argmax(means))]


def _a_row_a_site(table: pd.DataFrame, names: list[str], shown: list[Method], words: Metric, width: float) -> Figure:
    narrow = style.is_narrow(width)
    figure = style.new_figure(width, 1.5 + (0.2 + 0.16 * max(len(shown), 2)) * max(len(names), 1))
    ax = figure.subplots()
    ax.grid(False, axis="y")
    offsets = np.linspace(-0.3, 0.3, len(shown)) if len(shown) > 1 else np.zeros(1)
    for method, offset in zip(shown, offsets, strict=True):
        mine = table[table["protocol"] == method.label]
        rows: dict[str, Any] = {str(row.site): row for row in mine.itertuples()}
        worst = worst_site(mine, words)["site"]
        for y, name in enumerate(names):
            if name in rows:
                mean, half = float(rows[name].mean), float(rows[name].half_width)
                if np.isfinite(half):
                    ax.errorbar(mean, y + offset, xerr=half, color=method.look.light, lw=1.4, capsize=2.5)
                ax.plot(mean, y + offset, ls="", marker=method.look.marker, color=method.look.light, markersize=6)
                if name == worst:
                    _ring(ax, mean, y + offset)
    for y in range(1, len(names)):
        ax.axhline(y - 0.5, color=style.GRID, lw=0.8)
    ax.set_yticks(range(len(names)), [style.wrap(name, 16 if narrow else 30, 3) for name in names])
    return _finish(figure, ax, len(names), table, shown, words)


def _a_row_a_method(table: pd.DataFrame, names: list[str], shown: list[Method], words: Metric, width: float) -> Figure:
    narrow = style.is_narrow(width)
    figure = style.new_figure(width, 1.5 + 0.72 * max(len(shown), 1))
    ax = figure.subplots()
    ax.grid(False, axis="y")
    for y, method in enumerate(shown):
        rows = table[table["protocol"] == method.label]
        values = rows["mean"].to_numpy(float)
        ax.plot(
            values,
            y + _swarm(values),
            ls="",
            marker=method.look.marker,
            color=method.look.light,
            markersize=4.5,
            alpha=0.6,
        )
        middle = float(np.median(values))
        ax.plot([middle, middle], [y - 0.3, y + 0.3], color=style.INK, lw=1.6)
        worst = worst_site(rows, words)
        place = y + float(_swarm(values)[list(rows["site"]).index(worst["site"])])
        _ring(ax, float(worst["mean"]), place)
        ax.annotate(
            f"worst: {shorten(str(worst['site']), 18)}, {words.number(float(worst['mean']))}",
            (float(worst["mean"]), y + 0.3),
            xytext=(0, -3),
            textcoords="offset points",
            ha="left" if words.higher_is_better else "right",
            va="top",
            fontsize=8,
            color=style.INK,
        )
    ax.set_yticks(range(len(shown)), [style.wrap(m.shown, 16 if narrow else 30, 3) for m in shown])
    return _finish(
        figure,
        ax,
        len(shown),
        table,
        shown,
        words,
        legend=False,
        what=f"One mark a site ({len(names)}); line: median.",
    )


def _finish(
    figure: Figure,
    ax: Axes,
    rows: int,
    table: pd.DataFrame,
    shown: list[Method],
    words: Metric,
    *,
    legend: bool = True,
    what: str = "",
) -> Figure:
    ax.set_ylim(max(rows, 1) - 0.45, -0.55)
    ax.tick_params(axis="y", length=0)
    ax.margins(x=0.07)
    style.metric_axis(ax, words, "x")
    if legend:
        style.method_legend(figure, shown, line=False)
        what = style.band_note(table["seeds"], "Bars")
    style.note(figure, f"{what} Ring: the worst site of each method (mean over seeds).")
    return figure


def _ring(ax: Axes, x: float, y: float) -> None:
    ax.plot(
        x,
        y,
        ls="",
        marker="o",
        markersize=12,
        markerfacecolor="none",
        markeredgecolor=style.INK,
        markeredgewidth=1.2,
    )


def _swarm(values: np.ndarray, rows: int = 5, reach: float = 0.24) -> np.ndarray:
    """Offsets that keep near-equal values apart: neighbours in value take turns over `rows` lines."""
    offsets = np.zeros(len(values))
    lines = np.array([0, 1, -1, 2, -2])[:rows] * reach / 2
    offsets[np.argsort(values, kind="stable")] = lines[np.arange(len(values)) % rows]
    return offsets
