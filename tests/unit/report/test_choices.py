"""The report says what was tried, what was taken, and which differences are clear."""

from __future__ import annotations

from pathlib import Path

from tests.unit.report.records import DIGITS, ONE_SEED, Plan, write_record
from unpooled.figures.looks import methods
from unpooled.report.choices import difference_tables, tuning_table
from unpooled.report.record import read_record
from unpooled.report.section import Table
from unpooled.report.training_record import TrainingRecord
from unpooled.report.write import write_report


def texts(table: Table) -> list[list[str]]:
    return [[f"{cell.text} ({cell.aside})" if cell.aside else cell.text for cell in row] for row in table.rows]


def test_every_rate_is_shown_with_the_seeds_that_took_it(tmp_path: Path) -> None:
    record = read_record(write_record(tmp_path, DIGITS))
    table = tuning_table(TrainingRecord(record), methods(record.result["protocols"]))
    assert list(table.columns) == ["Method", "0.01", "0.1", "1"]
    row = next(row for row in texts(table) if row[0] == "FedAvg(1)")
    assert row[1:] == ["70.2 (1 seed)", "80.2 (4 seeds)", "failed"]
    assert "each seed chose for itself" in table.caption


def test_the_page_has_both_parts_only_where_there_is_something_to_say(tmp_path: Path) -> None:
    tuned = write_report([write_record(tmp_path / "a", DIGITS)], tmp_path / "a.html").read_text(encoding="utf-8")
    plain = write_report([write_record(tmp_path / "b", Plan())], tmp_path / "b.html").read_text(encoding="utf-8")
    assert "How learning rates were chosen" in tuned
    assert "No test image took part" in tuned
    assert "How learning rates were chosen" not in plain
    assert "Which differences are clear" in plain


def test_one_seed_makes_no_difference_clear(tmp_path: Path) -> None:
    record = read_record(write_record(tmp_path, ONE_SEED))
    found = difference_tables(TrainingRecord(record), methods(record.result["protocols"]))
    assert found["pairs"].rows == []
    assert all(row[1].startswith("one seed: ") for row in texts(found["differences"]))
