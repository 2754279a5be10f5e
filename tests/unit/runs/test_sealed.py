"""A run whose hops are sealed, from the config to the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.cli.calls import Call, call
from tests.unit.runs.small import small
from unpooled.errors import BadSetting, Interrupted
from unpooled.report import write_report
from unpooled.report.ledger import facts
from unpooled.runs.config import Config, parse
from unpooled.runs.execute import execute, resume
from unpooled.runs.files import read_json
from unpooled.runs.identity import identity
from unpooled.runs.resolve import resolve
from unpooled.sites.summary import summarise
from unpooled.training.protocols import FedAvg, FedDC

__all__ = ["call"]


def config(*protocols: dict[str, Any], sealed: bool = True, **training: Any) -> Config:
    tables = small(steps=12, executor="reference", evaluate_every=4, sealed_hops=sealed, **training)
    return parse({**tables, **({"protocols": list(protocols)} if protocols else {})})


def histories(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "history.parquet").drop(columns="bytes")


def test_a_sealed_run_is_the_open_run_and_its_page_says_who_saw_what(tmp_path: Path) -> None:
    for name, sealed in (("open", False), ("shut", True)):
        execute(config(sealed=sealed), tmp_path / name)
    pd.testing.assert_frame_equal(histories(tmp_path / "shut"), histories(tmp_path / "open"))
    traffic = pd.read_parquet(tmp_path / "shut" / "traffic.parquet")
    assert set(traffic.loc[traffic["kind"] == "train_sealed", "protocol"]) == {"FedDC(1, 10)"}
    told = read_json(tmp_path / "shut" / "result.json")["privacy"]
    assert (told["sealed_hops"], told["secure_sum"]) == (True, False)
    pages = {n: write_report([tmp_path / n], tmp_path / f"{n}.html").read_text("utf-8") for n in ("open", "shut")}
    assert "Under FedDC(1, 10) models that hopped were sealed for the site that received them" in pages["shut"]
    assert "It did see each model that was averaged." in pages["shut"]
    assert "models that hopped were sealed" not in pages["open"]
    assert identity(config()) != identity(config(sealed=False))


def test_with_secure_sums_the_page_says_that_no_single_model_was_seen(tmp_path: Path) -> None:
    result = execute(config(secure_sum=True), tmp_path)
    assert {cell["status"] for cell in result["cells"]} == {"finished"}
    page = write_report([tmp_path], tmp_path / "report.html").read_text("utf-8")
    assert "the coordinator saw sums, and no single model." in page
    assert "It did see each model" not in page


def test_a_run_stopped_between_two_hops_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = execute(config({"kind": "DaisyChain", "daisy_period": 1}), tmp_path / "whole")
    asked = iter([False] * 3 + [True] * 99)
    with pytest.raises(Interrupted):
        execute(config({"kind": "DaisyChain", "daisy_period": 1}), tmp_path / "cut", stop=lambda: next(asked))
    assert list((tmp_path / "cut" / "checkpoint").iterdir())
    resumed = resume(tmp_path / "cut")
    assert {cell["status"] for cell in (*whole["cells"], *resumed["cells"])} == {"finished"}
    for table in ("history", "traffic", "sites"):
        parts = [pd.read_parquet(tmp_path / name / f"{table}.parquet") for name in ("whole", "cut")]
        pd.testing.assert_frame_equal(*parts)
    models = list((tmp_path / "whole" / "models").iterdir())
    assert models
    assert all(path.read_bytes() == (tmp_path / "cut" / "models" / path.name).read_bytes() for path in models)


def test_ledgers_name_recipients(tmp_path: Path, call: Call) -> None:
    tables = small(steps=4, sealed_hops=True, executor="reference")
    execute(parse({**tables, "ledger": True, "protocols": [{"kind": "DaisyChain", "daisy_period": 1}]}), tmp_path)
    path = sorted((tmp_path / "ledger").rglob("*.jsonl"))[0]
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert sum("recipient" in line for line in lines) == 4
    assert all(line["kind"] == "train_sealed" for line in lines if "recipient" in line)
    told = summarise(lines).whole.recipients
    assert sum(told.values()) == 4
    assert dict(facts(summarise(lines)))["Models sealed for another site, which alone can read them"] == ", ".join(
        f"{name} ({count})" for name, count in sorted(told.items())
    )
    called = call("ledger", "show", path)
    assert f"sealed for {next(iter(told))}" in " ".join(called.out.split())


@pytest.mark.parametrize(
    ("protocols", "training", "told"),
    [
        ([FedAvg(2)], {}, r"and under FedAvg\(2\) none does: use FedDC or DaisyChain, or leave sealed_hops out"),
        ([{"kind": "FedMR", "shuffle_period": 1, "aggregate_period": 4}], {}, "taken apart at the coordinator"),
        ([FedDC(1, 4)], {"sealed_hops": False, "secure_sum": True}, "set sealed_hops as well"),
        (
            [{"kind": "FedDC", "daisy_period": 1, "aggregate_period": 4, "combine": "coordinate_median"}],
            {"secure_sum": True},
            "needs single models, which a secure sum hides",
        ),
    ],
)
def test_what_cannot_be_sealed_is_refused_before_work(protocols: list[Any], training: Any, told: str) -> None:
    named = [p if isinstance(p, dict) else {"kind": type(p).__name__, **vars(p)} for p in protocols]
    tables = small(**{"sealed_hops": True, **training})
    with pytest.raises(BadSetting, match=told):
        resolve(parse({**tables, "protocols": named}))
