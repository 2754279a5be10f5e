"""Rows that are not in memory: mapped files, Parquet by row group, and what partitions are told."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from tests.unit.parallel.learners import Nearest, logistic
from unpooled.combine import Array
from unpooled.errors import BadData, BadSetting
from unpooled.parallel import MachineWarning, Parquet, RadonMachine, RadonMachineClassifier
from unpooled.parallel.fitting import Work
from unpooled.parallel.parameters import Layout
from unpooled.parallel.partitions import _fit_partition
from unpooled.parallel.rows import MappedFile, Rows, mapped_file


def machine(estimator: Any, **settings: Any) -> Any:
    return RadonMachine(estimator, **{"random_state": 0, "min_samples": 50, **settings})


def named(x: Array) -> pd.DataFrame:
    return pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])])


def write(path: Path, x: Array, y: Any, rows: int, **columns: Any) -> Path:
    named(x).assign(label=y, **columns).to_parquet(path, row_group_size=rows, index=False)
    return path


# Mapped files


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_mapped_file_gives_what_memory_does(tmp_path: Path, order: Any) -> None:
    x, y = logistic(800, features=3)
    np.save(tmp_path / "x.npy", np.asarray(x, order=order))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    memory, file = (machine(LogisticRegression(), n_jobs=n).fit(f, y) for f, n in ((x, 1), (mapped, 2)))
    np.testing.assert_array_equal(file.estimator_.coef_, memory.estimator_.coef_)


def test_only_whole_files_are_mapped_again(tmp_path: Path) -> None:
    """A slice of a mapped file has lost where it begins, so its rows are sent instead."""
    whole = np.memmap(tmp_path / "x", np.float64, "w+", shape=(20, 3))
    whole[:] = np.arange(60.0).reshape(20, 3)
    found = mapped_file(np.asarray(whole))
    assert found is not None
    np.testing.assert_array_equal(found.open(), whole)
    for other in (whole[2:], whole[:, :2], whole.T[:, :3], np.array(whole), whole.astype(np.float32)):
        assert mapped_file(other) is None


@pytest.mark.parametrize("mapped", [False, True])
def test_only_the_rows_of_its_parts_are_sent(tmp_path: Path, mapped: bool) -> None:
    x = np.arange(3000.0).reshape(1000, 3)
    np.save(tmp_path / "x.npy", x)
    file = mapped_file(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert isinstance(file, MappedFile)
    rows = Rows(file if mapped else x, np.arange(1000), None)
    parts = [np.array([5, 9]), np.array([0, 5, 999])]
    sent, numbers = rows.packed(parts)
    assert len(pickle.dumps(sent)) < 2000
    for part, number in zip(parts, numbers, strict=True):
        features, targets, _ = sent.take(number)
        np.testing.assert_array_equal(features, x[part])
        np.testing.assert_array_equal(targets, part)


# Parquet


def test_parquet_is_fitted_by_row_group(tmp_path: Path) -> None:
    x, y = logistic(1800, features=3)
    names = np.array(["no", "yes"])[y]
    path = write(tmp_path / "rows.parquet", x, names, 300)
    fitted = RadonMachineClassifier(LogisticRegression(), random_state=0).fit(Parquet(path, target="label"))
    assert (fitted.height_, fitted.n_models_, fitted.n_features_in_) == (1, 6, 3)
    assert fitted.feature_names_in_.tolist() == ["x0", "x1", "x2"]
    assert fitted.classes_.tolist() == ["no", "yes"]
    assert fitted.score(named(x), names) > LogisticRegression().fit(x, names).score(x, names) - 0.02


@pytest.mark.parametrize("groups", [1, 4, 18])
def test_any_number_of_row_groups(tmp_path: Path, groups: int) -> None:
    """One group fits all parts, few fit some each, and of many neighbours are read together."""
    x, y = logistic(1800, features=3)
    path = write(tmp_path / "rows.parquet", x, y, 1800 // groups)
    fitted = machine(LogisticRegression(), height=1).fit(Parquet(path, target="label"))
    assert fitted.n_models_ == 6
    assert fitted.score(named(x), y) > LogisticRegression().fit(x, y).score(x, y) - 0.02


def test_a_folder_weights_and_chosen_columns(tmp_path: Path) -> None:
    x, y = logistic(1000, features=3)
    wrong = np.arange(1000) % 2 == 0
    for i in range(2):
        half = slice(500 * i, 500 * i + 500)
        spoilt = np.where(wrong, 1 - y, y)[half]
        write(tmp_path / f"{i}.parquet", x[half], spoilt, 250, w=np.where(wrong, 0.0, 1.0)[half], note="text")
    rows = Parquet(tmp_path, target="label", weight="w", features=["x0", "x1", "x2"])
    assert len(rows) == 4
    full = LogisticRegression().fit(x, y).score(x, y)
    assert machine(LogisticRegression()).fit(rows).score(named(x), y) > full - 0.02
    assert tuple(Parquet(tmp_path, target="label").names) == ("x0", "x1", "x2", "w")
    with pytest.raises(BadSetting, match="Nearest cannot weight samples"):
        RadonMachineClassifier(Nearest()).fit(rows)


def test_maps_are_shared_by_partitions(tmp_path: Path) -> None:
    """All rows fit into the pilot, so the scaler is that of all rows."""
    x, y = logistic(1200, features=2)
    x = x * [1.0, 1000.0]
    path = write(tmp_path / "rows.parquet", x, y, 200)
    fitted = machine(make_pipeline(StandardScaler(), LogisticRegression())).fit(Parquet(path, target="label"))
    np.testing.assert_allclose(fitted.estimator_[0].mean_, x.mean(axis=0))
    assert fitted.score(named(x), y) > 0.8


def test_learners_with_parameters_of_their_own_and_regression(tmp_path: Path) -> None:
    x, y = logistic(1200, features=2)
    path = write(tmp_path / "rows.parquet", x, y, 300)
    own = RadonMachineClassifier(Nearest(), random_state=0).fit(Parquet(path, target="label"))
    assert own.radon_number_ == 6
    target = x @ [1.0, -1.0] + 3
    path = write(tmp_path / "numbers.parquet", x, target, 300)
    np.testing.assert_allclose(machine(Ridge()).fit(Parquet(path, target="label")).predict(named(x)), target, atol=0.1)


def test_a_partition_without_a_class_is_left_out_and_counted(tmp_path: Path) -> None:
    """Rows in order of their class: the parts of the first groups know one class only."""
    x, y = logistic(2400, features=2)
    order = np.argsort(y, kind="stable")
    path = write(tmp_path / "rows.parquet", x[order], y[order], 300)
    with pytest.warns(MachineWarning, match="local fits failed"), pytest.raises(BadData, match="are usable"):
        machine(LogisticRegression(), height=1).fit(Parquet(path, target="label"))


def test_what_is_wrong_with_a_file_is_named(tmp_path: Path) -> None:
    x, y = logistic(100, features=2)
    path = write(tmp_path / "rows.parquet", x, y, 50)
    with pytest.raises(BadData, match=r"There is no Parquet file at .*missing.parquet"):
        Parquet(tmp_path / "missing.parquet", target="label")
    with pytest.raises(BadData, match=r"has no column 'labl'. Did you mean 'label'"):
        Parquet(path, target="labl")
    with pytest.raises(BadSetting, match="names its target and weights itself"):
        RadonMachineClassifier(LogisticRegression()).fit(Parquet(path, target="label"), y)
    with pytest.raises(BadSetting, match="min_score needs rows held out"):
        machine(LogisticRegression(), min_score=0.5).fit(Parquet(path, target="label"))
    x[70, 1] = np.nan
    with pytest.raises(BadData, match="Partition 1 contains NaN or infinity"):
        machine(LogisticRegression()).fit(Parquet(write(path, x, y, 50), target="label"))


def test_a_scrap_of_a_partition_fits_no_part(tmp_path: Path) -> None:
    """1803 rows in groups of 600: the last three rows are left out, and no model is lost for them."""
    x, y = logistic(1803, features=3)
    path = write(tmp_path / "rows.parquet", x, y, 600)
    fitted = machine(LogisticRegression(), height=1).fit(Parquet(path, target="label"))
    assert (fitted.n_models_, fitted.n_dropped_) == (6, 0)
    path = write(tmp_path / "uneven.parquet", x[:640], y[:640], 600)
    with pytest.warns(MachineWarning, match="40 of 640 rows lie in partitions too small"):
        assert machine(LogisticRegression(), height=1).fit(Parquet(path, target="label")).n_models_ == 6


@pytest.mark.parametrize(
    "learner",
    [LogisticRegression(), LinearSVC(), SVC(kernel="linear"), SGDClassifier()],
    ids=lambda m: type(m).__name__,
)
def test_no_row_leaves_its_partition_with_the_models(learner: Any) -> None:
    """What a partition answers is searched, byte by byte, for the numbers of its rows."""
    x, y = logistic(400, features=3)
    layout = Layout(learner, 2, False)
    work = Work(learner, layout, None, np.array([0, 1]), 0)
    fitted = _fit_partition(x, y, None, work, 4, 0)
    answer = pickle.dumps(fitted)
    assert sum(one.model is not None for one in fitted) == 2
    assert not [value for value in x.ravel() if value.tobytes() in answer]
    assert len(answer) < 6000
    if isinstance(learner, SVC):
        first = next(value for value in x.ravel() if value in SVC(kernel="linear").fit(x, y).support_vectors_)
        assert first.tobytes() in pickle.dumps(SVC(kernel="linear").fit(x, y))
