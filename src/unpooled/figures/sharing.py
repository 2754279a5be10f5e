"""Which layers to share: each site's own samples against everybody's, a point a set of layers."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from unpooled.figures import style
from unpooled.figures.looks import LOOKS
from unpooled.figures.summary import interval

WORDS = {"accuracy": "accuracy", "rmse": "error (RMSE)"}


def own_against_all(values: pd.DataFrame, metric: str, *, width: float = style.WIDE) -> Figure:
    """Two rows of points: columns `share`, `own` and `everyone` of a table with a row a set of layers and seed."""
    shares = list(dict.fromkeys(values["share"]))
    with style.styled():
        figure = style.new_figure(width, 1.3 + 0.34 * len(shares))
        ax = figure.subplots()
        for number, (column, name) in enumerate((("own", "own test samples"), ("everyone", "everybody's"))):
            look = LOOKS[number]
            for place, share in enumerate(shares):
                mean, half, seeds = interval(values.loc[values["share"] == share, column])
                y = place + (0.14 if number else -0.14)
                if seeds > 1:
                    ax.plot([mean - half, mean + half], [y, y], color=look.light, lw=1.4)
                label = name if place == 0 else None
                ax.plot([mean], [y], ls="", marker=look.marker, color=look.light, markersize=6, label=label)
        ax.set_yticks(range(len(shares)), shares)
        ax.invert_yaxis()
        ax.set_ylabel("layers shared")
        ax.set_xlabel(f"{WORDS.get(metric, metric)} of the sites' final models, mean over sites")
        figure.legend(loc="outside upper left", ncols=2)
        seeds = int(values["seed"].nunique())
        style.note(figure, f"Bars: 95 % intervals over {seeds} seeds." if seeds > 1 else "One seed: no intervals.")
    return figure
