"""Figures of streams: drawn wide and narrow, with the right things on them."""

from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from unpooled.figures import NARROW, WIDE
from unpooled.figures.streams import loss_against_cost, over_time
from unpooled.training.protocols import DynamicAveraging, FedAvg, Local
from unpooled.training.streams import Disjunction, PassiveAggressive, Serial, StreamComparison, compare_streams

PROTOCOLS = [Local(), FedAvg(2), FedAvg(10), DynamicAveraging(0.1, 5), DynamicAveraging(1.0, 5), Serial()]


@pytest.fixture(scope="module")
def found() -> StreamComparison:
    return compare_streams(
        Disjunction(inputs=8, drift_every=30), PassiveAggressive(), PROTOCOLS, learners=4, rounds=70, seeds=(0, 1)
    )


def texts(figure: Figure) -> str:
    return " | ".join(text.get_text() for text in figure.findobj(mpl.text.Text)).replace("\n", " ")


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("cost", ["transfers", "bytes"])
def test_loss_against_cost_has_a_marker_a_setting(found: StreamComparison, width: float, cost: str) -> None:
    table = found.table()
    figure = loss_against_cost(table, cost, width=width)
    figure.savefig(io.BytesIO(), format="svg")
    ax = figure.axes[0]
    assert ax.get_xscale() == "log"
    drawn = {(round(x, 3), round(y, 3)) for line in ax.lines if line.get_marker() in "os" for x, y in line.get_xydata()}
    exchanging = table[(table["transfers"] > 0)]
    assert {(round(x, 3), round(y, 3)) for x, y in zip(exchanging[cost], exchanging["loss"], strict=True)} <= drawn
    assert "A serial learner that sees all data" in texts(figure)
    assert "no exchange" in texts(figure)
    assert "2 seeds" in texts(figure)


def test_the_front_is_ringed(found: StreamComparison) -> None:
    table = found.table()
    ax = loss_against_cost(table).axes[0]
    (ring,) = (line for line in ax.lines if line.get_markersize() == 12)
    best = table[table["best"] & (table["transfers"] > 0)]
    assert sorted(np.asarray(ring.get_ydata()).tolist()) == sorted(best["loss"].tolist())
    for row in best.itertuples():
        others = table[(table["kind"] != "Serial") & (table["protocol"] != row.protocol)]
        assert not ((others["loss"] <= row.loss) & (others["transfers"] <= row.transfers)).any()
    assert not table.set_index("protocol").loc["Serial", "best"]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_curves_end_at_the_totals_and_drifts_are_marked(found: StreamComparison, width: float) -> None:
    curves = found.curves()
    figure = over_time(curves[curves["seed"] == 1], found.drifts()[1], width=width)
    figure.savefig(io.BytesIO(), format="svg")
    left, right = figure.axes
    upright = [line.get_xdata()[0] for line in left.lines if len(set(line.get_xdata())) == 1]
    assert upright == [30, 60]
    ends = [float(line.get_ydata()[-1]) for line in left.lines[2:]]
    assert ends == pytest.approx([by_seed[1].loss for by_seed in found.results.values()])
    transfers = {float(line.get_ydata()[-1]) for line in right.lines[2:]}
    assert transfers == {float(by_seed[1].transfers) for by_seed in found.results.values()} - {0.0}
    assert "Broken upright lines" in texts(figure)
