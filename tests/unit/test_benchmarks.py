"""A benchmark's record: rows survive a stop, and rows of another code are never mixed with new ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from protocols import PROTOCOLS, example
from record import Record, table


def record(folder: Path, *, fresh: bool = False, seed: int = 0) -> Record:
    return Record(__file__, ("work", "name"), seed=seed, fresh=fresh, folder=folder)


def test_a_stopped_script_finds_its_rows_as_they_were(tmp_path: Path) -> None:
    first = record(tmp_path)
    first.add([{"work": "a", "name": "ours", "ms": 1.5, "count": 3, "note": None, "held": False}])
    kept = record(tmp_path).rows
    assert kept == first.rows == [{**kept[0], "ms": 1.5, "count": 3, "note": None, "held": False}]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_is_measured(name: str) -> None:
    assert isinstance(example(name, 10), PROTOCOLS[name])


def test_fresh_forgets(tmp_path: Path) -> None:
    record(tmp_path).add([{"work": "a", "name": "ours", "ms": 1.5}])
    assert record(tmp_path, fresh=True).rows == []


def test_rows_of_another_code_are_put_aside(tmp_path: Path) -> None:
    first = record(tmp_path)
    first.add([{"work": "a", "name": "ours", "ms": 1.5}])
    facts = json.loads((tmp_path / "test_benchmarks.json").read_text())
    (tmp_path / "test_benchmarks.json").write_text(json.dumps({**facts, "code": "another"}))
    assert record(tmp_path).rows == []
    assert "1.5" in (tmp_path / "test_benchmarks.old.csv").read_text()


def test_later_rows_may_have_more_columns(tmp_path: Path) -> None:
    kept = record(tmp_path)
    kept.add([{"work": "a", "name": "ours"}])
    kept.add([{"work": "b", "name": "ours", "ms": 2.0}])
    assert [row.get("ms") for row in record(tmp_path).rows] == [None, 2.0]
    assert [row["work"] for row in record(tmp_path).of(ms=2.0)] == ["b"]


def test_the_table_says_where_it_comes_from(tmp_path: Path) -> None:
    kept = record(tmp_path, seed=7)
    kept.add([{"work": "a", "name": "ours", "ms": 1.5}])
    kept.write(table({"": "{work}", "ms": "{ms:.2f}", "not measured": "{other:.2f}"}, kept.rows))
    text = (tmp_path / "test_benchmarks.md").read_text()
    assert "| a | 1.50 | - |" in text
    assert "seed 7" in text
    assert f"code {kept.facts['code']}" in text
