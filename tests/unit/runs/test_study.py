"""Studies: the data they draw, cells that are kept, tables that say what the cells say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import ROOT
from unpooled.causal.discovery.methods import Outcome, Target
from unpooled.causal.discovery.truth import MEASURES, measured
from unpooled.causal.generators import Environments
from unpooled.causal.generators import Target as True_
from unpooled.causal.graphs import PDAG, class_of
from unpooled.errors import BadRecord, BadSetting
from unpooled.figures.study import means, study_table
from unpooled.runs.studies import StudyConfig, load
from unpooled.runs.study_run import execute, is_study
from unpooled.runs.tables import build

SMALL: dict[str, Any] = {
    "title": "Small",
    "graphs": 2,
    "measures": ["shd", "target_f1"],
    "data": [
        {
            "name": "cut",
            "nodes": 4,
            "edges": 4,
            "rows": [200, 200, 80],
            "interventions": {"kind": "hard", "noise": [2.0, 2.0]},
            "published": {"shd": {"sum": 1.5}},
        },
        {"name": "bent", "nodes": 3, "degree": 1.0, "rows": [150], "function": "polynomial"},
        {"name": "hubs", "nodes": 4, "attached": 1, "rows": [100, 50], "mechanisms": "own"},
    ],
    "methods": [{"name": "sum"}, {"name": "max", "aggregate": "max", "rounds": 1}],
}


def small(**changed: Any) -> StudyConfig:
    return build(StudyConfig, "the config", {**SMALL, **changed})


def test_every_measure_counts_what_it_says() -> None:
    """True a -> c <- b, c -> d; found a -> c <- b without d, and a -> b besides."""
    true = PDAG.from_edges("abcd", [("a", "c"), ("b", "c"), ("c", "d")])
    guess = PDAG.from_edges("abcd", [("a", "c"), ("b", "c"), ("a", "b")])
    told = (Target("s1", "c", "hard", 1.0), Target("s1", "a", "noise", 1.0))
    made = Environments({}, true, (True_("s1", "c", "hard"), True_("s2", "c", "hard"), True_("s1", "a", "shift")))
    found = measured(made, Outcome(guess, 0.0, "nats", targets=told), "combined")
    # the triangle's class is all lines: of 6 pairs a-c and b-c (line for arrow), a-b (extra) and c-d (missing) differ
    assert (found["shd"], found["normalised_shd"], found["shd_of_entries"]) == (4, 4 / 6, 5)
    assert (found["edge_f1"], found["arrow_f1"]) == (2 * 2 / 6, 0.0)
    assert found["entry_f1"] == 2 * 2 / (3 + 6)
    assert found["dag_arrow_f1"] == 2 * 2 / 6
    assert found["dag_shd"] == 2
    assert found["target_f1"] == 2 * 2 / 5
    assert found["typed_target_f1"] == 2 * 1 / 5
    assert set(found) == set(MEASURES)
    right = measured(made, Outcome(class_of(true), 0.0, "nats"), "peri")
    assert (right["shd"], right["arrow_f1"], right["entry_f1"], right["dag_shd"]) == (0, 1.0, 1.0, 0)
    assert "target_f1" not in right


def test_data_are_the_same_whatever_else_was_drawn() -> None:
    config = small()
    for data in config.data:
        late, early = data.draw(0, 1), replace(config, data=(data,)).data[0].draw(0, 1)
        assert late.graph == early.graph
        for name in late.tables:
            pd.testing.assert_frame_equal(late.tables[name], early.tables[name])
        assert [len(t) for t in late.tables.values()] == list(data.rows)
        assert data.draw(0, 0).tables["s0"].iloc[0, 0] != late.tables["s0"].iloc[0, 0]
    assert {t.site for t in config.data[0].draw(0, 0).targets} <= {"s1", "s2"}


def test_a_study_that_was_stopped_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole, again = tmp_path / "whole", tmp_path / "again"
    execute(small(), whole)

    def stop(name: str, done: int, total: int) -> None:
        assert total == 12
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(small(), again, told=stop)
    assert json.loads((again / "result.json").read_text(encoding="utf-8"))["status"] == "interrupted"
    assert is_study(again)
    kept = {path.name: path.stat().st_mtime_ns for path in (again / "cells").iterdir()}
    assert len(kept) == 5
    seen: list[int] = []
    outcome = execute(small(), again, told=lambda name, done, total: seen.append(done))
    assert seen == list(range(6, 13))
    assert outcome["status"] == "finished"
    assert all((again / "cells" / name).stat().st_mtime_ns == when for name, when in kept.items())
    runs = [pd.read_csv(folder / "runs.csv").query("measure != 'cpu_seconds'") for folder in (whole, again)]
    pd.testing.assert_frame_equal(*runs)
    with pytest.raises(BadRecord, match="another run"):
        execute(small(graphs=3), again)


@pytest.mark.slow
def test_processes_change_no_number(tmp_path: Path) -> None:
    for workers in (1, 2):
        execute(small(), tmp_path / str(workers), workers=workers)
    runs = [pd.read_csv(tmp_path / str(w) / "runs.csv").query("measure != 'cpu_seconds'") for w in (1, 2)]
    pd.testing.assert_frame_equal(*runs)


def test_tables_hold_the_means_of_the_cells(tmp_path: Path) -> None:
    outcome = execute(small(methods=[SMALL["methods"][0]]), tmp_path)
    runs = pd.read_csv(tmp_path / "runs.csv")
    values = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((tmp_path / "cells").glob("00-*"))]
    mean = sum(cell["measures"]["shd"] for cell in values) / 2
    assert means(runs, "shd")["cut", "sum"].mean == pytest.approx(mean)
    row = study_table(outcome, runs, "shd").rows[0]
    assert row[0] == "cut"
    assert row[1].startswith(f"{mean:.2f}")
    assert row[1].endswith(" (1.5)")
    assert study_table(outcome, runs, "target_f1").columns == ("data",)  # the sum tells no targets


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no edges": ({"data": [{"name": "x", "nodes": 3, "rows": [9]}]}, "exactly one of edges, degree and attached"),
    "no rows": ({"data": [{"name": "x", "nodes": 3, "edges": 1, "rows": []}]}, "have no site"),
    "no measure": ({"measures": ["shdd"]}, "Did you mean 'shd'"),
    "two of a name": ({"methods": [{"name": "a"}, {"name": "a"}]}, "lists 'a' twice"),
    "no method": ({"methods": []}, "lists no methods"),
    "a method of no kind": ({"methods": [{"name": "a", "method": "perry"}]}, "There is no method 'perry'"),
    "a typing error": ({"methods": [{"name": "a", "agregate": "max"}]}, "agregate"),
    "an intervention": (
        {"data": [{"name": "x", "nodes": 3, "edges": 1, "rows": [9], "interventions": {"kind": "hrd"}}]},
        "interventions.kind",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_config_that_fits_nothing_is_refused(case: str) -> None:
    changed, says = REFUSED[case]
    with pytest.raises(BadSetting, match=says) as refused:
        small(**changed)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["table_4_6", "table_4_6_targets", "grid_4_1"])
def test_the_examples_can_be_drawn(name: str) -> None:
    config = load(ROOT / "examples" / "causal" / f"{name}.toml")
    for data in config.data:
        made = data.draw(config.seed, 0)
        assert len(made.tables) == len(data.rows)
        assert set().union(*map(set, data.published.values())) <= {method.name for method in config.methods}
