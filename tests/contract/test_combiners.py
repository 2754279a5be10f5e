"""Whatever holds for every combiner; a newcomer is one line in `unpooled.combine.COMBINERS`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unpooled.combine import COMBINERS, Array, coordinate_median, mean
from unpooled.errors import BadSetting

every_combiner = pytest.mark.parametrize("combine", COMBINERS.values(), ids=COMBINERS)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@st.composite
def stacks(draw: st.DrawFn) -> Array:
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 5)))
    number = st.floats(-1e6, 1e6, allow_nan=False, width=64)
    return draw(arrays(np.float64, shape, elements=number))


def test_these_are_all_combiners() -> None:
    assert set(COMBINERS) == {"mean", "coordinate_median"}


@every_combiner
@given(rows=stacks(), seed=st.integers(0, 99))
def test_the_order_of_models_does_not_matter(combine, rows: Array, seed: int) -> None:  # type: ignore[no-untyped-def]
    order = np.random.default_rng(seed).permutation(len(rows))
    weights = np.random.default_rng(seed).integers(1, 5, len(rows))
    np.testing.assert_allclose(combine(rows[order]), combine(rows), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(combine(rows[order], weights[order]), combine(rows, weights), rtol=1e-12, atol=1e-9)


@every_combiner
@both_dtypes
@pytest.mark.parametrize("weights", [None, [1, 5, 2]])
def test_equal_models_give_that_model(combine, dtype: type, weights: list[int] | None) -> None:  # type: ignore[no-untyped-def]
    row = np.array([0.1, -3e7, 1e-9, 0.0], dtype=dtype)
    given_weights = None if weights is None else np.array(weights)
    combined = combine(np.tile(row, (3, 1)), given_weights)
    np.testing.assert_allclose(combined, row, rtol=1e-6 if dtype is np.float32 else 1e-14)
    assert combined.shape == row.shape
    assert combined.dtype == dtype


@every_combiner
@given(rows=stacks())
def test_the_result_lies_between_the_models(combine, rows: Array) -> None:  # type: ignore[no-untyped-def]
    combined = combine(rows)
    slack = 1e-9 + 1e-12 * np.abs(rows).max()
    assert (combined >= rows.min(axis=0) - slack).all()
    assert (combined <= rows.max(axis=0) + slack).all()


@every_combiner
@given(rows=stacks(), shift=st.floats(-100, 100), scale=st.floats(0.01, 100))
def test_shifting_and_scaling_the_models_shifts_and_scales_the_result(  # type: ignore[no-untyped-def]
    combine, rows: Array, shift: float, scale: float
) -> None:
    np.testing.assert_allclose(combine(rows * scale + shift), combine(rows) * scale + shift, rtol=1e-9, atol=1e-6)


@every_combiner
@given(rows=stacks().filter(lambda r: len(r) % 2 == 1), weight=st.integers(1, 9))
def test_equal_weights_are_no_weights(combine, rows: Array, weight: int) -> None:  # type: ignore[no-untyped-def]
    """For an odd number of models; the weighted median of an even number is the lower of the middle two."""
    weighted = combine(rows, np.full(len(rows), weight))
    np.testing.assert_allclose(weighted, combine(rows), rtol=1e-12, atol=1e-9)


@every_combiner
@given(rows=stacks(), seed=st.integers(0, 99), factor=st.integers(1, 9))
def test_weights_stand_for_repeated_models(combine, rows: Array, seed: int, factor: int) -> None:  # type: ignore[no-untyped-def]
    weights = np.random.default_rng(seed).integers(0, 4, len(rows))
    weights[0] += 1
    if weights.sum() % 2 == 0:  # odd, so that a median is one of the models
        weights[0] += 1
    repeated = np.repeat(rows, weights, axis=0)
    np.testing.assert_allclose(combine(rows, weights * factor), combine(repeated), rtol=1e-12, atol=1e-9)


@every_combiner
def test_the_models_are_left_as_they_were(combine) -> None:  # type: ignore[no-untyped-def]
    rows = np.random.default_rng(0).normal(size=(5, 3))
    before = rows.copy()
    rows.flags.writeable = False
    combined = combine(rows)
    assert np.array_equal(rows, before)
    assert not np.shares_memory(combined, rows)


@every_combiner
@pytest.mark.parametrize("weights", [[1, 1], [1, -1, 1], [0, 0, 0], [[1, 1, 1]], [np.nan, 1, 1]])
def test_weights_that_cannot_be_used_are_refused(combine, weights: list[float]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadSetting, match="3 models need as many weights, none below 0"):
        combine(np.ones((3, 2)), np.array(weights))


def test_the_median_resists_what_moves_the_mean() -> None:
    rows = np.array([[0.0], [1.0], [2.0], [3.0], [1e9]])
    assert coordinate_median(rows).tolist() == [2.0]
    assert mean(rows)[0] > 1e8


def test_float32_sums_are_taken_in_double_precision() -> None:
    """2**24 + 1 is no float32: a running float32 sum would lose each of the ones."""
    rows = np.array([[2.0**24]] + [[1.0]] * 8, dtype=np.float32)
    assert mean(rows)[0] == np.float32((2.0**24 + 8) / 9)
