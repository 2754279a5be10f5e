"""The final result of every method on one axis, with its interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unpooled.figures import style, summary
from unpooled.figures.looks import Look, Methods, methods_of
from unpooled.figures.words import metric_called

MARKS = {
    "aggregate": ("combined model", "filled"),
    "local_mean": ("sites' own models: mean", "hollow"),
    "local_min": ("worst site's own model", "tick"),
}


def comparison(
    history: pd.DataFrame,
    metric: str = "accuracy",
    *,
    methods: Methods | None = None,
    width: float = style.WIDE,
) -> Figure:
    """One row a protocol: the combined model (filled), the sites' own models' mean (hollow) and worst (tick).

    Bars are 95 % intervals over seeds; the number is that of the model which counts as the method's result.
    """
    methods = methods_of(history["protocol"]) if methods is None else methods
    table = summary.final_table(history, metric)
    results = summary.result_values(history, metric, methods)
    main = dict(zip(results["protocol"], results["model"], strict=True))
    shown, words, narrow = style.present(table, methods), metric_called(metric), style.is_narrow(width)
    with style.styled():
        row = 0.52 if narrow else 0.42
        figure = style.new_figure(width, 1.25 + row * max(len(shown), 1) + (0.35 if narrow else 0))
        ax = figure.subplots()
        ax.grid(False, axis="y")
        for y, method in enumerate(shown):
            mine = table[table["protocol"] == method.label]
            rows: dict[str, Any] = {str(row.model): row for row in mine.itertuples()}
            for model, (_, fill) in MARKS.items():
                if model in rows:
                    mean, half = float(rows[model].mean), float(rows[model].half_width)
                    is_main = main.get(method.label) == model
                    _mark(ax, mean, half, y if is_main else y + 0.22, method.look, fill, is_main)
                    if is_main:
                        ax.annotate(
                            words.interval(mean, half, unit=False),
                            (1.02, y),
                            xycoords=("axes fraction", "data"),
                            va="center",
                            fontweight="bold",
                            annotation_clip=False,
                        )
        ax.set_yticks(range(len(shown)), [style.wrap(m.shown, 16 if narrow else 34, 3) for m in shown])
        ax.set_ylim(len(shown) - 0.45, -0.55)
        ax.tick_params(axis="y", length=0)
        ax.margins(x=0.06)
        style.metric_axis(ax, words, "x")
        handles = [_key(model, fill) for model, fill in MARKS.items() if model in set(table["model"])]
        columns = style.columns_that_fit([str(h.get_label()) for h in handles], width, 3)
        figure.legend(handles=handles, loc="outside upper left", ncols=columns, handlelength=1.2)
        style.note(figure, style.band_note(table["seeds"], "Bars"))
    return figure


def _mark(ax: Axes, mean: float, half: float, y: float, look: Look, fill: str, bar: bool) -> None:
    if not np.isfinite(mean):
        return
    if bar and np.isfinite(half):
        ax.errorbar(mean, y, xerr=half, color=look.light, capsize=4, lw=1.8, capthick=1.8)
    ax.plot(mean, y, ls="", color=look.light, **_shape(fill, look.marker, big=bar))


def _shape(fill: str, marker: str, *, big: bool = False) -> dict[str, Any]:
    if fill == "tick":
        return {"marker": "|", "markersize": 9, "markeredgewidth": 2}
    hollow = {"markerfacecolor": style.PAPER} if fill == "hollow" else {}
    return {"marker": marker, "markersize": 8 if big else 5.5, "markeredgewidth": 1.4, **hollow}


def _key(model: str, how: tuple[str, str]) -> Line2D:
    return Line2D([], [], ls="", color=style.INK, label=how[0], **_shape(how[1], "o"))
