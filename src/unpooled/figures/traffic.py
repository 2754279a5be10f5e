"""How many bytes went through each site's door."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unpooled.figures import style, summary
from unpooled.figures.looks import Methods, methods_of
from unpooled.figures.words import bytes_text


def traffic_by_site(traffic: pd.DataFrame, *, methods: Methods | None = None, width: float = style.WIDE) -> Figure:
    """Bytes that each site sent (filled) and received (hollow) in one run of each protocol.

    `traffic` has the columns of a record's `traffic.parquet`; all kinds of question count. A line joins the
    least and the most of any site.
    """
    methods = methods_of(traffic["protocol"]) if methods is None else methods
    table = summary.traffic_per_site(traffic)
    shown, narrow = style.present(table, methods), style.is_narrow(width)
    with style.styled():
        figure = style.new_figure(width, 1.4 + 0.5 * max(len(shown), 1))
        ax = figure.subplots()
        ax.grid(False, axis="y")
        style.bytes_axis(ax)
        for y, method in enumerate(shown):
            rows = table[table["protocol"] == method.label]
            for column, offset, face in (
                ("up_bytes", -0.14, method.look.light),
                ("down_bytes", 0.14, style.PAPER),
            ):
                values = rows[column].to_numpy(float)
                values = values[values > 0]
                if values.size:
                    ax.plot([values.min(), values.max()], [y + offset] * 2, color=method.look.light, lw=1.2)
                    marks = np.unique(np.round(np.log10(values), 2), return_index=True)[1]
                    ax.plot(
                        values[marks], [y + offset] * len(marks), ls="", marker=method.look.marker,
                        color=method.look.light, markerfacecolor=face, markersize=6,
                    )  # fmt: skip
            sent = float(rows["up_bytes"].mean())
            ax.annotate(
                f"{bytes_text(sent)} sent" if sent else "sends nothing",
                (1.02, y), xycoords=("axes fraction", "data"), va="center", annotation_clip=False,
            )  # fmt: skip
        ax.set_yticks(range(len(shown)), [style.wrap(m.shown, 16 if narrow else 30, 3) for m in shown])
        ax.set_ylim(max(len(shown), 1) - 0.45, -0.55)
        ax.tick_params(axis="y", length=0)
        ax.margins(x=0.08)
        ax.set_xlabel("bytes of one site in one run, logarithmic")
        handles = [
            Line2D([], [], ls="", marker="o", color=style.INK, label="sent by the site"),
            Line2D([], [], ls="", marker="o", color=style.INK, markerfacecolor=style.PAPER, label="received"),
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=2, handlelength=1.2)
        style.note(figure, "A mark a site (equal ones fall together). The number is the mean over sites.")
    return figure
