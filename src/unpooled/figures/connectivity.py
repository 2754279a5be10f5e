"""Barriers between two models in pictures: heat-maps, curves that add layer to layer, and the cuts themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from unpooled.figures import style
from unpooled.figures.looks import LOOKS
from unpooled.figures.words import MINUS

UNITS = {"loss": "loss, nats", "error": "error, points", "mse": "squared error"}
DEFAULTS = {"a": "default A", "b": "default B"}
BELOW, ABOVE = LOOKS[0], LOOKS[1]
"""Cells are filled with these, the more the larger they are; so the paper shows through, light or dark."""
KINDS = {
    "from_input": "layers added from the input side",
    "from_output": "layers added from the output side",
    "random_order": "layers added in random order",
}


def barrier_map(barriers: pd.DataFrame, reference: str = "mean", *, width: float = style.WIDE) -> Figure:
    """One row for the whole model and one a layer, one column a default model, one panel a metric.

    `barriers` is that of `unpooled.connectivity.Connectivity`. Every cell shows its number; colours say its share of
    the largest in its panel.
    """
    table = barriers[(barriers["reference"] == reference) & barriers["kind"].isin(["full", "layer", "group"])]
    metrics = list(dict.fromkeys(table["metric"]))
    narrow = style.is_narrow(width)
    rows = table[["kind", "part"]].drop_duplicates()
    panels = (len(metrics), 1) if narrow else (1, len(metrics))
    with style.styled():
        figure = style.new_figure(width, (0.9 + 0.27 * len(rows)) * panels[0] + 0.6)
        axes = figure.subplots(*panels, squeeze=False)
        for place, (ax, metric) in enumerate(zip(np.ravel(axes), metrics, strict=True)):
            own = table[table["metric"] == metric]
            values = np.array(
                [
                    [
                        float(
                            own[(own["kind"] == r.kind) & (own["part"] == r.part) & (own["default"] == d)][
                                "barrier"
                            ].iloc[0]
                        )
                        for d in "ab"
                    ]
                    for r in rows.itertuples()
                ]
            )
            names = [row_name(str(r.kind), str(r.part)) for r in rows.itertuples()]
            panel(ax, values, names if narrow or place == 0 else [""] * len(names), list(DEFAULTS.values()))
            ax.set_title(UNITS.get(metric, metric))
        style.note(
            figure,
            f"Reference: {WORDS[reference]}. Full model: all layers together; the other rows move one layer, the rest "
            "stays that of the default model.",
        )
    return figure


WORDS = {
    "mean": "mean of the two full models",
    "chord": "greatest height above the chord between the full models",
    "worse": "greatest height above the worse full model",
    "default": "the default model",
    "hybrid-chord": "greatest height above the chord between a cut's own ends",
}
"""What each reference means, in words."""


def row_name(kind: str, part: str) -> str:
    """What a part is called in a figure."""
    return "full model" if kind == "full" else style.wrap(part, 22)


def panel(ax: Axes, values: Any, names: list[str], columns: list[str], *, marked: int = 1) -> None:
    """A heat-map (rows, columns) whose cells show their numbers; a line below the first `marked` rows."""
    finite = np.abs(values[np.isfinite(values)])
    top = max(float(finite.max()) if finite.size else 0.0, 1e-12)
    ax.grid(False)
    ax.set_xlim(-0.5, len(columns) - 0.5)
    ax.set_ylim(len(values) - 0.5, -0.5)
    for (i, j), value in np.ndenumerate(values):
        share = abs(value) / top if np.isfinite(value) else 0.0
        strong = share > 0.65
        ax.add_patch(
            Rectangle((j - 0.5, i - 0.5), 1, 1, color=(ABOVE if value > 0 else BELOW).light, alpha=share, lw=0)
        )
        ax.text(j, i, _number(value), ha="center", va="center", color=style.PAPER if strong else style.INK)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    if marked and len(values) > marked:
        ax.axhline(marked - 0.5, color=style.PAPER, lw=3)


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return (f"{value:z.2f}" if abs(value) < 10 else f"{value:.1f}").replace("-", MINUS)


def cumulative_curves(barriers: pd.DataFrame, metric: str, *, width: float = style.WIDE) -> Figure:
    """Barriers against how many layers are mixed, from either side; sliding windows of equal size beside them.

    One panel for the groups that grow, and where there are windows one for these, whose size is the same everywhere.
    """
    table = barriers[(barriers["metric"] == metric) & (barriers["reference"] == "mean")]
    growing = table[table["kind"].isin(KINDS)]
    windows = table[table["kind"] == "window"]
    panels = [part for part in (growing, windows) if len(part)]
    narrow = style.is_narrow(width)
    with style.styled():
        figure = style.new_figure(width, 3.2 * (len(panels) if narrow else 1) + 0.6)
        shape = (len(panels), 1) if narrow else (1, len(panels))
        axes = np.ravel(figure.subplots(*shape, squeeze=False, sharey=True))
        for ax, part in zip(axes, panels, strict=True):
            (_growth if part is growing else _windows)(ax, part)
            ax.axhline(0, color=style.MUTED, lw=0.8)
        axes[0].set_ylabel(f"barrier, {UNITS.get(metric, metric)}")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=1 if narrow else 2)
        style.note(
            figure,
            "Against the mean of the two full models. Along the first panel the group grows, so only windows of one "
            "size can say which place in the model matters.",
        )
    return figure


def _growth(ax: Axes, table: pd.DataFrame) -> None:
    for (kind, words), look in zip(KINDS.items(), LOOKS, strict=False):
        for default, dash in (("a", "-"), ("b", "--")):
            rows = table[(table["kind"] == kind) & (table["default"] == default)]
            if len(rows):
                ax.plot(
                    rows["layers"],
                    rows["barrier"],
                    color=look.light,
                    marker=look.marker,
                    ls=dash,
                    label=f"{words}, {DEFAULTS[default]}",
                )
                _bars(ax, rows["layers"], rows, look.light)
    ax.set_xlabel("layers mixed")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _windows(ax: Axes, table: pd.DataFrame) -> None:
    for (default, dash), look in zip((("a", "-"), ("b", "--")), LOOKS[3:], strict=False):
        rows = table[table["default"] == default]
        ax.plot(
            rows["place"],
            rows["barrier"],
            color=look.light,
            marker=look.marker,
            ls=dash,
            label=f"window, {DEFAULTS[default]}",
        )
        _bars(ax, rows["place"], rows, look.light)
    first = table[table["default"] == "a"]
    few = first if len(first) <= 8 else first.iloc[:: -(-len(first) // 8)]
    ax.set_xticks(few["place"], [style.wrap(str(name), 12, 3) for name in few["part"]])
    ax.set_xlabel(f"window of {int(table['layers'].iloc[0])} layers")
    ax.legend(loc="best")


def _bars(ax: Axes, places: Any, rows: pd.DataFrame, colour: str) -> None:
    error = rows["standard_error"].to_numpy(float)
    if np.isfinite(error).all():
        ax.errorbar(places, rows["barrier"], yerr=2 * error, fmt="none", ecolor=colour, lw=0.9)


def cut_curves(cells: pd.DataFrame, metric: str, *, width: float = style.WIDE) -> Figure:
    """The metric along each cut: the whole model black, each layer in a shade from the input (dark) to the output.

    `cells` is that of `unpooled.connectivity.Connectivity`; one panel a default model.
    """
    table = cells[(cells["metric"] == metric) & cells["kind"].isin(["full", "layer"])]
    narrow = style.is_narrow(width)
    with style.styled():
        figure = style.new_figure(width, 6.4 if narrow else 3.7)
        axes = np.ravel(figure.subplots(*((2, 1) if narrow else (1, 2)), squeeze=False, sharey=True))
        layers = list(dict.fromkeys(table[table["kind"] == "layer"]["part"]))
        for ax, default in zip(axes, "ab", strict=True):
            for (kind, part), rows in table[table["default"] == default].groupby(["kind", "part"], sort=False):
                whole = kind == "full"
                look = LOOKS[0 if whole else layers.index(part) % len(LOOKS)]
                ax.plot(
                    rows["alpha"],
                    rows["value"],
                    color=style.INK if whole else look.light,
                    lw=2 if whole else 1.4,
                    ls=":" if whole else "-",
                    marker="" if whole else look.marker,
                    markevery=2,
                    label="full model" if whole else str(part),
                )
            ax.set_title(DEFAULTS[default])
            ax.set_xlabel("share of model B in the layer")
        axes[0].set_ylabel(UNITS.get(metric, metric))
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(
            handles[:12], labels[:12], loc="outside upper left", ncols=style.columns_that_fit(labels[:12], width, 4)
        )
        left = f" The legend names 12 of {len(labels)}." if len(labels) > 12 else ""
        style.note(
            figure, f"Lower is better. A cut of one layer ends where default model and swapped layer meet.{left}"
        )
    return figure
