"""Federated statistics against the same statistics of the pooled table, by NumPy and scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from unpooled.sites.federation import ask_all
from unpooled.sites.loading import load_sites, read_sites
from unpooled.sites.preparation import encode
from unpooled.sites.statistics import Split, SplitAnswer, federated_moments
from unpooled.sites.transports.in_process import InProcess

Matrix = np.ndarray[Any, np.dtype[Any]]


def moments(parts: list[Matrix]) -> tuple[Matrix, Matrix, Matrix]:
    names = tuple(f"c{j}" for j in range(parts[0].shape[1]))
    frames = {f"s{i}": pd.DataFrame(part, columns=list(names)).assign(y=0) for i, part in enumerate(parts)}
    federation = InProcess.of(read_sites(frames)[0])
    ask_all(federation, Split(target=("y", "", ""), stratify=False), SplitAnswer)
    found = federated_moments(federation, names)
    return found.counts, found.mean, found.scale


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e8])
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_mean_and_scale_are_the_pooled_ones(offset: float, missing: float) -> None:
    rng = np.random.default_rng(int(offset) + int(10 * missing))
    parts = [offset + i + rng.normal(size=(n, 4)) * [1, 1e-3, 1e4, 1] for i, n in enumerate([1, 2, 40, 700])]
    for part in parts:
        part[rng.random(part.shape) < missing] = np.nan
    pooled = np.concatenate(parts)
    counts, mean, scale = moments(parts)
    assert counts.tolist() == np.isfinite(pooled).sum(axis=0).tolist()
    np.testing.assert_allclose(mean, np.nanmean(pooled, axis=0), rtol=1e-12)
    # an offset of 1e8 leaves 8 digits for the spread, in the data themselves as in NumPy's mean
    np.testing.assert_allclose(scale, np.nanstd(pooled, axis=0), rtol=1e-12 if offset < 1e8 else 1e-10)


def test_an_offset_that_swallows_the_sums_does_not_spoil_the_scale() -> None:
    rng = np.random.default_rng(5)
    small = [rng.integers(-1, 3, size=(n, 1)).astype(np.float64) for n in (1, 30, 2000, 5001)]
    _, mean, scale = moments([1e15 + part for part in small])  # exact in float64; their sum, 7e18, is not
    pooled = np.concatenate(small)
    np.testing.assert_allclose(scale, pooled.std(axis=0), rtol=1e-12)
    assert abs(mean[0] - 1e15 - pooled.mean()) <= 0.125  # the distance of two numbers near 1e15


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(st.floats(-1e6, 1e6).map(lambda v: round(v, 3)), min_size=1, max_size=8),
        min_size=1,
        max_size=5,
    ),
    st.randoms(use_true_random=False),
)
def test_any_federation_has_the_pooled_moments_in_any_order(lists: list[list[float]], random: Any) -> None:
    parts = [np.array(cells)[:, None] for cells in lists]
    pooled = np.concatenate(parts)[:, 0]
    counts, mean, scale = moments(parts)
    np.testing.assert_allclose(mean[0], pooled.mean(), rtol=1e-12, atol=1e-12 * abs(pooled).max())
    reference = StandardScaler().fit(pooled[:, None])
    np.testing.assert_allclose(scale[0], reference.scale_[0], rtol=1e-12)
    random.shuffle(parts)
    assert [v.tolist() for v in moments(parts)] == [counts.tolist(), mean.tolist(), scale.tolist()]


@pytest.mark.parametrize("value", [0.1, 1e-8, 12345.678])
def test_a_constant_column_has_scale_one(value: float) -> None:
    counts, mean, scale = moments([np.full((n, 1), value) for n in (3, 5, 11)])
    assert counts.tolist() == [19]
    assert scale.tolist() == [1.0]
    np.testing.assert_allclose(mean, value, rtol=1e-15)


def sklearn_features(table: pd.DataFrame, numbers: list[str], texts: list[str], *, indicator: bool = False) -> Matrix:
    """What scikit-learn makes of the pooled table: numbers, then indicators, then categories."""
    steps: list[tuple[str, Any, list[str]]] = [("n", make_pipeline(StandardScaler(), SimpleImputer()), numbers)]
    if indicator:
        steps.append(("i", MissingIndicator(), numbers))
    if texts:
        last = "\uffff"  # sorts after all others, as our own level does
        fill = SimpleImputer(strategy="constant", fill_value=last, missing_values=None)
        steps.append(("c", make_pipeline(fill, OneHotEncoder(sparse_output=False)), texts))
    return np.asarray(ColumnTransformer(steps).fit_transform(table), dtype=np.float64)


def our_features(federation: InProcess) -> Matrix:
    """The prepared features in float64, before they are stored as float32."""
    assert federation.schema is not None
    assert federation.schema.preparation is not None
    plan = federation.schema.preparation
    made = [encode(site.state["table"].without(plan.missing), plan.columns) for site in federation]
    for site, X in zip(federation, made, strict=True):
        np.testing.assert_array_equal(site.require_train().X, X.astype(np.float32))
    return np.concatenate(made)


def mixed(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"u": rng.normal(5, 3, rows), "v": rng.integers(0, 9, rows), "w": rng.normal(size=rows)})
    table.loc[rng.random(rows) < 0.2, "u"] = np.nan
    table["c"] = pd.Series(rng.choice(["low", "mid", "high"], rows), dtype=object)
    table["d"] = pd.Series(rng.choice(["yes", "no"], rows), dtype=object)
    table.loc[rng.random(rows) < 0.2, "c"] = None
    return table.assign(y=rng.integers(0, 2, rows))


@pytest.mark.parametrize("order", [["a", "b", "c"], ["c", "a", "b"]])
def test_prepared_features_are_those_of_scikit_learn_on_the_pooled_table(order: list[str]) -> None:
    tables = {name: mixed(rows, seed) for seed, (name, rows) in enumerate({"a": 30, "b": 7, "c": 90}.items())}
    federation = load_sites({name: tables[name] for name in order}, target="y")
    expected = sklearn_features(pd.concat([tables[n] for n in order]), ["u", "v", "w"], ["c", "d"])
    np.testing.assert_allclose(our_features(federation), expected, rtol=1e-12, atol=1e-13)


def test_heart_disease_is_prepared_as_if_it_were_pooled(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "heart-disease" / "heart_disease.csv.gz")
    numbers = [c for c in table.columns if c not in ("site", "num", "cp", "thal")]
    federation = load_sites(
        table,
        target="num > 0",
        site="site",
        missing={"chol": [0]},
        categorical=["cp", "thal"],
        missing_indicator=True,
    )
    pooled = table.sort_values("site", kind="stable").replace({"chol": {0: np.nan}})
    for name in ("cp", "thal"):
        pooled[name] = (
            pooled[name].map(lambda v: None if np.isnan(v) else str(int(v))).astype(object).replace({np.nan: None})
        )
    expected = sklearn_features(pooled, numbers, ["cp", "thal"], indicator=True)
    assert federation.schema is not None
    names = federation.schema.features
    kinds = [1 if n.endswith(" missing") else 2 if "=" in n else 0 for n in names]
    ours = our_features(federation)[:, np.argsort(kinds, kind="stable")]
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-13)
    y = np.concatenate([site.require_train().y for site in federation])
    assert y.tolist() == (pooled["num"] > 0).astype(int).tolist()


def test_parkinsons_patients_are_scaled_as_if_they_were_pooled(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "parkinsons-telemonitoring" / "parkinsons_updrs.csv.gz")
    federation = load_sites(table, target="total_UPDRS", site="subject#", drop=["motor_UPDRS"])
    pooled = table.sort_values("subject#", kind="stable").drop(columns=["subject#", "motor_UPDRS"])
    expected = StandardScaler().fit_transform(pooled.drop(columns="total_UPDRS"))
    np.testing.assert_allclose(our_features(federation), expected, rtol=1e-11, atol=1e-11)
    y = np.concatenate([site.require_train().y for site in federation])
    np.testing.assert_allclose(y, pooled["total_UPDRS"], rtol=1e-6)
