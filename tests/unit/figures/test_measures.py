"""Figures of measures show every layer, kind and epoch, wide and narrow."""

from __future__ import annotations

import pandas as pd
import pytest

from unpooled.figures import NARROW, WIDE
from unpooled.figures.measures import MOST_COLUMNS, direction_bars, epoch_map, reset_map, subspace_curves

PARTS = ("all", "0", "body.2")


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_row_for_each_part_and_scaling(width: float) -> None:
    rows = [("0", "own"), ("body.2", "own"), ("all", "global"), ("all", "layerwise")]
    table = pd.DataFrame(
        [(part, scaling, default, "error", 0.5, 3.0, 1.0, 0.5, 2.0, 10) for part, scaling in rows for default in "ab"],
        columns=["part", "scaling", "default", "metric", "share", "averaging", "random", "q05", "q95", "draws"],
    )
    figure = direction_bars(table, "error", width=width)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["0", "body.2", "full model, one radius", "full model, each layer its radius"]
    assert all(ax.get_legend_handles_labels()[1] == ["random, 5 to 95 %", "averaging"] for ax in figure.axes)


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_panel_for_each_part_and_a_line_for_each_kind(width: float) -> None:
    kinds = ("toward", "away", "training", "complement", "isotropic", "shrink", "grow", "top-2")
    table = pd.DataFrame(
        [
            (part, "a", kind, 30, "loss", length, length * 2, 1.0, 0.9, 1.1)
            for part in PARTS
            for kind in kinds
            for length in (0.5, 1.0)
        ],
        columns=["part", "default", "kind", "draws", "metric", "length", "radius", "mean", "q05", "q95"],
    )
    figure = subspace_curves(table, "loss", width=width)
    shown = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title(loc="left") for ax in shown] == ["full model", "0", "body.2"]
    assert [len(ax.lines) for ax in shown] == [len(kinds)] * 3


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_maps_of_epochs_keep_the_first_and_the_last(width: float) -> None:
    epochs = range(0, 200, 5)
    back = [(m, part, "re-initialised", e, "error", float(e)) for m in "ab" for part in PARTS for e in epochs]
    drawn = [(m, part, "re-randomised", float("nan"), "error", 90.0) for m in "ab" for part in PARTS]
    table = pd.DataFrame(back + drawn, columns=["model", "layer", "kind", "epoch", "metric", "rise"])
    figure = reset_map(table, "error", width=width)
    columns = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert columns[0] == "start"
    assert columns[-1] == "drawn\nanew"
    assert len(columns) <= MOST_COLUMNS + 1
    assert figure.axes[0].texts[0].get_text() == "0.00"
    barriers = pd.DataFrame(
        [
            ("full" if part == "all" else "layer", part, d, "error", "mean", float(e), e)
            for part in PARTS
            for d in "ab"
            for e in epochs
        ],
        columns=["kind", "part", "default", "metric", "reference", "barrier", "epoch"],
    )
    found = epoch_map(barriers, "error", width=width)
    assert [label.get_text() for label in found.axes[0].get_yticklabels()] == ["full model", "0", "body.2"]
    assert found.axes[1].get_xticklabels()[-1].get_text() == "195"
