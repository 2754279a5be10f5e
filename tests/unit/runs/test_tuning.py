"""Learning rates chosen in a run: from validation rows alone, recorded, resumable, on any number of workers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.runs.small import bits, small
from unpooled.errors import BadRecord, BadSetting, Interrupted
from unpooled.runs import cells, openers
from unpooled.runs.config import Config, parse
from unpooled.runs.execute import execute, resume
from unpooled.runs.files import read_json
from unpooled.runs.sources import Source
from unpooled.runs.sources import open_source as opened
from unpooled.sites.site import Samples
from unpooled.sites.transports.in_process import InProcess

GRID = [0.001, 0.05]


def tables(**changes: Any) -> dict[str, Any]:
    """The small run with a grid in the place of its rate."""
    table = small(steps=10, evaluate_every=10, executor="reference")
    del table["training"]["lr"]
    return {**table, "seeds": [0, 1], "tune": {"lr": GRID, "steps": 5}, **changes}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("tuned") / "run"
    execute(parse(tables()), out)
    return out


def test_the_record_has_all_that_was_tried_and_what_was_chosen(tuned: Path) -> None:
    tuning = read_json(tuned / "result.json")["tuning"]
    tried = {(t["protocol"], t["seed"], t["lr"]): t["values"] for t in tuning["tried"]}
    assert len(tried) == 2 * 2 * 2  # protocols, seeds, rates
    for chosen in tuning["chosen"]:
        own = {lr: tried[chosen["protocol"], chosen["seed"], lr] for lr in GRID}
        best = max(GRID, key=lambda lr: (own[lr]["accuracy"], -own[lr]["loss"]))
        assert chosen["lr"] == best
    assert {c["lr"] for c in read_json(tuned / "result.json")["cells"]} <= set(GRID)
    assert tuning["metric"] == "accuracy"


def test_no_test_row_takes_part_in_a_choice(tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(data: Any, seed: int, ledgers: Any = None) -> Source:
        source = opened(data, seed, ledgers)
        assert source.test is not None
        X = np.full_like(source.test.X, 1e3)
        return replace(source, test=Samples(X, (source.test.y + 1) % 3))

    monkeypatch.setattr(openers, "open_source", spoiled)
    execute(parse(tables()), tmp_path / "run")
    before, after = (read_json(out / "result.json") for out in (tuned, tmp_path / "run"))
    for key in ("tried", "chosen"):
        assert _without_seconds(before["tuning"][key]) == _without_seconds(after["tuning"][key])
    accuracy = [_finals(out) for out in (tuned, tmp_path / "run")]
    assert accuracy[0] != accuracy[1]  # the final evaluation did see the spoiled rows


def test_sites_that_test_at_home_choose_on_their_own_training_rows(tmp_path: Path) -> None:
    lines = ["where,x,y", *(f"{'ab'[i % 2]},{i % 5}.5,{['no', 'yes'][i % 3 // 2]}" for i in range(40))]
    (tmp_path / "two.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = {"source": str(tmp_path / "two.csv"), "target": "y", "site": "where", "test_fraction": 0.5}
    config = parse(tables(data=data, seeds=[0]))
    cell = cells.trials_of(config)[0]
    source = openers.HERE.open(config, cell.seed, tmp_path, cell.name)
    training = cells.prepare_cell(config, cell, tmp_path, source)
    held = {site.name: site.require_train() for site in source.here}
    assert source.test is None
    assert isinstance(training.federation, InProcess)
    for site in training.federation:
        assert site.test is not None
        assert len(site.require_train()) + len(site.test) == len(held[site.name])
    assert {site.name for site in training.federation} == {"a", "b"}


def test_a_stopped_run_ends_with_the_same_bits(tuned: Path, tmp_path: Path) -> None:
    asked = iter(range(10**6))
    with pytest.raises(Interrupted):
        execute(parse(tables()), tmp_path / "stopped", stop=lambda: next(asked) > 17)
    assert len(list((tmp_path / "stopped/trials").glob("*.json"))) in range(1, 8)
    resume(tmp_path / "stopped")
    assert bits(tmp_path / "stopped") == bits(tuned)


@pytest.mark.slow  # starts four processes that load torch
def test_the_number_of_workers_changes_no_bit(tuned: Path, tmp_path: Path) -> None:
    execute(parse(tables()), tmp_path / "two", workers=2)
    assert bits(tmp_path / "two") == bits(tuned)


def test_a_run_grows_by_protocols_and_seeds_and_keeps_what_it_has(tuned: Path, tmp_path: Path) -> None:
    less = tables(seeds=[1])
    less["protocols"] = less["protocols"][1:]
    execute(parse(less), tmp_path / "run")
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "run/cells").iterdir()}
    execute(parse(tables()), tmp_path / "run")
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert bits(tmp_path / "run") == bits(tuned)
    with pytest.raises(BadRecord, match="holds a run with other settings"):
        execute(parse(less), tmp_path / "run")


def test_rates_that_all_fail_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    result = execute(parse(tables(seeds=[0], tune={"lr": [1e38]})), tmp_path / "run")
    assert result["status"] == "failed"
    assert "None of the learning rates [1e+38] could be tried to the end: " in result["error"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tune": {"lr": GRID, "seeds": [0]}}, "set test_seed = 0 in [data]"),
        ({"tune": {"rates": GRID}}, "[tune] has no setting 'rates'"),
        ({"tune": {"lr": [-1.0]}}, "numbers above 0"),
        ({"training": {"steps": 5, "lr": 0.1}}, "has lr beside a table [tune]"),
        ({"tune": None}, "has neither lr nor a table [tune]"),
        ({"privacy": {"kind": "clip_and_noise", "clip": 1.0, "noise": 0.5}}, "accounts for one"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(change: dict[str, Any], said: str) -> None:
    table = {k: v for k, v in tables(**change).items() if v is not None}
    with pytest.raises(BadSetting) as error:
        parse(table)
    assert said in str(error.value)


def test_tuning_seeds_choose_one_rate_for_all_seeds(tmp_path: Path) -> None:
    table = tables(tune={"lr": GRID, "seeds": [5], "steps": 2})
    table["data"] = {**table["data"], "test_seed": 0}
    config: Config = parse(table)
    result = execute(config, tmp_path / "run")
    assert {t["seed"] for t in result["tuning"]["tried"]} == {5}
    for label in {c["protocol"] for c in result["tuning"]["chosen"]}:
        assert len({c["lr"] for c in result["tuning"]["chosen"] if c["protocol"] == label}) == 1
    tests = [opened(config.data, seed).test for seed in (0, 1, 5)]
    assert all(t is not None and t.y.tolist() == tests[0].y.tolist() for t in tests if tests[0] is not None)


def _without_seconds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def _finals(out: Path) -> list[Any]:
    import pandas as pd

    history = pd.read_parquet(out / "history.parquet")
    return history[history["metric"] == "accuracy"]["value"].tolist()
