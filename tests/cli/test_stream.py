"""`unpooled stream`: what it prints and writes, and what it refuses in one line."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tomli_w

from tests.cli.calls import Call
from tests.conftest import ROOT
from unpooled.report import write_report
from unpooled.runs.stream_run import execute
from unpooled.runs.streams import load, plan
from unpooled.training.protocols import FedAvg
from unpooled.training.streams.kernel import Gaussian, Norma, Truncation, kernel_stream

CONFIG: dict[str, Any] = {
    "title": "Small stream",
    "learners": 4,
    "rounds": 60,
    "seeds": [0, 1],
    "source": {"kind": "disjunction", "inputs": 8, "drift_every": 30},
    "learner": {"kind": "passive_aggressive"},
    "protocols": [
        {"kind": "Local"},
        {"kind": "FedAvg", "aggregate_period": 5},
        {"kind": "DynamicAveraging", "threshold": 0.1, "check_period": 5},
        {"kind": "Serial"},
    ],
}


def written(folder: Path, **changes: Any) -> Path:
    table = {**copy.deepcopy(CONFIG), **changes}
    path = folder / "stream.toml"
    path.write_text(tomli_w.dumps({k: v for k, v in table.items() if v is not None}), encoding="utf-8")
    return path


def a_table(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=50), "b": rng.normal(size=50)})
    frame["up"] = np.where(frame["a"] + frame["b"] > 0, "yes", "no")
    path = folder / "prices.csv"
    frame.to_csv(path, index=False)
    return path


def test_a_run_prints_a_table_and_writes_tables_and_figures(tmp_path: Path, call: Call) -> None:
    out = tmp_path / "out"
    shown = call("stream", written(tmp_path), "--out", out)
    assert shown.code == 0, shown.err
    assert "FedAvg(5)" in shown.out
    assert "model transfers" in shown.out
    names = {"config.toml", "result.json", "runs.csv", "curves.csv", "loss-against-transfers.png", "over-time.png"}
    assert names <= {path.name for path in out.iterdir()}
    frame = pd.read_csv(out / "runs.csv").set_index(["protocol", "seed"])
    assert frame.loc[("FedAvg(5)", 1), "transfers"] == 2 * 4 * 12
    curves = pd.read_csv(out / "curves.csv")
    assert curves["round"].max() == 60
    again = call("stream", out / "config.toml", "--out", out, "--format", "json")
    assert again.code == 0, again.err
    told = json.loads(again.out)
    assert told["drifts"] == {"0": [30], "1": [30]}
    assert [p["protocol"] for p in told["protocols"]][1] == "FedAvg(5)"
    assert told["protocols"][1]["loss"] == pytest.approx(frame.loc["FedAvg(5)", "loss"].mean())
    assert str(out) in call("runs", tmp_path).out.replace("\n", "")


def test_a_run_goes_on_with_the_cells_that_are_missing(tmp_path: Path, call: Call) -> None:
    """As after a kill: what has ended stays, and the record ends as if nothing had happened."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for out in (whole, cut):
        assert call("stream", written(tmp_path), "--out", out).code == 0
    kept, *gone = sorted((cut / "cells").glob("*.json"))
    for path in gone[::2]:
        path.unlink()
    (cut / "runs.csv").unlink()
    before = kept.stat().st_mtime_ns
    shown = call("resume", cut)
    assert shown.code == 0, shown.err
    assert kept.stat().st_mtime_ns == before, "what has ended is not computed again"
    for name in ("runs.csv", "curves.csv", "config.toml"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()
    for cell in (whole / "cells").glob("*.json"):
        assert (cut / "cells" / cell.name).read_bytes() == cell.read_bytes()
    assert json.loads((cut / "result.json").read_text())["status"] == "finished"


def test_ctrl_c_keeps_what_has_ended_and_says_how_to_go_on(tmp_path: Path) -> None:
    made, out, ended = plan(load(written(tmp_path))), tmp_path / "out", []

    def told(label: str, seed: int, done: int, rounds: int) -> None:
        if done == rounds:
            ended.append((label, seed))
        if len(ended) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(made, out, told)
    told_so_far = json.loads((out / "result.json").read_text())
    assert told_so_far["status"] == "interrupted"
    done = [(c["protocol"], c["seed"]) for c in told_so_far["cells"] if c["status"] == "finished"]
    assert done == ended[:2], "the third was told to have ended before it was written"
    assert [row["protocol"] for row in told_so_far["protocols"]] == ["Local", "FedAvg(5)"]
    page = write_report([out], tmp_path / "half.html").read_text()
    assert "This run was interrupted" in page
    assert "Serial, seed 1: missing" in page


def test_the_page_tells_what_the_tables_say(tmp_path: Path, call: Call) -> None:
    out = tmp_path / "out"
    assert call("stream", written(tmp_path), "--out", out).code == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    frame = pd.read_csv(out / "runs.csv").groupby("protocol").mean(numeric_only=True)
    assert f"{round(frame.loc['Local', 'mistakes'])}" in page
    assert "FedAvg(5)" in page
    again = call("report", out, "--out", tmp_path / "again.html")
    assert again.code == 0, again.err
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page


KERNEL = {
    "kind": "norma",
    "kernel": {"kind": "gaussian", "gamma": 0.5},
    "compression": {"kind": "truncation", "budget": 10},
    "rate": 0.4,
}


def test_kernel_learners_from_a_config_are_those_from_python(tmp_path: Path, call: Call) -> None:
    out = tmp_path / "out"
    shown = call("stream", written(tmp_path, learner=KERNEL, protocols=CONFIG["protocols"][:3]), "--out", out)
    assert shown.code == 0, shown.err
    made = plan(load(out / "config.toml"))
    learner = Norma(Gaussian(0.5), rate=0.4, compression=Truncation(10))
    assert made.learner == learner
    wanted = kernel_stream(made.source, learner, FedAvg(5), learners=4, rounds=60, seed=1)
    frame = pd.read_csv(out / "runs.csv").set_index(["protocol", "seed"])
    assert frame.loc[("FedAvg(5)", 1), "loss"] == wanted.loss
    assert frame.loc[("FedAvg(5)", 1), "bytes"] == wanted.bytes
    assert frame.loc[("FedAvg(5)", 1), "error"] == wanted.error
    assert "Moved by compression" in (out / "report.html").read_text(encoding="utf-8")


def test_a_table_is_read_to_its_end(tmp_path: Path, call: Call) -> None:
    source = {"kind": "table", "path": "prices.csv", "target": "up"}
    a_table(tmp_path)
    told = json.loads(
        call("stream", written(tmp_path, source=source, rounds=None), "-o", tmp_path / "o", "--format", "json").out
    )
    assert told["rounds"] == 12  # 50 rows among 4 learners
    (tmp_path / "away").mkdir()
    (tmp_path / "prices.csv").rename(tmp_path / "away" / "p.csv")
    moved = call("stream", tmp_path / "stream.toml", "--source", tmp_path / "away" / "p.csv", "-o", tmp_path / "p")
    assert moved.code == 0, moved.err


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"learnres": 3}, "no setting 'learnres'. Did you mean 'learners'?"),
    "source kind": ({"source": {"kind": "disjunctoin"}}, "Did you mean 'disjunction'?"),
    "source setting": ({"source": {"kind": "disjunction", "input": 3}}, "Did you mean 'inputs'?"),
    "no rounds": ({"rounds": None}, "say how many rounds"),
    "learner": ({"learner": {"kind": "hinge"}}, "Did you mean 'hinge_sgd'?"),
    "rate": ({"learner": {"kind": "hinge_sgd", "rate": -1.0}}, "rate must be a finite number above 0"),
    "protocol": ({"protocols": [{"kind": "Fedavg"}]}, "Did you mean 'FedAvg'?"),
    "twice": ({"protocols": [{"kind": "Local"}, {"kind": "Local"}]}, "lists Local twice"),
    "pooled": ({"protocols": [{"kind": "Pooled"}]}, "compare with Serial()"),
    "none": ({"protocols": []}, "add [[protocols]]"),
    "seeds": ({"seeds": [1, 1]}, "seeds must be different"),
    "kernel": ({"learner": {**KERNEL, "kernel": {"kind": "gausian"}}}, "Did you mean 'gaussian'?"),
    "budget": ({"learner": {**KERNEL, "compression": {"kind": "truncation"}}}, "needs 'budget', which is missing"),
    "kernel batch": ({"learner": KERNEL, "batch": 2}, "Kernel learners see one example a round"),
    "kernel protocol": ({"learner": KERNEL}, "not synchronised by Serial"),
    "no learners": ({"learners": 0}, "learners must be a whole number of at least 1"),
    "no table": ({"source": {"kind": "table", "path": "no.csv", "target": "y"}}, "cannot be read as CSV"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_line_and_leaves_nothing(name: str, tmp_path: Path, call: Call) -> None:
    changes, words = REFUSED[name]
    out = tmp_path / "out"
    shown = call("stream", written(tmp_path, **changes), "--out", out)
    assert shown.code == 2
    assert words in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert not out.exists()


def test_other_ways_to_go_wrong(tmp_path: Path, call: Call) -> None:
    assert "There is no config file" in call("stream", tmp_path / "none.toml").err
    (tmp_path / "bad.toml").write_text("title = ", encoding="utf-8")
    assert "cannot be read as TOML" in call("stream", tmp_path / "bad.toml").err
    config = written(tmp_path)
    assert "--source belongs to a [source] of kind 'table'" in call("stream", config, "--source", config).err
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.toml").write_text("title = 'other'", encoding="utf-8")
    assert "holds another run" in call("stream", config, "-o", out).err


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "streams").glob("*.toml")), ids=lambda p: p.stem)
def test_the_example_configs_can_be_used(path: Path, tmp_path: Path) -> None:
    config = load(path)
    if config.source["kind"] == "table":
        table = pd.DataFrame({"nswprice": np.arange(64.0), "class": np.arange(64) % 2})
        table.to_csv(tmp_path / "elec2.csv.gz", index=False)
        config = load(path, tmp_path / "elec2.csv.gz")
    made = plan(config)
    assert made.rounds > 0
    assert "Serial" in [protocol.label for protocol in made.protocols]
