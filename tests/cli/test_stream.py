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
from unpooled.runs.streams import load, plan

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
