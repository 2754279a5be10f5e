"""`unpooled discover`: what it writes and prints, and what it refuses in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.calls import Call
from unpooled.causal.generators import LinearGaussian
from unpooled.causal.graphs import PDAG
from unpooled.errors import BadRecord
from unpooled.report import write_report

DAG = PDAG.from_edges(["age", "dose", "pain"], arrows=[("age", "pain"), ("dose", "pain")])


@pytest.fixture
def clinics(tmp_path: Path) -> Path:
    """One CSV a site."""
    folder = tmp_path / "clinics"
    folder.mkdir()
    model = LinearGaussian.random(DAG, np.random.default_rng(0))
    for i in range(3):
        model.sample(200, np.random.default_rng(i + 1)).to_csv(folder / f"clinic-{i}.csv", index=False)
    return folder


def test_a_folder_of_sites_gives_a_graph_a_folder_and_a_page(clinics: Path, call: Call, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = call("discover", clinics, "--bootstrap", 2, "--tiers", "age=0", "--tiers", "pain=1", "--out", out)
    assert (done.code, done.err) == (0, "")
    assert "'--' leaves the direction open" in done.out
    assert {path.name for path in out.iterdir()} >= {
        "config.toml",
        "disclosed.csv",
        "edges.csv",
        "environment.json",
        "graph.dot",
        "graph.graphml",
        "graph.png",
        "report.html",
        "result.json",
    }
    edges = pd.read_csv(out / "edges.csv")
    assert edges[["from", "mark", "to"]].to_numpy().tolist() == [["age", "->", "pain"], ["dose", "->", "pain"]]
    assert edges["support"].tolist() == [1.0, 1.0]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "2 edges among 3 variables; the direction of 2 is known" in page
    assert write_report([out], tmp_path / "again.html").read_text(encoding="utf-8") == page
    assert call("discover", out / "config.toml", "--out", out).code == 0
    assert call("resume", out).code == 0


@pytest.mark.parametrize("search", ["ges", "delete_first"])
def test_numbers_and_categories_and_an_arrow_that_cannot_be(
    clinics: Path, call: Call, tmp_path: Path, search: str
) -> None:
    for path in clinics.iterdir():
        table = pd.read_csv(path)
        table.assign(severe=np.where(table["pain"] > 0.5, "yes", "no")).to_csv(path, index=False)
    done = call(
        "discover", clinics, "--search", search, "--forbidden", "severe->pain", "--tiers", "pain=0",
        "--tiers", "dose=1", "--out", tmp_path / "run", "--format", "json",
    )  # fmt: skip
    result = json.loads(done.out)
    assert (done.code, result["score_name"]) == (0, "conditional_gaussian")
    edges = {(edge["from"], edge["mark"], edge["to"]) for edge in result["edges"]}
    assert {("pain", "->", "severe"), ("pain", "->", "dose")} <= edges
    assert "conditional_gaussian" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_json_has_all_of_it(clinics: Path, call: Call, tmp_path: Path) -> None:
    done = call("discover", clinics, "--format", "json", "--out", tmp_path / "run")
    result = json.loads(done.out)
    assert result["unit"] == "nats"
    assert [site["rows"] for site in result["sites"]] == [200, 200, 200]
    assert {row["kind"] for row in result["disclosed"]} == {"columns", "variables", "announce", "regrets", "edge_gains"}


def test_another_folder_is_not_overwritten(clinics: Path, call: Call, tmp_path: Path) -> None:
    assert call("discover", clinics, "--out", tmp_path / "run").code == 0
    other = call("discover", clinics, "--score", "aic", "--out", tmp_path / "run")
    assert other.code == 2
    assert "holds another run: choose another folder with --out" in other.err


def test_two_graphs_are_compared(clinics: Path, call: Call, tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("from,to\nage,pain\ndose,pain\n", encoding="utf-8")
    done = call("discover", clinics, "--against", truth, "--out", tmp_path / "run")
    assert "Against truth.csv: shd 0" in done.out
    again = call("discover", clinics, "--against", tmp_path / "run", "--out", tmp_path / "two", "--format", "json")
    assert json.loads(again.out)["comparison"]["numbers"]["shd"] == 0


def test_the_attack_says_what_regrets_reveal(clinics: Path, call: Call, tmp_path: Path) -> None:
    done = call("discover", clinics, "--leakage", "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert "From the first round of exact regrets the error is" in done.out
    rows = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))["leakage"]["rows"]
    clear = [row["error"] for row in rows if row["disclosure"] == "clear"]
    noisy = [row["error"] for row in rows if row["disclosure"] == "noise" and row["scale"] == 100.0]
    assert max(clear) < 1e-6 < min(noisy)
    assert "Laplace noise of scale 100" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


REFUSED = {
    "no such folder": (["nowhere"], "There is no file or folder"),
    "no such column": (["{clinics}", "--drop", "dos"], "There is no column 'dos' (drop). Did you mean 'dose'?"),
    "no such site column": (["{clinics}/clinic-0.csv", "--site", "clinic"], "There is no column 'clinic' (site)"),
    "no such environment": (["{clinics}", "--environment", "drug"], "has no column 'drug' (environment)"),
    "no arrow": (["{clinics}", "--required", "age pain"], "'age pain' is no arrow: write FROM->TO"),
    "no tier": (["{clinics}", "--tiers", "age"], "'age' is no tier: write NAME=NUMBER"),
    "no method": (["{clinics}", "--method", "perry"], "There is no method 'perry'"),
    "no score": (["{clinics}", "--score", "bicc"], "Did you mean 'bic'?"),
    "a score of categories": (["{clinics}", "--score", "bdeu"], "The score 'bdeu' is not of numbers"),
    "a method of one table": (["{clinics}", "--method", "ges"], "is of one table, and there are 3 sites"),
    "over what": (["{clinics}", "--bootstrap", "2", "--over", "cells"], "bootstrap_over = 'cells' does not fit"),
    "no graph": (["{clinics}", "--against", "{clinics}/none.csv"], "There is no graph at"),
    "no edges": (["{clinics}", "--against", "{clinics}/clinic-0.csv"], "needs columns 'from' and 'to'"),
    "a denied arrow": (
        ["{clinics}", "--required", "pain->age", "--forbidden", "pain->age"],
        "('pain', 'age') is both required and forbidden",
    ),
    "a leakage of ges": (["{clinics}", "--method", "ges", "--pooled", "--leakage"], "leakage attacks the regrets of"),
    "a noise of ges": (["{clinics}", "--method", "ges", "--pooled", "--noise", "1"], "are for method='peri'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_line(case: str, clinics: Path, call: Call, tmp_path: Path) -> None:
    arguments, says = REFUSED[case]
    done = call("discover", *(a.format(clinics=clinics) for a in arguments), "--out", tmp_path / "run")
    assert done.code == 2
    assert says in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""
    assert not (tmp_path / "run").exists()


def test_what_fails_leaves_another_runs_folder_and_ones_own_files_alone(
    clinics: Path, call: Call, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    assert call("discover", clinics, "--score", "bdeu", "--out", out).code == 2
    assert [path.name for path in out.iterdir()] == ["notes.txt"]
    assert call("discover", clinics, "--out", out).code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (clinics / "clinic-0.csv").write_text("age,dose\n1,2\n", encoding="utf-8")
    assert call("discover", clinics, "--out", out).code == 2
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[background]\nforbiden = [["age", "dose"]]', "forbiden"),
        ('[background]\nrequired = [["age"]]', "background.required"),
        ("bootstrap = 1.5", "bootstrap"),
        ('aggregate = "mean"', "aggregate"),
    ],
)
def test_a_config_with_what_it_cannot_hold_is_refused(
    text: str, says: str, clinics: Path, call: Call, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'source = "{clinics}"\n{text}\n', encoding="utf-8")
    done = call("discover", config, "--out", tmp_path / "run")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert says in done.err
    assert not (tmp_path / "run").exists()


def test_a_record_that_was_cut_is_refused(clinics: Path, call: Call, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert call("discover", clinics, "--out", out).code == 0
    (out / "result.json").write_text('{"family": "causal", "title": "x"}', encoding="utf-8")
    with pytest.raises(BadRecord, match="has no 'method'"):
        write_report([out], out / "report.html")
