"""The sentences at the top of the page say what the numbers say, and no more."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.report.records import DIGITS, HEART, ONE_SEED, PLANS, Made, Plan, write_record
from unpooled.figures.looks import methods
from unpooled.report.answer import Answer, AnswerWriter, Nouns, holders
from unpooled.report.record import read_record
from unpooled.report.training_record import Data, SiteRow, TrainingRecord

FEDERATED = ("FedAvg(1)", "FedAvg(10)", "FedDC(1, 10)")


def answer(folder: Path) -> Answer:
    record = read_record(folder)
    return AnswerWriter(TrainingRecord(record), methods(record.result["protocols"])).write()


def fact(found: Answer, title: str) -> str:
    return " ".join(text for head, lines in found.facts if head.startswith(title) for text in lines)


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def set_final(folder: Path, values: dict[str, list[float]]) -> None:
    """Write these final accuracies of the combined model, seed by seed, into the history."""
    path = folder / "history.parquet"
    frame = pd.read_parquet(path)
    for label, by_seed in values.items():
        for seed, value in enumerate(by_seed):
            at = (frame["protocol"] == label) & (frame["seed"] == seed) & (frame["metric"] == "accuracy")
            frame.loc[at & (frame["step"] == frame["step"].max()) & (frame["model"] == "aggregate"), "value"] = value
    frame.to_parquet(path)


def test_lead_has_the_numbers(tmp_path: Path) -> None:
    folder = write_record(tmp_path, Plan())
    set_final(folder, {"FedDC(1, 10)": [0.96, 0.97, 0.98, 0.97, 0.97], "FedAvg(1)": [0.95] * 5})
    found = answer(folder)
    assert plain(found.lead).startswith("40 hospitals with 8 patients each: FedDC(1, 10) reaches 97.0 ± 0.9 % accuracy")
    assert "training alone" in found.lead
    assert "pooled training (simulation only)" in found.lead
    assert "better by 2.0 ± 0.9 points" in plain(fact(found, "Against other"))


def test_tie_is_called_no_clear_difference(tmp_path: Path) -> None:
    folder = write_record(tmp_path, Plan())
    set_final(folder, {"FedDC(1, 10)": [0.96, 0.99, 0.98, 0.97, 0.96], "FedAvg(1)": [0.97, 0.96, 0.97, 0.98, 0.97]})
    others = plain(fact(answer(folder), "Against other"))
    assert "FedDC(1, 10) against FedAvg(1) (97.0 ± 0.9 %): no clear difference (+0.2" in others


def test_headline_is_never_flattered(tmp_path: Path) -> None:
    folder = write_record(tmp_path, Plan())
    set_final(folder, {"FedDC(1, 10)": [0.94] * 5, "FedAvg(1)": [0.96, 0.961, 0.96, 0.961, 0.96]})
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    (folder / "result.json").write_text(json.dumps(result | {"headline": "FedDC(1, 10)"}), encoding="utf-8")
    found = answer(folder)
    assert "FedDC(1, 10) reaches" in found.lead
    assert "FedDC(1, 10) against FedAvg(1) (96.0 ± 0.1 %): worse by 2.0 ± 0.1 points" in plain(
        fact(found, "Against other")
    )


def test_lower_is_better_for_an_error(tmp_path: Path) -> None:
    found = answer(write_record(tmp_path, PLANS["stay"]))
    assert "better by" in fact(found, "Against each")
    assert "3.8" in found.lead


def test_one_seed_claims_nothing(tmp_path: Path) -> None:
    found = answer(write_record(tmp_path, ONE_SEED))
    assert "One seed only" in fact(found, "How sure")
    told = " ".join(text for _, lines in found.facts for text in lines)
    assert "better by" not in told
    assert "worse by" not in told
    assert "±" not in found.lead


def test_no_row_left_is_counted_and_not_promised(tmp_path: Path) -> None:
    folder = write_record(tmp_path, HEART)
    left = fact(answer(folder), "What left")
    assert "No row of data left a hospital" in left
    assert "Pooled (simulation only) stands for sending all rows" in left
    path = folder / "traffic.parquet"
    frame = pd.read_parquet(path)
    rows = frame["kind"] == "rows"
    frame.loc[rows, "protocol"] = "FedAvg(1)"
    frame.to_parquet(path)
    assert "Rows of data left their hospital under FedAvg(1)." in fact(answer(folder), "What left")


def test_unknown_kind_of_question_is_not_vouched_for(tmp_path: Path) -> None:
    folder = write_record(tmp_path, DIGITS)
    path = folder / "traffic.parquet"
    frame = pd.read_parquet(path)
    frame.loc[frame["kind"] == "moments", "kind"] = "peek"
    frame.to_parquet(path)
    left = fact(answer(folder), "What left")
    assert "does not say what answers to peek hold" in left
    assert "No row of data left" not in left


def test_cost_is_what_passed_the_door(tmp_path: Path) -> None:
    folder = write_record(tmp_path, DIGITS)
    frame = pd.read_parquet(folder / "traffic.parquet")
    subject = answer(folder).lead.split(": ")[1].split(" reaches")[0]
    mine = frame[(frame["protocol"] == subject) & (frame["seed"] == 0) & (frame["site"] == "site-00")]
    messages = int(mine["up_messages"].sum())
    assert f"in {messages} messages" in fact(answer(folder), "What it cost")


def test_yardsticks_are_never_the_answer(tmp_path: Path) -> None:
    plan = replace(DIGITS, protocols=(Made("Local", "Local", 0.9, 0.99, events=0), *DIGITS.protocols[1:]))
    assert answer(write_record(tmp_path, plan)).lead.split(": ")[1].startswith(FEDERATED)


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ([8, 8], "2 wards with 8 people each"),
        ([8, 9], "2 wards with 8 to 9 people each"),
        ([1], "1 ward with 1 person"),
        ([], "no ward"),
    ],
)
def test_who_holds_how_much(sizes: list[int], told: str) -> None:
    data = Data("x", "classification", [SiteRow(str(i), n) for i, n in enumerate(sizes)])
    assert holders(data, Nouns("ward", "wards", "person", "people")) == told
