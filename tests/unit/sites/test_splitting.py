"""Sharing out a pooled set, and rows into training and test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unpooled.errors import BadData, BadSetting
from unpooled.sites.splitting import split
from unpooled.sites.train_test import train_test
from unpooled.sites.transports.in_process import InProcess
from unpooled.sites.ways_to_split import WAYS

N = 300
X = np.arange(N, dtype=np.float32)[:, None]
Y = np.arange(N) % 3
BY = np.arange(N) // 30


def rows(federation: InProcess) -> list[list[int]]:
    """Which rows of X each site holds."""
    return [site.require_train().X[:, 0].astype(int).tolist() for site in federation]


def ask(how: str, **settings: Any) -> InProcess:
    given = {"by": BY} if how == "natural" else {"sites": 10}
    return split(X, Y, how=how, **given, **settings)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("samples", [None, 5])
def test_no_row_is_held_twice_and_rows_keep_their_labels(how: str, samples: int | None) -> None:
    federation = ask(how, samples=samples)
    held = rows(federation)
    flat = [row for site in held for row in site]
    assert len(flat) == len(set(flat)) == (N if samples is None and how != "classes" else len(flat))
    assert min(len(site) for site in held) >= 1
    for site, own in zip(federation, held, strict=True):
        assert site.require_train().y.tolist() == [Y[row] for row in own]
    if samples is not None and how != "zipf":
        assert [len(site) for site in held] == [5] * 10


@pytest.mark.parametrize("how", WAYS)
def test_the_seed_alone_decides(how: str) -> None:
    settings = {"samples": 5, "seed": 1}
    first = rows(ask(how, **settings))
    np.random.default_rng().random(3)
    assert first == rows(ask(how, **settings))
    assert first != rows(ask(how, samples=5, seed=2))


def test_names_are_padded_so_that_sorting_keeps_their_order() -> None:
    assert split(X, Y, sites=3).names == ("site-00", "site-01", "site-02")
    names = split(X, Y, sites=101).names
    assert names[7] == "site-007"
    assert list(names) == sorted(names)


def test_sizes_of_an_iid_split() -> None:
    assert [len(s) for s in rows(split(X, Y, sites=7))] == [43, 43, 43, 43, 43, 43, 42]
    assert [len(s) for s in rows(split(X, Y, sites=3, samples=[1, 5, 2]))] == [1, 5, 2]


def test_two_classes_a_site() -> None:
    y = np.arange(N) % 10
    federation = split(X, y, sites=12, samples=6, how="classes", classes_per_site=2, seed=0)
    kinds = [set(site.require_train().y.tolist()) for site in federation]
    assert max(map(len, kinds)) == 2
    assert len({tuple(sorted(kind)) for kind in kinds}) > 5
    counts = [max(np.bincount(site.require_train().y)) for site in federation]
    assert len(set(counts)) > 1  # each sample is assigned to one of the classes by chance: not always 3 and 3


def test_classes_without_samples_share_out_all_rows_of_the_picked_classes() -> None:
    federation = split(X, Y, sites=10, how="classes", classes_per_site=2, seed=0)
    flat = sorted(row for site in rows(federation) for row in site)
    assert flat == list(range(N))
    assert all(len(set(site.require_train().y.tolist())) == 2 for site in federation)


def test_a_class_that_runs_out_is_named() -> None:
    with pytest.raises(
        BadSetting, match=r"Class number \d has 100 rows, but its \d+ sites need \d+: use fewer samples"
    ):
        split(X, Y, sites=10, samples=30, how="classes", classes_per_site=1)
    with pytest.raises(BadSetting, match="classes_per_site=4, but y has 3 classes: use at most 3"):
        split(X, Y, sites=2, samples=3, how="classes", classes_per_site=4)


@pytest.mark.parametrize("seed", range(3))
def test_dirichlet_skew_falls_with_alpha(seed: int) -> None:
    y = np.arange(6000) % 10
    big = np.zeros((6000, 1))

    def largest_share(alpha: float) -> float:
        federation = split(big, y, sites=20, samples=100, how="dirichlet", alpha=alpha, seed=seed)
        return float(np.mean([np.bincount(s.require_train().y, minlength=10).max() / 100 for s in federation]))

    shares = [largest_share(alpha) for alpha in (0.001, 0.1, 1.0, 1000.0)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.9
    assert shares[-1] < 0.25  # 100 draws from 10 equal classes: the largest count is about 15


def test_zipf_sizes_follow_the_law() -> None:
    sizes = [len(s) for s in rows(split(X, Y, sites=10, how="zipf", exponent=1.0))]
    assert sum(sizes) == N
    # 1 + 290 / (k * H_10), H_10 = 2.929: 100.0, 50.5, 34.0, ..., 10.9
    assert sizes == pytest.approx([1 + 290 / k / 2.92897 for k in range(1, 11)], abs=1)
    assert sum(len(s) for s in rows(split(X, Y, sites=10, samples=4, how="zipf"))) == 40


def test_natural_sites_are_named_after_their_value_in_numeric_order() -> None:
    federation = split(X, Y, how="natural", by=BY)
    assert federation.names == tuple(str(i) for i in range(10))
    assert rows(federation)[3] == list(range(90, 120))
    with pytest.raises(BadSetting, match="Site '0' has 30 rows, but samples=31"):
        split(X, Y, how="natural", by=BY, samples=31)


def test_natural_fields_of_landmine(shared_data: Path) -> None:
    file = np.load(shared_data / "landmine" / "landmine.npz")
    federation = split(file["features"], file["labels"], how="natural", by=file["field"])
    assert len(federation) == 29
    assert [len(s.require_train()) for s in federation] == np.bincount(file["field"]).tolist()
    assert federation["4"].require_train().X.dtype == np.float64


def test_labels_are_numbered_and_the_test_set_with_them() -> None:
    federation = split(X, np.array(["b", "a", "c"])[Y], sites=2, test=(X[:3], ["c", "a", "b"]))
    assert federation.schema is not None
    assert federation.schema.classes == ("a", "b", "c")
    assert federation.schema.shape == (1,)
    tests = [site.test for site in federation]
    assert tests[0] is not None
    assert tests[0].y.tolist() == [2, 0, 1]
    assert tests[0] is tests[1]  # shared, not copied
    with pytest.raises(BadData, match=r"In the test set, class 'd' \(1 rows\) is unseen at training.*a, b, c"):
        split(X, np.array(["b", "a", "c"])[Y], sites=2, test=(X[:1], ["d"]))
    with pytest.raises(BadData, match=r"A test sample has shape \(2,\), one for training \(1,\)"):
        split(X, Y, sites=2, test=(np.zeros((1, 2)), [0]))


def test_a_regression_target_stays_as_it_is() -> None:
    target = np.stack([X[:, 0], -X[:, 0]], axis=1)
    federation = split(X, target, sites=3)
    assert federation.schema is not None
    assert federation.schema.classes is None
    for site in federation:
        np.testing.assert_array_equal(site.require_train().y[:, 1], -site.require_train().X[:, 0])
    with pytest.raises(BadSetting, match="needs classes, but y is a regression target"):
        split(X, target, sites=3, how="dirichlet")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"sites": 50, "samples": 20},
            "50 sites x 20 samples need 1000 rows, got 300: use fewer sites or samples",
        ),
        ({"sites": 2, "samples": [200, 150]}, "need 350 rows, got 300"),
        ({"sites": 301}, "301 sites need at least 301 rows, got 300"),
        ({"sites": 0}, "sites must be a whole number of at least 1, got 0"),
        ({"sites": 2, "samples": 0}, "samples must be a whole number of at least 1, got 0"),
        ({"sites": 2, "samples": 1.5}, "samples must be a whole number"),
        ({"sites": 2, "samples": [1]}, "samples names 1 sizes for 2 sites"),
        ({}, "needs the number of sites"),
        ({"sites": 2, "how": "dirichlett"}, "Did you mean 'dirichlet'"),
        ({"sites": 2, "alpha": 1.0}, "alpha is a setting of how='dirichlet', not of how='iid'"),
        ({"sites": 2, "how": "dirichlet", "alpha": 0.0}, "alpha must be a number above 0"),
        ({"sites": 2, "how": "classes", "classes_per_site": 0}, "classes_per_site must be a whole number"),
        ({"how": "natural"}, "needs by="),
        ({"how": "natural", "by": BY, "sites": 3}, "by names 10 sites, but sites=3"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadSetting, match=message):
        split(X, Y, **settings)


def test_data_that_cannot_be_used() -> None:
    with pytest.raises(BadData, match="X holds 300 samples and y 299"):
        split(X, Y[:-1], sites=2)
    with pytest.raises(BadData, match=r"y has no class in row 2"):
        split(X[:2], ["a", None], sites=1)
    with pytest.raises(BadData, match=r"y has shape \(300, 1\)"):
        split(X, Y[:, None], sites=2)
    with pytest.raises(BadData, match="by names no site for row 1"):
        split(X, Y, how="natural", by=["", *BY[1:]])
    with pytest.raises(BadData, match="by holds 2 rows and X 300"):
        split(X, Y, how="natural", by=[1, 2])


@settings(deadline=None)
@given(
    y=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    fraction=st.floats(0, 0.95),
    seed=st.integers(0, 5),
    grouped=st.booleans(),
)
def test_train_test_is_a_partition_that_keeps_groups_and_classes(
    y: list[int], fraction: float, seed: int, grouped: bool
) -> None:
    groups = np.arange(len(y)) // 3 if grouped else None
    train, test = train_test(y, y, test_fraction=fraction, groups=groups, seed=seed)
    assert sorted([*train, *test]) == list(range(len(y)))
    assert len(train) > 0
    if groups is None:
        assert {y[i] for i in train} == set(y)
        assert len(test) <= fraction * len(y) + 0.5
        spare = len(y) - len(set(y))  # one row a class stays for training
        assert len(test) >= min(np.floor(fraction * len(y) + 0.5), spare)
    else:
        assert not set(groups[train]) & set(groups[test])


def test_each_class_is_divided_alike() -> None:
    y = np.repeat([0, 1, 2], [100, 40, 10])
    train, test = train_test(y, y, test_fraction=0.3, seed=0)
    assert np.bincount(y[test]).tolist() == [30, 12, 3]
    unstratified = [np.bincount(y[train_test(y, y, test_fraction=0.3, seed=s, stratify=False)[1]])[0] for s in range(5)]
    assert len(set(unstratified)) > 1
    assert len(train) == 105


def test_the_odd_test_row_of_small_sites_is_not_always_of_one_class() -> None:
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    chosen = {int(y[train_test(y, y, test_fraction=0.125, seed=s)[1]][0]) for s in range(20)}
    assert chosen == {0, 1}


def test_one_row_stays_for_training() -> None:
    assert [part.tolist() for part in train_test([1], [1], test_fraction=0.9)] == [[0], []]


def test_groups_of_brain_mri(shared_data: Path) -> None:
    file = np.load(shared_data / "brain-mri" / "brain_mri_128.npz")
    train, test = train_test(file["images"], file["labels"], groups=file["group"], test_fraction=0.2, seed=0)
    assert not set(file["group"][train]) & set(file["group"][test])
    assert len(test) == pytest.approx(51, abs=2)
    assert file["labels"][test].mean() == pytest.approx(155 / 253, abs=0.05)


def test_train_test_refuses_what_does_not_fit() -> None:
    with pytest.raises(BadData, match="groups holds 2 rows and y 3"):
        train_test([1, 2, 3], [1, 2, 3], groups=[1, 2], test_fraction=0.5)
    with pytest.raises(BadSetting, match="test_fraction must be at least 0 and below 1, got 1"):
        train_test([1, 2, 3], [1, 2, 3], test_fraction=1)
