"""What surrounds two models in pictures: directions of equal length, layers set back, barriers while training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unpooled.figures import style
from unpooled.figures.connectivity import DEFAULTS, UNITS, WORDS, panel, row_name
from unpooled.figures.looks import LOOKS, RESERVED

KIND_LOOKS = {
    "toward": (LOOKS[0], "-", "toward the other model"),
    "away": (LOOKS[0], "--", "away from it"),
    "training": (LOOKS[1], "-", "training's subspace"),
    "complement": (LOOKS[2], "-", "its complement"),
    "isotropic": (RESERVED["local"], "--", "all coordinates"),
    "shrink": (LOOKS[3], "-", "shrink the weights"),
    "grow": (LOOKS[3], "--", "grow the weights"),
}
MOST_PARTS = 6
"""Panels in the figure of subspaces; the tables have all parts."""
MOST_COLUMNS = 11
"""Epochs in a heat-map; of more of them every n-th is shown."""
SCALINGS = {"own": "", "global": "full model, one radius", "layerwise": "full model, each layer its radius"}


def direction_bars(robustness: pd.DataFrame, metric: str, *, share: float = 0.5, width: float = style.WIDE) -> Figure:
    """Rise along the averaging direction beside that along random ones of equal length; one row a part.

    `robustness` is the table of `unpooled.connectivity.perturb.robustness`; one panel a default model.
    """
    table = robustness[(robustness["metric"] == metric) & (robustness["share"] == share)]
    rows = table[table["default"] == "a"]
    names = [SCALINGS[str(r.scaling)] or style.wrap(str(r.part), 22) for r in rows.itertuples()]
    narrow = style.is_narrow(width)
    with style.styled():
        figure = style.new_figure(width, (0.9 + 0.32 * len(rows)) * (2 if narrow else 1) + 0.9)
        axes = np.ravel(figure.subplots(*((2, 1) if narrow else (1, 2)), squeeze=False, sharex=True, sharey=True))
        for ax, default in zip(axes, "ab", strict=True):
            own = table[table["default"] == default]
            y = np.arange(len(own))
            ax.axvline(0, color=style.MUTED, lw=0.8)
            ax.errorbar(
                own["random"],
                y + 0.15,
                xerr=[own["random"] - own["q05"], own["q95"] - own["random"]],
                fmt="none",
                ecolor=RESERVED["local"].light,
            )
            grey, blue = RESERVED["local"], LOOKS[1]
            ax.plot(own["random"], y + 0.15, ls="", marker=grey.marker, color=grey.light, label="random, 5 to 95 %")
            ax.plot(own["averaging"], y - 0.15, ls="", marker=blue.marker, color=blue.light, label="averaging")
            ax.set_title(DEFAULTS[default])
            ax.set_yticks(y, names)
            ax.set_ylim(len(own) - 0.5, -0.5)
            ax.set_xlabel(f"rise in {UNITS.get(metric, metric)}")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
        draws = int(table["draws"].iloc[0])
        style.note(
            figure,
            f"Moved by {share:g} of the distance between the models in the part; {draws} random directions, the same "
            "for both default models.",
        )
    return figure


def subspace_curves(
    losses: pd.DataFrame, metric: str, *, default: str = "a", absolute: bool = False, width: float = style.WIDE
) -> Figure:
    """The metric against the length of a step along each kind of direction; one panel a part, the full model first.

    `losses` is that of `unpooled.connectivity.subspaces.Subspaces`. Lengths are shares of the way between the models in
    the part, or `absolute`.
    """
    table = losses[(losses["metric"] == metric) & (losses["default"] == default)]
    every = list(dict.fromkeys(table["part"]))
    parts = every[:MOST_PARTS]
    columns = 1 if style.is_narrow(width) else min(3, len(parts))
    with style.styled():
        figure = style.new_figure(width, 2.5 * -(-len(parts) // columns) + 1.0)
        axes = np.ravel(figure.subplots(-(-len(parts) // columns), columns, squeeze=False))
        for ax in axes[len(parts) :]:
            ax.set_axis_off()
        for ax, part in zip(axes, parts, strict=False):
            _kinds(ax, table[table["part"] == part], "radius" if absolute else "length")
            ax.set_title("full model" if part == "all" else style.wrap(str(part), 22))
            ax.set_xlabel("length" if absolute else "share of the way to the other model")
            ax.set_ylabel(UNITS.get(metric, metric))
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=style.columns_that_fit(labels, width, 4))
        more = len(every) - len(parts)
        left = f" {more} more {'part is' if more == 1 else 'parts are'} in the table." if more else ""
        style.note(
            figure,
            f"From {DEFAULTS[default].removeprefix('default ')}; all directions of a panel have equal lengths. Bands: "
            f"5 to 95 % of the draws. Each panel has its own scale.{left}",
        )
    return figure


def _kinds(ax: Axes, table: pd.DataFrame, along: str) -> None:
    for kind, rows in table.groupby("kind", sort=False):
        look, dash, words = KIND_LOOKS.get(str(kind), (LOOKS[5], ":", str(kind)))
        ax.plot(rows[along], rows["mean"], color=look.light, marker=look.marker, ls=dash, label=words, ms=4)
        if (rows["draws"] > 1).all():
            ax.fill_between(rows[along], rows["q05"], rows["q95"], color=look.light, alpha=0.15, lw=0)


def reset_map(resets: pd.DataFrame, metric: str, *, width: float = style.WIDE) -> Figure:
    """Rise where a layer is set back, layers against epochs; the last column is for weights drawn anew.

    `resets` is the table of `unpooled.connectivity.resets`, with a column `model`: one panel a model.
    """
    table = resets[resets["metric"] == metric]
    epochs = _thinned(sorted(table["epoch"].dropna().unique()))
    drawn = bool((table["kind"] == "re-randomised").any())
    columns = ["start" if e == 0 else f"{e:g}" for e in epochs] + (["drawn\nanew"] if drawn else [])
    layers = ["all", *(name for name in dict.fromkeys(table["layer"]) if name != "all")]
    values = []
    for model in dict.fromkeys(table["model"]):
        own = table[table["model"] == model]
        back = own[own["kind"] == "re-initialised"].pivot_table(index="layer", columns="epoch", values="rise")
        part = back.reindex(index=layers, columns=epochs).to_numpy()
        if drawn:
            new = own[own["kind"] == "re-randomised"].set_index("layer")["rise"].reindex(layers).to_numpy()
            part = np.column_stack([part, new])
        values.append((f"model {str(model).upper()}", part))
    names = ["full model" if name == "all" else style.wrap(str(name), 22) for name in layers]
    text = f"Rise in {UNITS.get(metric, metric)} where one layer is that of an epoch, and all others as trained."
    return _maps(values, names, columns, text, width)


def epoch_map(barriers: pd.DataFrame, metric: str, *, reference: str = "mean", width: float = style.WIDE) -> Figure:
    """Barriers of the full model and of each layer against epochs of training; one panel a default model.

    `barriers` is the table of `unpooled.connectivity.epochs.barriers_by_epoch`.
    """
    table = barriers[(barriers["metric"] == metric) & (barriers["reference"] == reference)]
    table = table[table["kind"].isin(["full", "layer", "group"])]
    epochs = _thinned(sorted(table["epoch"].unique()))
    parts = [(str(r.kind), str(r.part)) for r in table[["kind", "part"]].drop_duplicates().itertuples()]
    values = []
    for default in "ab":
        own = table[table["default"] == default].set_index(["kind", "part", "epoch"])["barrier"]
        values.append((DEFAULTS[default], np.array([[own[(*part, e)] for e in epochs] for part in parts])))
    text = f"Barriers in {UNITS.get(metric, metric)}; reference: {WORDS[reference]}. Columns: epochs of training."
    return _maps(values, [row_name(*part) for part in parts], [f"{e:g}" for e in epochs], text, width)


def _thinned(epochs: list[Any]) -> list[Any]:
    """At most so many columns, with the first and the last."""
    if len(epochs) <= MOST_COLUMNS:
        return epochs
    return [epochs[i] for i in np.linspace(0, len(epochs) - 1, MOST_COLUMNS).round().astype(int)]


def _maps(values: list[tuple[str, Any]], names: list[str], columns: list[str], text: str, width: float) -> Figure:
    """Heat-maps side by side where there is room for their numbers, below each other otherwise."""
    below = style.is_narrow(width) or len(columns) > 5
    size = 0.95 + 0.27 * len(names)
    with style.styled():
        figure = style.new_figure(width, size * (len(values) if below else 1) + 0.5)
        axes = np.ravel(figure.subplots(*((len(values), 1) if below else (1, len(values))), squeeze=False))
        for place, (ax, (title, own)) in enumerate(zip(axes, values, strict=True)):
            few = _fitting(len(columns), width)
            panel(ax, own[:, few], names if below or place == 0 else [""] * len(names), [columns[i] for i in few])
            ax.set_title(title)
        style.note(figure, text)
    return figure


def _fitting(count: int, width: float) -> list[int]:
    """Columns whose numbers fit side by side."""
    room = 5 if style.is_narrow(width) else MOST_COLUMNS + 1
    if count <= room:
        return list(range(count))
    return [int(i) for i in np.linspace(0, count - 1, room).round()]
