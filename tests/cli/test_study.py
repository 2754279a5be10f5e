"""`unpooled study`: tables, figure, page, and going on with what was stopped."""

from __future__ import annotations

import json
from pathlib import Path

import tomli_w

from tests.cli.calls import Call
from tests.unit.runs.test_study import SMALL
from unpooled.report import write_report


def test_a_study_is_shown_and_reported(call: Call, tmp_path: Path) -> None:
    config, out = tmp_path / "small.toml", tmp_path / "run"
    config.write_text(tomli_w.dumps({**SMALL, "graphs": 1}), encoding="utf-8")
    done = call("study", config, "--out", out, "--workers", 1)
    assert (done.code, done.err) == (0, "")
    assert "SHD of classes: pairs of nodes with another edge" in " ".join(done.out.split())
    assert {path.name for path in out.iterdir()} >= {"config.toml", "result.json", "runs.csv", "study.png", "cells"}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "4 nodes, 4 edges; linear functions, the same at all sites; 3 sites of 80 to 200 rows" in page
    assert write_report([out], tmp_path / "again.html").read_text(encoding="utf-8") == page
    next(iter((out / "cells").iterdir())).unlink()
    again = call("resume", out, "--workers", 1, "--format", "json")
    told = json.loads(again.out)
    assert told["status"] == "finished"
    assert {row["method"] for row in told["runs"]} == {"sum", "max"}
    assert call("runs", tmp_path).out.count("6/6") == 1


def test_what_cannot_be_used_is_refused_in_one_line(call: Call, tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text(tomli_w.dumps({**SMALL, "grahps": 1}), encoding="utf-8")
    done = call("study", config, "--out", tmp_path / "run")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "Did you mean 'graphs'?" in done.err
    assert not (tmp_path / "run").exists()
