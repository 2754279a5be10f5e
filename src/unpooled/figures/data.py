"""Who holds what: the rows at each site, by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from unpooled.figures import style, summary
from unpooled.figures.words import shorten

MOST_NAMED = 24
"""Up to this many sites have a named bar; beyond, bars stand side by side without names."""


def holdings(sites: Sequence[Mapping[str, Any]], *, row_word: str = "rows", width: float = style.WIDE) -> Figure:
    """Stacked counts of training rows by class, one bar a site, the site with most rows first.

    `sites` is the list `data.sites` of a record (`name`, `samples`, `classes`: label -> count; empty for a
    regression). With more than ten classes the rarest are added up.
    """
    table = summary.class_counts(list(sites))
    order = np.argsort(-table.sum(axis=1).to_numpy(), kind="stable")
    table = table.iloc[order]
    narrow, named = style.is_narrow(width), len(table) <= MOST_NAMED
    colors = class_colors(len(table.columns))
    with style.styled():
        figure = style.new_figure(width, (1.2 + 0.34 * max(len(table), 2)) if named else (3.4 if narrow else 3.2))
        ax = figure.subplots()
        (_lying if named else _standing)(ax, table, colors, narrow)
        (ax.set_xlabel if named else ax.set_ylabel)(f"{row_word} for training")
        if not named:
            unequal = table.sum(axis=1).nunique() > 1
            order_told = f"the one with most {row_word} first" if unequal else "in the order of the record"
            ax.set_xlabel(f"{len(table)} sites, {order_told}")
        (ax.xaxis if named else ax.yaxis).set_major_locator(MaxNLocator(integer=True))
        if len(table.columns) > 1:
            handles = [Patch(color=c, label=shorten(str(k), 24)) for c, k in zip(colors, table.columns, strict=True)]
            columns = style.columns_that_fit([str(patch.get_label()) for patch in handles], width, 3)
            figure.legend(
                handles=handles, title="class", alignment="left", loc="outside upper left", ncols=columns,
                handlelength=1.0, handleheight=1.0, columnspacing=1.2,
            )  # fmt: skip
    return figure


def class_colors(count: int) -> list[str]:
    """From blue to yellow: told apart by lightness, seen on white and on black, no method's colour."""
    ramp = LinearSegmentedColormap.from_list("classes", ["#4a55b4", "#2f8da0", "#7dbb6a", "#f3d63b"])
    return [to_hex(ramp(x)) for x in np.linspace(0, 1, max(count, 2))[:count]]


def _lying(ax: Axes, table: pd.DataFrame, colors: list[str], narrow: bool) -> None:
    ax.grid(False, axis="y")
    left = np.zeros(len(table))
    for color, label in zip(colors, table.columns, strict=True):
        values = table[label].to_numpy(float)
        held = np.flatnonzero(values)
        ax.barh(
            held,
            values[held],
            left=left[held],
            color=color,
            height=0.72,
            edgecolor=style.PAPER,
            linewidth=0.8,
        )
        left += values
    for y, total in enumerate(left):
        ax.annotate(f"{total:.0f}", (total, y), xytext=(4, 0), textcoords="offset points", va="center")
    ax.set_yticks(range(len(table)), [style.wrap(str(name), 16 if narrow else 34, 2) for name in table.index])
    ax.set_ylim(len(table) - 0.45, -0.55)
    ax.set_xlim(0, max(float(left.max(initial=1)), 1) * (1.2 if narrow else 1.1))
    ax.tick_params(axis="y", length=0)


def _standing(ax: Axes, table: pd.DataFrame, colors: list[str], narrow: bool) -> None:
    ax.grid(False, axis="x")
    below = np.zeros(len(table))
    gap = 0.0 if len(table) > (40 if narrow else 100) else 0.5
    for color, label in zip(colors, table.columns, strict=True):
        values = table[label].to_numpy(float)
        held = np.flatnonzero(values)
        ax.bar(
            held,
            values[held],
            bottom=below[held],
            color=color,
            width=0.9,
            edgecolor=style.PAPER,
            linewidth=gap,
        )
        below += values
    ax.set_xticks([])
    ax.set_xlim(-0.7, len(table) - 0.3)
