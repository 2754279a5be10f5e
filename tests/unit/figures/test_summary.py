"""Numbers of tables and figures, checked by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from unpooled.figures import summary
from unpooled.figures.looks import methods_of
from unpooled.figures.summary import interval


def history(values: dict[str, list[float]], model: str = "aggregate", step: int = 10) -> pd.DataFrame:
    rows = [
        {"protocol": p, "seed": seed, "step": s, "model": model, "metric": "accuracy", "value": v, "bytes": 8 * s}
        for p, found in values.items()
        for seed, v in enumerate(found)
        for s in (0, step)
    ]
    frame = pd.DataFrame(rows)
    frame.loc[frame["step"] == 0, "value"] = 0.5
    return frame.assign(messages=0)


def test_interval_is_student_t() -> None:
    found = interval([0.90, 0.92, 0.94, 0.96, 0.98])
    assert found.mean == pytest.approx(0.94)
    assert found.half_width == pytest.approx(2.776445 * 0.0316228 / math.sqrt(5), rel=1e-5)  # t(0.975, 4), sd


def test_interval_needs_two_values() -> None:
    assert interval([]).seeds == 0
    one = interval([0.7, math.nan])
    assert one.mean == 0.7
    assert one.seeds == 1
    assert math.isnan(one.half_width)


def test_last_step_counts_whatever_the_order_of_rows() -> None:
    frame = history({"FedAvg(1)": [0.8, 0.9]}).iloc[::-1]
    values = summary.final_values(frame, "accuracy")
    assert sorted(values["value"]) == [0.8, 0.9]


def test_method_that_never_combines_is_judged_by_its_own_models() -> None:
    labels = {"Local": [0.5], "FedAvg(1)": [0.5]}
    both = pd.concat([history(labels), history({k: [0.8] for k in labels}, "local_mean")])
    values = summary.result_values(both, "accuracy", methods_of(labels)).set_index("protocol")
    assert values["model"].to_dict() == {"Local": "local_mean", "FedAvg(1)": "aggregate"}
    assert values["value"].to_dict() == {"Local": 0.8, "FedAvg(1)": 0.5}


def test_curve_has_a_row_a_step_and_mean_bytes() -> None:
    table = summary.curve_table(history({"a": [0.8, 0.9]}), "accuracy", "aggregate")
    assert table["step"].tolist() == [0, 10]
    assert table["mean"].tolist() == pytest.approx([0.5, 0.85])
    assert table["bytes"].tolist() == [0, 80]


def test_traffic_is_summed_over_kinds_then_averaged_over_seeds_and_sites() -> None:
    rows = [
        {"protocol": "a", "seed": seed, "site": site, "kind": kind, "up_messages": 1, "up_bytes": up}
        for seed in (0, 1)
        for site, up in (("x", 10), ("y", 30))
        for kind in ("train", "evaluate")
    ]
    frame = pd.DataFrame(rows).assign(down_messages=1, down_bytes=5)
    row = summary.traffic_table(frame).iloc[0]
    assert (row["up_bytes_min"], row["up_bytes"], row["up_bytes_max"]) == (20, 40, 60)
    assert row["up_messages"] == 2
    kinds = summary.traffic_by_kind(frame)
    assert kinds["up_bytes"].tolist() == [20, 20]


def test_site_sizes_that_change_with_the_seed_stay_one_row() -> None:
    rows = [
        {"protocol": "Local", "seed": seed, "site": "x", "samples": n, "test_samples": 0, "model": "local"}
        for seed, n in ((0, 4), (1, 8))
    ]
    table = summary.site_table(pd.DataFrame(rows).assign(metric="accuracy", value=0.5), "accuracy")
    assert table[["samples", "seeds"]].to_numpy().tolist() == [[6, 2]]


def test_rare_classes_are_added_up() -> None:
    sites = [{"name": "x", "samples": 78, "classes": {f"c{i}": i for i in range(13)}}]
    table = summary.class_counts(sites, most=10)
    assert table.columns.tolist() == [*(f"c{i}" for i in range(4, 13)), "4 other classes"]
    assert table.to_numpy().sum() == 78
    assert table["4 other classes"].tolist() == [0 + 1 + 2 + 3]
