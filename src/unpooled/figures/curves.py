"""How good the models are on the way: against local steps, and against bytes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unpooled.figures import style, summary
from unpooled.figures.looks import Method, Methods, methods_of
from unpooled.figures.words import metric_called

PANELS = {"aggregate": "Combined model", "local_mean": "Sites' own models, mean over sites"}
"""Which models are drawn, each in a panel of its own, so that they cannot be mistaken for one another."""


def accuracy_against_steps(
    history: pd.DataFrame,
    metric: str = "accuracy",
    *,
    methods: Methods | None = None,
    width: float = style.WIDE,
) -> Figure:
    """One line a protocol over local steps, with a 95 % band over seeds; one panel for each kind of model.

    `history` has the columns of a record's `history.parquet`, `metric` is one of its metrics, `width` is in
    inches.
    """
    return _curves(history, metric, "step", methods, width)


def accuracy_against_bytes(
    history: pd.DataFrame,
    metric: str = "accuracy",
    *,
    methods: Methods | None = None,
    width: float = style.WIDE,
) -> Figure:
    """As `accuracy_against_steps`, over the bytes that training has moved so far, on a logarithmic axis.

    Sites that train alone exchange no model and are a level line; what moves all its bytes at once is one point.
    """
    return _curves(history, metric, "bytes", methods, width)


def _curves(history: pd.DataFrame, metric: str, x: str, methods: Methods | None, width: float) -> Figure:
    methods = methods_of(history["protocol"]) if methods is None else methods
    tables = {model: summary.curve_table(history, metric, model) for model in PANELS}
    tables = {model: table for model, table in tables.items() if len(table)}
    narrow, words = style.is_narrow(width), metric_called(metric)
    with style.styled():
        rows, columns = (max(len(tables), 1), 1) if narrow else (1, max(len(tables), 1))
        figure = style.new_figure(width, 0.9 + (2.5 * rows if narrow else 3.1))
        axes = figure.subplots(rows, columns, sharey=True, sharex=True, squeeze=False).ravel()
        shown = style.present(history, methods)
        alpha = min(max(0.35 / max(len(shown), 1), 0.05), 0.16)  # many bands on one another would hide the lines
        for ax, (model, table) in zip(axes, tables.items(), strict=False):
            ax.set_title(PANELS[model])
            if x == "bytes":
                style.bytes_axis(ax)
            for place, method in enumerate(shown):
                lines = table[(table["protocol"] == method.label) & np.isfinite(table["mean"])]
                (_against_bytes if x == "bytes" else _against_steps)(ax, lines, method, place, alpha)
        for number, ax in enumerate(axes):
            if narrow and number < rows - 1:
                continue
            ax.set_xlabel("local steps" if x == "step" else "bytes of all sites, up and down, logarithmic")
        style.metric_axis(axes[0], words, "y")
        for ax in axes[1:] if narrow else ():
            ax.set_ylabel(words.axis)
        style.method_legend(figure, shown)
        seeds = [n for table in tables.values() for n in table["seeds"]]
        style.note(figure, f"{style.band_note(seeds)} {words.direction.capitalize()}.")
    return figure


def _against_steps(ax: Axes, table: pd.DataFrame, method: Method, place: int, alpha: float) -> None:
    _line(ax, table["step"].to_numpy(), table, method, place, alpha)


def _against_bytes(ax: Axes, table: pd.DataFrame, method: Method, place: int, alpha: float) -> None:
    moved = table[table["bytes"] > 0]
    if table.empty:
        return
    if method.alone or moved.empty:
        ax.axhline(float(table["mean"].iloc[-1]), color=method.look.light, ls=method.look.dash)
    elif moved["bytes"].nunique() == 1:
        last = moved.iloc[[-1]]
        _line(ax, last["bytes"].to_numpy(), last, method, place, alpha)
    else:
        _line(ax, moved["bytes"].to_numpy(), moved, method, place, alpha)


def _line(ax: Axes, x: np.ndarray, table: pd.DataFrame, method: Method, place: int, alpha: float) -> None:
    if table.empty:
        return
    look, mean, half = method.look, table["mean"].to_numpy(float), table["half_width"].to_numpy(float)
    every = max(len(x) // 6, 1)
    ax.plot(
        x,
        mean,
        color=look.light,
        ls=look.dash,
        marker=look.marker,
        markevery=((place * every) // 5 % len(x), every),
    )
    if np.isfinite(half).any() and len(x) > 1:
        half = np.nan_to_num(half)
        ax.fill_between(x, mean - half, mean + half, color=look.light, alpha=alpha, linewidth=0)
    elif np.isfinite(half).any():
        ax.errorbar(x, mean, yerr=half, color=look.light, capsize=3, lw=1.2)
