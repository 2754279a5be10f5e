"""Numbers checked by hand, against the plain references, SciPy, and what each method alone promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import trim_mean

from unpooled.combine import (
    Array,
    Bulyan,
    GeometricMedian,
    Krum,
    MultiKrum,
    NormClippedMean,
    TrimmedMean,
    bulyan,
    geometric_median,
    krum,
    mean,
    reference,
    trimmed_mean,
)
from unpooled.errors import BadSetting

seeds = given(seed=st.integers(0, 9999))


def normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


@seeds
def test_krum_and_its_relatives_are_their_plain_references(seed: int) -> None:
    for corrupt in (0, 1, 2):
        rows = normal(seed, 4 * corrupt + 4, 3)
        np.testing.assert_allclose(Krum(corrupt).detailed(rows).details["scores"], reference.krum_scores(rows, corrupt))
        assert np.array_equal(Krum(corrupt)(rows), reference.krum(rows, corrupt))
        np.testing.assert_allclose(MultiKrum(corrupt, 3)(rows), reference.multi_krum(rows, corrupt, 3), atol=1e-12)
        np.testing.assert_allclose(Bulyan(corrupt)(rows), reference.bulyan(rows, corrupt), atol=1e-12)


@seeds
def test_the_trimmed_mean_is_that_of_scipy(seed: int) -> None:
    rows = normal(seed, 10 + seed % 13, 4)
    for trim in (0.1, 0.2, 0.29, 0.45):
        np.testing.assert_allclose(TrimmedMean(trim)(rows), trim_mean(rows, trim, axis=0), atol=1e-13)
        np.testing.assert_allclose(TrimmedMean(trim)(rows), reference.trimmed_mean(rows, trim), atol=1e-13)


def test_binary_fractions_do_not_change_how_many_are_trimmed() -> None:
    """0.29 * 100 is 28.999999999999996 in floating point."""
    assert TrimmedMean(0.29).detailed(normal(0, 100, 2)).details["trimmed"] == 29


def test_a_weighted_trimmed_mean_trims_parts_of_weights() -> None:
    """Of weights 1, 2, 1 the share 0.3 goes on each side: all of the ends, and 0.05 of the middle's 0.5."""
    rows = np.array([[0.0], [1.0], [9.0]])
    assert TrimmedMean(0.3)(rows, np.array([1, 2, 1])).tolist() == [1.0]
    # trim 0.1 of weights 1, 1, 2: (0.25 - 0.1) * 0 + 0.25 * 1 + (0.5 - 0.1) * 9 = 3.85, over 0.8
    assert TrimmedMean(0.1)(rows, np.array([1, 1, 2]))[0] == pytest.approx(3.85 / 0.8)


@settings(max_examples=25)
@seeds
def test_the_geometric_median_is_what_scipy_finds(seed: int) -> None:
    rows = normal(seed, 3 + seed % 9, 2 + seed % 4)
    weights = np.random.default_rng(seed).uniform(0.5, 1.5, len(rows))

    def objective(point: Array) -> float:
        return float(weights @ np.linalg.norm(rows - point, axis=1))

    found = geometric_median.detailed(rows, weights)
    nearest = np.linalg.norm(rows - found.row, axis=1).min()
    assert found.details["converged"] or nearest < 0.01  # the iteration crawls, and says so, close to a model
    best = minimize(objective, rows.mean(axis=0), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    assert objective(found.row) <= best.fun * (1 + 1e-9)
    np.testing.assert_allclose(found.details["objective"], objective(found.row) / weights.sum())


@settings(max_examples=25)
@seeds
def test_the_geometric_median_is_that_of_the_plain_iteration(seed: int) -> None:
    rows = normal(seed, 7, 3)
    plain = reference.weiszfeld(rows, 3000)
    if np.linalg.norm(rows - plain, axis=1).min() > 1e-3:  # else the median is a model, where the plain form stalls
        np.testing.assert_allclose(geometric_median(rows), plain, atol=1e-7)


@pytest.mark.parametrize(
    ("rows", "median"),
    [
        (
            [[0, 0], [4, 0], [0, 4], [1, 1]],
            [1, 1],
        ),  # inside a triangle: the fourth point, where plain Weiszfeld divides by 0
        ([[0, 0], [0, 0], [0, 0], [5, 1], [9, 9]], [0, 0]),  # more than half at one point
        ([[0.0], [1.0], [2.0], [3.0], [1e9]], [2.0]),  # on a line: the middle
        ([[-1, 0], [1, 0], [0, -1], [0, 1], [0, 0]], [0, 0]),  # start and median are a model
        ([[0, 0], [2, 0], [1, 3**0.5]], [1, 3**-0.5]),  # equilateral: the Fermat point is the centre
        ([[1.0, 2.0]], [1, 2]),
        ([[0.0, 0.0], [1.0, 1.0]], [0.5, 0.5]),  # any point between is one: the middle by choice
    ],
)
def test_geometric_medians_known_by_hand(rows: Any, median: list[float]) -> None:
    found = geometric_median.detailed(np.array(rows, dtype=float))
    np.testing.assert_allclose(found.row, median, atol=1e-8)
    assert found.details["converged"]


def test_the_geometric_median_leaves_a_model_that_is_not_the_median() -> None:
    """The coordinate median of these is a model; the plain iteration would divide by zero there."""
    rows = np.array([[0.0, 0], [1, 0], [0, 1], [-3, 0.5], [0.5, -3]])
    assert np.array_equal(np.median(rows, axis=0), rows[0])
    rows[0] += 0.0
    found = geometric_median(rows)
    gradient = sum((rows[i] - found) / np.linalg.norm(rows[i] - found) for i in range(1, 5))
    assert np.linalg.norm(found - rows[0]) > 1e-3 or np.linalg.norm(gradient) <= 1


def test_a_geometric_median_that_ran_out_of_steps_says_so() -> None:
    details = GeometricMedian(limit=2).detailed(normal(0, 9, 3)).details
    assert (details["iterations"], details["converged"]) == (2, False)


@seeds
def test_the_geometric_median_turns_with_the_models(seed: int) -> None:
    rows = normal(seed, 8, 3)
    rotation = np.linalg.qr(normal(seed + 1, 3, 3))[0]
    np.testing.assert_allclose(geometric_median(rows @ rotation), geometric_median(rows) @ rotation, atol=1e-7)


def test_norm_clipping_by_hand() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.5]])
    # bound 1 about the origin: (0.6, 0.8) and (0, 0.5)
    clipped = NormClippedMean(bound=1.0, centre="zero").detailed(rows)
    np.testing.assert_allclose(clipped.row, [0.3, 0.65])
    assert clipped.details["clipped"].tolist() == [True, False]
    # a bound below all norms: the direction of the mean of unit vectors
    tiny = NormClippedMean(bound=1e-6, centre="zero")(rows)
    np.testing.assert_allclose(tiny / 1e-6, (rows / np.linalg.norm(rows, axis=1)[:, None]).mean(axis=0))
    # a bound above all distances: the mean
    np.testing.assert_allclose(NormClippedMean(bound=99.0)(rows), mean(rows))


@pytest.mark.parametrize("corrupt", [0, 1, 2, 5])
def test_krum_and_bulyan_need_as_many_models_as_their_papers_say(corrupt: int) -> None:
    for combine, least in ((Krum(corrupt), 2 * corrupt + 3), (Bulyan(corrupt), 4 * corrupt + 3)):
        assert combine.needed(2) == least
        assert combine.detailed(normal(0, least, 2)).details["byzantine"] == corrupt
        with pytest.raises(BadSetting, match=rf"needs at least {least} models \(\df \+ 3\), got {least - 1}"):
            combine(normal(0, least - 1, 2))


def test_the_error_names_the_next_step() -> None:
    with pytest.raises(BadSetting) as error:
        Bulyan(byzantine=3)(normal(0, 12, 2))
    assert str(error.value) == (
        "bulyan with 3 corrupt models needs at least 15 models (4f + 3), got 12: set byzantine=2 or less, or use "
        "combine.coordinate_median."
    )
    with pytest.raises(BadSetting, match=r"needs 5 models, got 4: use a larger trim, or combine\.coordinate_median"):
        trimmed_mean(normal(0, 4, 2))


def test_without_a_number_as_many_models_may_be_corrupt_as_the_papers_allow() -> None:
    rows = normal(0, 12, 2)
    assert krum.detailed(rows).details["byzantine"] == 4
    assert bulyan.detailed(rows).details["byzantine"] == 2


def test_a_model_that_is_not_finite_counts_among_the_corrupt() -> None:
    rows = normal(0, 11, 2)
    rows[4] = np.nan
    details = Bulyan(2).detailed(rows).details
    assert (details["byzantine"], details["models"], len(details["chosen"])) == (1, 10, 8)
    assert 4 not in details["chosen"]


def test_krum_returns_a_model_and_says_which() -> None:
    rows = normal(0, 9, 2)
    found = krum.detailed(rows)
    assert np.array_equal(found.row, rows[found.details["chosen"]])


@pytest.mark.parametrize("size", [1e3, 1e12, 1e200])
def test_far_outliers_cost_the_others_no_digits(size: float) -> None:
    rows = normal(0, 11, 3)
    rows[:2] *= size
    sound = rows[2:] - rows[2:].mean(axis=0)
    assert 0 not in Bulyan(2).detailed(rows).details["chosen"]
    scores = Krum(2).detailed(rows).details["scores"]
    np.testing.assert_allclose(scores[2:], reference.krum_scores(sound, 0)[:9], rtol=1e-7)
    assert np.isfinite(geometric_median(rows)).all()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (TrimmedMean, {"trim": 0.5}),
        (TrimmedMean, {"trim": 0.0}),
        (Krum, {"byzantine": -1}),
        (Krum, {"byzantine": 1.5}),
        (MultiKrum, {"keep": 0}),
        (GeometricMedian, {"tolerance": 0.0}),
        (GeometricMedian, {"limit": 0}),
        (NormClippedMean, {"bound": 0.0}),
        (NormClippedMean, {"centre": "mean"}),
    ],
)
def test_settings_that_cannot_be_used_are_refused(kind: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(BadSetting, match=next(iter(settings))):
        kind(**settings)


def test_multi_krum_does_not_keep_more_models_than_there_are() -> None:
    with pytest.raises(BadSetting, match="keeps 9 models, got 7: set keep=7"):
        MultiKrum(keep=9)(normal(0, 7, 2))
