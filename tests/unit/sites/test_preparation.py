"""One plan for all sites: targets, imputation, encoding, and the split into training and test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unpooled.errors import BadData, BadSetting
from unpooled.sites.federation import ask_all
from unpooled.sites.loading import load_sites, read_sites
from unpooled.sites.preparation import Prepare, PrepareAnswer
from unpooled.sites.schema import Schema
from unpooled.sites.statistics import Split, SplitAnswer
from unpooled.sites.transports.in_process import InProcess


def schema(federation: InProcess) -> Schema:
    assert federation.schema is not None
    return federation.schema


def labels(federation: InProcess) -> list[list[int]]:
    return [site.require_train().y.tolist() for site in federation]


NUM = {
    "a": pd.DataFrame({"v": [1.0, 2.0, 3.0], "num": [0, 1, 3]}),
    "b": pd.DataFrame({"v": [4.0, 5.0], "num": [0, 2]}),
}


@pytest.mark.parametrize(
    ("target", "classes", "expected"),
    [
        ("num", ("0", "1", "2", "3"), [[0, 1, 3], [0, 2]]),
        ("num > 0", ("num <= 0", "num > 0"), [[0, 1, 1], [0, 1]]),
        ("num >= 2", ("num < 2", "num >= 2"), [[0, 0, 1], [0, 1]]),
        ("num<1", ("num >= 1", "num < 1"), [[1, 0, 0], [1, 0]]),
        ("num <= 1", ("num > 1", "num <= 1"), [[1, 1, 0], [1, 0]]),
        ("num == 0", ("num != 0", "num == 0"), [[1, 0, 0], [1, 0]]),
        ("num != 0.0", ("num == 0.0", "num != 0.0"), [[0, 1, 1], [0, 1]]),
    ],
)
def test_targets(target: str, classes: tuple[str, ...], expected: list[list[int]]) -> None:
    federation = load_sites(NUM, target=target)
    assert schema(federation).classes == classes
    assert schema(federation).features == ("v",)
    assert schema(federation).target == target
    assert labels(federation) == expected


@pytest.mark.parametrize("target", ["num > 1", "num != 1", "num == 2"])
def test_a_missing_value_fulfils_no_comparison(target: str) -> None:
    data = {"a": pd.DataFrame({"v": [1.0, 2.0, 3.0], "num": [1, None, 2]})}
    federation = load_sites(data, target=target, scale=False)
    assert federation["a"].require_train().X.tolist() == [[1], [3]]
    assert labels(federation) == [[0, 1]]


def test_a_text_target_can_be_compared_for_equality_only() -> None:
    data = {"a": pd.DataFrame({"v": [1, 2], "d": ["M", "B"]})}
    assert labels(load_sites(data, target="d == M")) == [[1, 0]]
    with pytest.raises(BadData, match="The target 'd' is text where numbers belong"):
        load_sites(data, target="d > 3")
    with pytest.raises(BadSetting, match="compares with 'M', which is no number"):
        load_sites(data, target="d > M")
    with pytest.raises(BadData, match="The target 'd' is text where numbers belong"):
        load_sites(data, target="d", task="regression")


def test_the_task_is_inferred_and_can_be_said() -> None:
    numbers = pd.DataFrame({"v": np.arange(30.0), "few": np.arange(30) % 20, "many": np.arange(30) % 21, "half": 0.5})
    numbers["half"] += np.arange(30) % 2
    keep = {"drop": ["few", "many", "half"]}

    def classes(target: str, **settings: Any) -> int | None:
        drop = [name for name in keep["drop"] if name != target]
        found = schema(load_sites({"a": numbers}, target=target, drop=drop, **settings)).classes
        return None if found is None else len(found)

    assert classes("few") == 20
    assert classes("few", task="regression") is None
    assert classes("many") is None
    assert classes("many", task="classification") == 21
    assert classes("half") is None
    assert classes("half", task="classification") == 2
    with pytest.raises(BadSetting, match="Did you mean 'regression'"):
        classes("few", task="regresion")
    with pytest.raises(BadData, match="The target 'many' has more than 10 classes"):
        classes("many", task="classification", max_categories=10)


def test_rows_without_a_target_are_left_out_and_told() -> None:
    data = {
        "a": pd.DataFrame({"v": [1, 2, 3], "y": ["n", None, "p"]}),
        "b": pd.DataFrame({"v": [9], "y": ["p"]}),
    }
    federation = load_sites(data, target="y", scale=False)
    assert federation["a"].require_train().X.tolist() == [[1], [3]]
    assert schema(federation).warnings == ("Site 'a': 1 rows without a value of 'y' were left out.",)
    with pytest.raises(BadData, match="Site 'b': no row has a value of the target 'y'"):
        load_sites(data | {"b": pd.DataFrame({"v": [9], "y": [None]})}, target="y")
    with pytest.raises(BadData, match="The target 'y' is missing in every row at every site"):
        load_sites({"b": pd.DataFrame({"v": [9], "y": [None]})}, target="y")


def test_statistics_come_from_training_rows_only() -> None:
    rng = np.random.default_rng(0)
    data = {n: (rng.normal(size=(40, 3)), rng.integers(0, 2, 40)) for n in "ab"}
    federation = load_sites(data, test_fraction=0.25, seed=3)
    train = np.concatenate([site.require_train().X for site in federation])
    assert len(train) == 60
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(axis=0), 1, atol=1e-6)
    test = np.concatenate([site.test.X for site in federation if site.test is not None])
    assert abs(test.mean(axis=0)).max() > 0.01


def test_the_split_depends_on_seed_and_name_alone() -> None:
    rng = np.random.default_rng(1)
    data = {n: (rng.normal(size=(20, 2)), rng.integers(0, 2, 20)) for n in "abc"}

    def test_rows(seed: int, names: str) -> list[float]:
        site = load_sites({n: data[n] for n in names}, test_fraction=0.3, seed=seed, scale=False)["b"]
        assert site.test is not None
        return [float(v) for v in site.test.X[:, 0]]

    first = test_rows(0, "abc")
    np.random.default_rng(99).random(7)
    assert first == test_rows(0, "cb")
    assert first != test_rows(1, "abc")
    assert len(first) == 6


def test_groups_stay_on_one_side_and_are_no_feature(shared_data: Path) -> None:
    file = np.load(shared_data / "brain-mri" / "brain_mri_128.npz")
    thumbnail = file["images"][:, ::16, ::16].reshape(253, -1).astype(float)
    table = pd.DataFrame(thumbnail).assign(y=file["labels"], g=file["group"], s=file["group"] % 3)
    federation = load_sites(table.assign(n=range(253)), target="y", site="s", group="g", test_fraction=0.3, scale=False)
    assert schema(federation).features[-2:] == ("63", "n")
    for site in federation:
        assert site.test is not None
        sides = [set(table["g"].iloc[part.X[:, -1].astype(int)]) for part in (site.require_train(), site.test)]
        assert not sides[0] & sides[1]
        assert len(site.test) == pytest.approx(0.3 * (len(site.test) + len(site.require_train())), abs=2)


def test_numbers_get_an_indicator_where_training_rows_miss_them() -> None:
    data = {"a": pd.DataFrame({"u": [1.0, None], "v": [1.0, 3.0], "y": [0, 1]})}
    federation = load_sites(data, target="y", missing_indicator=True)
    assert schema(federation).features == ("u", "u missing", "v")
    assert federation["a"].require_train().X.tolist() == [[0, 0, -1], [0, 1, 1]]


def test_listed_values_are_missing_in_their_column_only() -> None:
    data = {"a": pd.DataFrame({"u": [0, 4, 8], "v": [0, 1, 2], "w": ["x", "none", "x"], "y": [0, 1, 1]})}
    federation = load_sites(data, target="y", scale=False, missing={"u": [0], "w": "none"})
    assert schema(federation).features == ("u", "v", "w=x", "w=(missing)")
    assert federation["a"].require_train().X.tolist() == [[6, 0, 1, 0], [4, 1, 0, 1], [8, 2, 1, 0]]


def test_a_constant_column_is_zero_and_finite() -> None:
    data = {"a": (np.array([[0.1, 1], [0.1, 2], [0.1, 4]]), [0, 1, 1])}
    X = load_sites(data)["a"].require_train().X
    np.testing.assert_allclose(X[:, 0], 0, atol=1e-12)


def test_a_site_that_comes_later_gets_the_same_plan() -> None:
    first = load_sites({"a": pd.DataFrame({"v": [1.0, 3.0], "c": ["p", "q"], "y": ["n", "m"]})}, target="y")
    plan = schema(first).preparation
    assert plan is not None

    def join(**columns: list[Any]) -> np.ndarray[Any, Any]:
        late = InProcess.of(read_sites({"late": pd.DataFrame(columns)})[0])
        ask_all(late, Split(target=("y", "", ""), stratify=True), SplitAnswer)
        ask_all(late, Prepare(**plan.plain()), PrepareAnswer)
        return late["late"].require_train().X

    # mean 2, deviation 1; 'r' was never seen and None not missing in training: zeros
    assert join(v=[5.0, None, 2.0], c=["q", "r", None], y=["m", "n", "n"]).tolist() == [
        [3, 0, 1],
        [0, 0, 0],
        [0, 0, 0],
    ]
    with pytest.raises(
        BadData, match=r"Site 'late': class 'o' \(1 rows\) is unseen at training, where the classes are m, n"
    ):
        join(v=[5.0], c=["q"], y=["o"])
    with pytest.raises(BadData, match="Site 'late': it has no column 'v', only c, y"):
        join(c=["q"], y=["m"])
    with pytest.raises(BadData, match="Site 'late': column 'v' holds text where numbers belong: 'five' in row 1"):
        join(v=["five"], c=["q"], y=["m"])


def errors_over_seeds(labels: list[str]) -> set[str]:
    """First sentences of what is said when one of three groups of two rows is for testing."""
    data = pd.DataFrame({"v": range(6), "g": list("aabbcc"), "y": labels})
    said = set()
    for seed in range(20):
        try:
            load_sites({"s": data}, target="y", group="g", test_fraction=0.3, seed=seed)
        except BadData as error:
            said.add(str(error))
    return said


def test_a_class_only_among_test_rows_is_named() -> None:
    (said,) = errors_over_seeds(["n", "m", "n", "m", "m", "o"])
    assert said.startswith("Site 's': class 'o' (1 rows) is unseen at training, where the classes are m, n: ")
    (said,) = errors_over_seeds(["n", "n", "n", "n", "n", "o"])
    assert said == "All training rows are of one class, 'n': two at least are needed."


def test_a_class_that_no_site_trains_on_is_named_whatever_the_site() -> None:
    with pytest.raises(BadData, match="All training rows are of one class, '1': two at least are needed"):
        load_sites({"a": (np.eye(2), [1, 1]), "b": (np.eye(2), [1, 1])})


def test_nothing_left_to_learn_from() -> None:
    with pytest.raises(BadData, match="No feature is left"):
        load_sites({"a": pd.DataFrame({"v": [1, 2], "y": [0, 1]})}, target="y", drop=["v"])


@pytest.mark.parametrize("test_fraction", [-0.1, 1.0, float("nan")])
def test_test_fraction_lies_in_range(test_fraction: float) -> None:
    with pytest.raises(BadSetting, match="test_fraction must be at least 0 and below 1"):
        load_sites({"a": (np.eye(2), [0, 1])}, test_fraction=test_fraction)


def test_features_keep_their_order_whatever_the_order_of_sites_and_columns() -> None:
    one = pd.DataFrame({"b": [1, 2], "a": ["x", "y"], "y": [0, 1]})
    federations = [
        load_sites({"p": one, "q": one[["y", "a", "b"]]}, target="y"),
        load_sites({"q": one[["y", "a", "b"]], "p": one}, target="y"),
    ]
    assert schema(federations[0]) == schema(federations[1])
    assert schema(federations[0]).features == ("b", "a=x", "a=y")
    np.testing.assert_array_equal(federations[0]["p"].require_train().X, federations[0]["q"].require_train().X)
