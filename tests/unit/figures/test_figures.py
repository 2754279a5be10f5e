"""Every figure is drawn for every made-up record, wide and narrow, and touches nothing outside itself."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests.unit.report.records import PLANS, write_record
from unpooled import figures
from unpooled.figures.words import metric_called

Run = tuple[dict[str, Any], dict[str, pd.DataFrame]]


@pytest.fixture(params=PLANS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    folder = write_record(tmp_path, PLANS[request.param])
    frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("history", "sites", "traffic")}
    return json.loads((folder / "result.json").read_text(encoding="utf-8")), frames


def drawn(run: Run, width: float) -> dict[str, Figure]:
    result, frames = run
    metric, looks = result["main_metric"], figures.methods(result["protocols"])
    history = frames["history"]
    return {
        "steps": figures.accuracy_against_steps(history, metric, methods=looks, width=width),
        "bytes": figures.accuracy_against_bytes(history, metric, methods=looks, width=width),
        "comparison": figures.comparison(history, metric, methods=looks, width=width),
        "sites": figures.per_site(frames["sites"], metric, methods=looks, width=width),
        "traffic": figures.traffic_by_site(frames["traffic"], methods=looks, width=width),
        "holdings": figures.holdings(result["data"]["sites"], width=width),
    }


def texts(figure: Figure) -> str:
    return " | ".join(text.get_text() for text in figure.findobj(mpl.text.Text)).replace("\n", " ")


@pytest.mark.parametrize("width", [figures.WIDE, figures.NARROW])
def test_figures_are_drawn_with_units(run: Run, width: float) -> None:
    all_drawn = drawn(run, width)
    for figure in all_drawn.values():
        assert figure.get_figwidth() == width
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*missing from font")  # some names are Chinese
            figure.savefig(io.BytesIO(), format="svg")
    metric = metric_called(run[0]["main_metric"])
    for name in ("steps", "bytes", "comparison", "sites"):
        assert metric.axis in texts(all_drawn[name])
    assert "local steps" in texts(all_drawn["steps"])
    assert "bytes" in texts(all_drawn["bytes"])
    for name in ("steps", "comparison"):
        if any(row["simulation_only"] for row in run[0]["protocols"]):
            assert "simulation only" in texts(all_drawn[name])


def test_one_seed_has_no_band_and_says_so(tmp_path: Path) -> None:
    history = pd.read_parquet(write_record(tmp_path, PLANS["one-seed"]) / "history.parquet")
    figure = figures.accuracy_against_steps(history)
    assert "no interval" in texts(figure)
    assert not any(ax.collections for ax in figure.axes)
    several = pd.read_parquet(write_record(tmp_path, PLANS["digits"]) / "history.parquet")
    figure = figures.accuracy_against_steps(several)
    assert "over 5 seeds" in texts(figure)
    assert all(ax.collections for ax in figure.axes)


def test_methods_keep_their_colour_when_one_is_left_out(tmp_path: Path) -> None:
    folder = write_record(tmp_path, PLANS["digits"])
    history = pd.read_parquet(folder / "history.parquet")
    looks = figures.methods(json.loads((folder / "result.json").read_text(encoding="utf-8"))["protocols"])
    part = history[history["protocol"] == "FedDC(1, 10)"]
    figure = figures.accuracy_against_steps(part, methods=looks)
    assert {line.get_color() for ax in figure.axes for line in ax.lines} == {looks["FedDC(1, 10)"].look.light}


def test_settings_of_the_caller_come_back() -> None:
    before = dict(mpl.rcParams)
    figures.holdings([{"name": "x", "samples": 3, "classes": {"a": 1, "b": 2}}])
    assert dict(mpl.rcParams) == before


def test_neither_pyplot_nor_torch_nor_a_family_is_imported() -> None:
    code = (
        "import sys, unpooled.figures, unpooled.report;"
        "bad = {'torch', 'matplotlib.pyplot', 'unpooled.training', 'unpooled.sites'} & set(sys.modules);"
        "sys.exit(repr(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
