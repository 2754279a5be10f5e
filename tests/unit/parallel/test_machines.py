"""What a machine makes of settings, data and learners."""

from __future__ import annotations

from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.datasets import make_regression
from sklearn.ensemble import RandomForestClassifier
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC

from tests.unit.parallel.learners import Nearest, Secretive, logistic
from unpooled.combine import Radon, TrimmedMean, geometric_median, mean
from unpooled.errors import BadData, BadSetting
from unpooled.parallel import (
    AveragingMachineClassifier,
    AveragingMachineRegressor,
    MachineWarning,
    RadonMachine,
    RadonMachineClassifier,
    RadonMachineRegressor,
)
from unpooled.parallel.penalty import scaled


def machine(estimator: Any, **settings: Any) -> Any:
    return RadonMachine(estimator, **{"random_state": 0, "min_samples": 50, **settings})


def test_a_radon_machine_is_of_the_kind_of_its_estimator() -> None:
    assert type(RadonMachine(LinearSVC())) is RadonMachineClassifier
    assert type(RadonMachine(make_pipeline(StandardScaler(), Ridge()), height=1)) is RadonMachineRegressor
    with pytest.raises(BadSetting, match="does not say whether it classifies"):
        RadonMachine(object())


def test_the_models_of_all_parts_become_their_radon_point() -> None:
    """Every part by hand: dealt rows, a scaled penalty, one Radon point of the coefficients."""
    x, y = logistic(2000)
    fitted = machine(LogisticRegression(), height=1).fit(x, y)
    assert (fitted.radon_number_, fitted.height_, fitted.n_models_) == (8, 1, 8)
    models, point = fitted.levels_
    assert models.shape == (1, 8, 6)
    assert point.shape == (1, 1, 6)
    np.testing.assert_array_equal(fitted.estimator_.coef_[0], point[0, 0, :5])
    assert fitted.estimator_.intercept_[0] == point[0, 0, 5]
    assert (point[0, 0] > models[0].min(axis=0)).all()
    assert (point[0, 0] < models[0].max(axis=0)).all()
    assert fitted.hull_gap_max_ < 1e-8
    assert 1 < fitted.cond_max_ < 1e6
    np.testing.assert_array_equal(Radon(height=1)(models[0]), Radon(height=1)(models[0]))
    full = LogisticRegression().fit(x, y)
    assert np.corrcoef(fitted.decision_function(x), full.decision_function(x))[0, 1] > 0.995


def test_the_mean_of_linear_models_scores_as_the_mean_of_their_scores() -> None:
    """Soft votes over the same parts: an identity for decision functions of linear models."""
    x, y = logistic(1500)
    fitted = machine(LinearSVC(), combine="mean").fit(x, y)
    rows = fitted.levels_[0][0]
    votes = np.mean([x @ row[:-1] + row[-1] for row in rows], axis=0)
    np.testing.assert_allclose(fitted.decision_function(x), votes, atol=1e-12)


def test_the_penalty_keeps_its_strength_in_a_part() -> None:
    """Copies of the same rows in every part: with a scaled penalty each part's model is that of all rows."""
    x, y = make_regression(60, 2, noise=5.0, random_state=0)
    x, y = np.tile(x, (5, 1)), np.tile(y, 5)

    class Same(Ridge):  # type: ignore[misc]
        """Sees the sixty rows, whichever it is given, so that only the penalty differs."""

        def fit(self, x_part: Any, y_part: Any, sample_weight: Any = None) -> Any:
            return super().fit(x[:60], y[:60])

    fitted = machine(Same(alpha=50.0), height=1).fit(x, y)
    np.testing.assert_allclose(fitted.estimator_.coef_, Ridge(alpha=50.0).fit(x, y).coef_, rtol=1e-9)
    as_given = machine(Same(alpha=50.0), height=1, scale_penalty=False).fit(x, y)
    np.testing.assert_allclose(as_given.estimator_.coef_, Ridge(alpha=50.0).fit(x[:60], y[:60]).coef_, rtol=1e-9)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_the_penalty_of_libsvm_follows_as_far_as_it_counts(form: Any) -> None:
    """Its time grows with C; a small C must not shrink parts, and a large one need not grow."""
    x, y = logistic(1200, features=3)
    whole = SVC(kernel="linear", C=0.01).fit(x, y).coef_
    parts = machine(SVC(kernel="linear", C=0.01)).fit(form(x), y).estimator_.coef_
    shrunk = machine(SVC(kernel="linear", C=0.01), scale_penalty=False).fit(form(x), y).estimator_.coef_
    assert np.linalg.norm(parts - whole) < 0.2 * np.linalg.norm(whole)
    assert np.linalg.norm(shrunk - whole) > 0.3 * np.linalg.norm(whole)
    narrow = scaled(SVC(C=0.01), 0.001, form(x * [1.0, 0.5, 2.0]))
    assert 3.2 < narrow.C < 4.8, "one over the least variance, 0.25"
    assert scaled(SVC(C=7.0), 0.01, form(x)).C == 7.0
    assert scaled(SVC(C=0.01), 0.01, form(np.ones((5, 2)))).C == 1.0


@pytest.mark.parametrize("multi_class", ["stacked", "one_vs_rest"])
@pytest.mark.parametrize(
    "learner", [LogisticRegression(), LinearSVC(), RidgeClassifier(), SGDClassifier(loss="log_loss", alpha=0.01)]
)
def test_several_classes(learner: Any, multi_class: str) -> None:
    x, y = logistic(4000, features=3, classes=3)
    names = np.array(["ash", "birch", "cedar"])[y]
    fitted = machine(learner, multi_class=multi_class).fit(x, names)
    assert fitted.classes_.tolist() == ["ash", "birch", "cedar"]
    softmax = isinstance(learner, LogisticRegression) and multi_class == "stacked"
    assert fitted.radon_number_ == {"stacked": 8 + 2 if softmax else 12 + 2, "one_vs_rest": 4 + 2}[multi_class]
    full = clone(learner).fit(x, names)
    assert fitted.score(x, names) > full.score(x, names) - 0.02
    assert hasattr(fitted, "predict_proba") == hasattr(learner, "predict_proba")


def test_one_machine_a_class_by_scikit_learn() -> None:
    x, y = logistic(3000, features=3, classes=3)
    fitted = OneVsRestClassifier(machine(LinearSVC())).fit(x, y)
    assert fitted.score(x, y) > LinearSVC().fit(x, y).score(x, y) - 0.02


def test_methods_are_those_of_the_learner_inside() -> None:
    assert not hasattr(machine(LinearSVC()), "predict_proba")
    assert not hasattr(machine(LinearSVC()), "partial_fit")
    assert not hasattr(machine(Ridge()), "decision_function")
    assert not hasattr(machine(Nearest()), "decision_function")
    assert hasattr(machine(LogisticRegression()), "predict_log_proba")
    assert hasattr(machine(make_pipeline(StandardScaler(), SGDClassifier())), "partial_fit")


def test_a_linear_libsvm_model_becomes_one_of_the_linear_kind() -> None:
    x, y = logistic(1200, features=3)
    fitted = machine(SVC(kernel="linear")).fit(x, y)
    assert isinstance(fitted.estimator_, LinearSVC)
    whole = SVC(kernel="linear").fit(x, y)
    assert np.mean(fitted.predict(x) == whole.predict(x)) > 0.97
    assert not hasattr(fitted, "predict_proba")
    target = x @ [1.0, 2.0, 3.0] + 1
    regression = machine(SVR(kernel="linear")).fit(x, target)
    np.testing.assert_allclose(regression.predict(x), target, atol=0.3)


def test_any_learner_with_a_parameter_vector() -> None:
    x, y = logistic(3000, features=2)
    fitted = machine(Nearest()).fit(x, y)
    assert fitted.radon_number_ == 2 * 2 + 2
    assert fitted.n_models_ in (6, 36)
    assert isinstance(fitted.estimator_, Nearest)
    assert fitted.score(x, y) > Nearest().fit(x, y).score(x, y) - 0.01


@pytest.mark.parametrize(
    ("learner", "word"),
    [
        (SVC(), "no parameter vector of fixed length"),
        (RandomForestClassifier(5), "has no parameter vector"),
        (Secretive(), "do not decide about its predictions alone"),
        (PLSRegression(1), "do not decide about its predictions alone"),
    ],
)
def test_learners_that_cannot_be_combined_are_refused(learner: Any, word: str) -> None:
    x, y = logistic(1000, features=3)
    settings = {"height": 1} if not isinstance(learner, RandomForestClassifier) else {"height": 0}
    with pytest.raises(BadSetting, match=word), pytest.warns(MachineWarning) if settings["height"] == 0 else _calm():
        machine(learner, **settings).fit(x, y)


def _calm() -> Any:
    import contextlib

    return contextlib.nullcontext()


def test_pairs_of_classes_are_refused() -> None:
    x, y = logistic(600, features=2, classes=3)
    with pytest.raises(BadSetting, match="compares 3 classes in pairs: use LinearSVC"):
        machine(SVC(kernel="linear")).fit(x, y)


# Rows and what belongs to them


def test_sparse_rows_give_what_dense_ones_do() -> None:
    x, y = logistic(1000)
    x = np.where(np.abs(x) > 1, x, 0.0)
    dense, thin = (machine(LogisticRegression()).fit(form, y) for form in (x, sparse.csr_array(x)))
    np.testing.assert_allclose(thin.estimator_.coef_, dense.estimator_.coef_, atol=1e-4)
    np.testing.assert_allclose(thin.predict_proba(sparse.csr_array(x)), dense.predict_proba(x), atol=1e-4)


def test_tables_keep_the_names_of_their_columns() -> None:
    x, y = logistic(900, features=2)
    table = pd.DataFrame(x, columns=["age", "height"])
    fitted = machine(LogisticRegression()).fit(table, y)
    assert fitted.feature_names_in_.tolist() == ["age", "height"]
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(table[["height", "age"]])


def test_weights_reach_the_learner() -> None:
    """Rows of weight 0 count for nothing: labels that are all wrong there do no harm."""
    x, y = logistic(2000)
    wrong = np.arange(len(y)) % 2 == 0
    spoilt = np.where(wrong, 1 - y, y)
    fitted = machine(LogisticRegression(), height=1).fit(x, spoilt, sample_weight=np.where(wrong, 0.0, 1.0))
    assert fitted.score(x, y) > LogisticRegression().fit(x, y).score(x, y) - 0.02
    assert machine(LogisticRegression(), height=1).fit(x, spoilt).score(x, y) < 0.7
    with pytest.raises(BadSetting, match="Nearest cannot weight samples"):
        machine(Nearest(), height=1).fit(x, y, np.ones(len(y)))


def test_a_grid_and_a_pipeline_take_it() -> None:
    x, y = logistic(1500, features=3)
    grid = GridSearchCV(
        make_pipeline(StandardScaler(), machine(LogisticRegression())),
        {"radonmachineclassifier__estimator__C": [1e-4, 1.0], "radonmachineclassifier__combine": ["radon", "mean"]},
        cv=2,
    ).fit(x, y)
    assert grid.best_params_["radonmachineclassifier__estimator__C"] == 1.0
    assert grid.best_score_ > 0.7


def test_the_seed_decides_and_workers_do_not() -> None:
    x, y = logistic(1000, features=3)
    learner = SGDClassifier(max_iter=5, tol=None)
    one, two = (machine(learner, n_jobs=n).fit(x, y).estimator_.coef_ for n in (1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, machine(learner, random_state=1).fit(x, y).estimator_.coef_)
    fresh = [machine(learner, random_state=None).fit(x, y).estimator_.coef_ for _ in range(2)]
    assert not np.array_equal(*fresh)


# Maps


def test_the_steps_of_a_pipeline_are_shared_by_all_parts() -> None:
    """Scaling inside gives what scaling all rows before gives, and not what each part's own scaling would."""
    x, y = logistic(1500, features=3)
    x = x * [1.0, 100.0, 0.01] + [0.0, 5.0, 1.0]
    inside = machine(make_pipeline(StandardScaler(), LogisticRegression())).fit(x, y)
    named = machine(LogisticRegression(), feature_map="scale").fit(x, y)
    before = machine(LogisticRegression()).fit(StandardScaler().fit_transform(x), y)
    for fitted in (inside, named):
        np.testing.assert_allclose(fitted.estimator_[-1].coef_, before.estimator_.coef_, rtol=1e-6)
    np.testing.assert_allclose(inside.predict_proba(x), named.predict_proba(x))


@pytest.mark.parametrize("feature_map", ["fourier", "nystroem", RBFSampler(gamma=0.5, n_components=15, random_state=1)])
def test_a_map_makes_a_linear_learner_follow_a_circle(feature_map: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6000, 2))
    y = (x**2).sum(axis=1) > 1.4
    assert machine(LogisticRegression(), min_samples=100).fit(x, y).score(x, y) < 0.7
    mapped = machine(LogisticRegression(C=100.0), feature_map=feature_map, min_samples=100).fit(x, y)
    assert mapped.height_ == 1
    assert mapped.score(x, y) > 0.9


def test_a_projection_makes_many_features_few() -> None:
    x, y = logistic(4000, features=60)
    fitted = machine(LogisticRegression(), feature_map="projection").fit(x, y)
    assert fitted.radon_number_ == 20 + 1 + 2
    with pytest.raises(BadSetting, match=r"no feature map 'furier'.*Did you mean 'fourier'"):
        machine(LogisticRegression(), feature_map="furier").fit(x, y)


# Combiners


@pytest.mark.parametrize(
    "combine",
    ["mean", "coordinate_median", "geometric_median", {"kind": "trimmed_mean", "trim": 0.3}, TrimmedMean(0.3), "krum"],
)
def test_any_combiner_takes_the_models_of_the_same_parts(combine: Any) -> None:
    x, y = logistic(2000)
    radon, other = (machine(LogisticRegression(), combine=c).fit(x, y) for c in ("radon", combine))
    np.testing.assert_array_equal(np.sort(other.levels_[0], axis=1), np.sort(radon.levels_[0], axis=1))
    assert np.isnan(other.hull_gap_max_)
    assert other.score(x, y) > radon.score(x, y) - 0.05


def test_a_function_of_your_own_combines() -> None:
    x, y = logistic(1000)
    own = machine(LogisticRegression(), combine=lambda rows: rows.mean(axis=0)).fit(x, y)
    given = machine(LogisticRegression(), combine=mean).fit(x, y)
    np.testing.assert_allclose(own.estimator_.coef_, given.estimator_.coef_)
    with pytest.raises(BadSetting, match="jitter is for the Radon point"):
        machine(LogisticRegression(), combine=geometric_median, jitter=0.1).fit(x, y)


def test_jitter_moves_the_point_a_little() -> None:
    x, y = logistic(2000)
    plain, moved = (machine(LogisticRegression(), jitter=j).fit(x, y) for j in (0.0, 0.1))
    difference = np.abs(plain.estimator_.coef_ - moved.estimator_.coef_).max()
    assert 0 < difference < plain.levels_[0].std(axis=1).max()


@pytest.mark.parametrize("kind", [AveragingMachineClassifier, AveragingMachineRegressor])
def test_an_averaging_machine_averages(kind: Any) -> None:
    x, y = logistic(400)
    fitted = kind(LinearRegression() if kind is AveragingMachineRegressor else LinearSVC(), n_models=3, random_state=0)
    fitted.fit(x, y)
    assert fitted.n_models_ == 3
    np.testing.assert_allclose(fitted.levels_[-1][0, 0], fitted.levels_[0][0].mean(axis=0))
    with pytest.raises(BadSetting, match="n_models=500 parts need as many rows, got 400"):
        kind(LinearRegression(), n_models=500).fit(x, y)


# Size, warnings, and settings that cannot be


def test_fewer_rows_than_a_radon_point_needs() -> None:
    x, y = logistic(300, features=3)
    with pytest.warns(MachineWarning, match=r"One model is fitted to all 300 rows: .*needs 6 parts of min_samples=100"):
        fitted = machine(LogisticRegression(), min_samples=100).fit(x, y)
    np.testing.assert_allclose(fitted.estimator_.coef_, LogisticRegression().fit(x, y).coef_, rtol=1e-6)
    assert (fitted.height_, fitted.n_models_, fitted.levels_) == (0, 1, ())
    with pytest.raises(BadSetting, match=r"height 2 over 4-parameter models needs 6\^2 = 36 parts .* got 35 rows"):
        machine(LogisticRegression(), height=2).fit(x[:35], y[:35])


def test_parts_of_few_rows_are_warned_of() -> None:
    x, y = logistic(100, features=3)
    with pytest.warns(MachineWarning, match="Parts of 11 rows are fewer than 3 for each of 4 parameters"):
        machine(LogisticRegression(), height=1).fit(x[:66], y[:66])


def test_solvers_that_stop_early_are_counted() -> None:
    x, y = logistic(600, features=3)
    with pytest.warns() as told:
        fitted = machine(LogisticRegression(max_iter=1), height=1).fit(x, y)
    assert fitted.n_unconverged_ == 6
    assert any("6 of 6 local fits stopped at max_iter" in str(w.message) for w in told)


def test_too_many_bad_models_are_warned_of() -> None:
    """p is measured on rows held out; t for r = 6 is 1 / 15."""
    x, y = logistic(1000, features=3)
    with pytest.warns(MachineWarning, match="100.0% of the local models score less than 0.99 on rows held out"):
        fitted = machine(LogisticRegression(), min_score=0.99).fit(x, y)
    assert fitted.bad_share_ == 1.0
    assert machine(LogisticRegression(), min_score=0.5).fit(x, y).bad_share_ == 0.0


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"height": "tall"}, "height must be 'max' or a whole number"),
        ({"height": -1}, "height must be 'max' or a whole number"),
        ({"min_samples": 0}, "min_samples must be a whole number"),
        ({"combine": "medoid"}, "There is no combiner 'medoid'"),
        ({"jitter": -1.0}, "jitter must be a finite number"),
        ({"multi_class": "pairs"}, "multi_class is 'stacked' or 'one_vs_rest'"),
        ({"feature_map": 3}, "feature_map is None, one of"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: dict[str, Any], word: str) -> None:
    x, y = logistic(300, features=2)
    with pytest.raises(BadSetting, match=word):
        machine(LogisticRegression(), **settings).fit(x, y)


def test_one_class_is_refused() -> None:
    with pytest.raises(BadData, match="y has one class"):
        machine(LogisticRegression()).fit(np.ones((9, 2)), np.ones(9))


def test_the_critical_path_is_the_slowest_part_and_the_combination() -> None:
    x, y = logistic(1000)
    times = machine(LogisticRegression()).fit(x, y).timings_
    assert times["critical_path"] == times["slowest_part"] + times["combine"]
    assert times["slowest_part"] <= times["parts_total"]
    assert times["parts_total"] <= times["fit"]


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_workers_give_the_model_of_one_process(backend: str) -> None:
    """On other machines: tests/engines."""
    x, y = logistic(1200, features=3)
    settings = {"min_samples": 50, "random_state": 0}
    alone = RadonMachineClassifier(LogisticRegression(), n_jobs=1, **settings).fit(x, y)
    with joblib.parallel_config(backend, n_jobs=2):
        spread = RadonMachineClassifier(LogisticRegression(), n_jobs=2, **settings).fit(x, y)
    np.testing.assert_allclose(spread.levels_[0], alone.levels_[0], rtol=1e-9)
    np.testing.assert_allclose(spread.estimator_.coef_, alone.estimator_.coef_, rtol=1e-6)
