"""Whatever holds for every combiner; a newcomer is one line in `unpooled.combine.choice` and one in `SOUND` below."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unpooled.combine import COMBINERS, Array, Combiner, ModelsLeftOut, combiner, table
from unpooled.errors import BadData, BadSetting

SOUND: dict[str, float] = {
    "mean": 0,
    "coordinate_median": 0.4,
    "trimmed_mean": 0.2,
    "geometric_median": 0.4,
    "norm_clipped_mean": 0.4,
    "krum": 0.4,
    "multi_krum": 0.4,
    "bulyan": 0.2,
    "radon": 0.0,
}
"""The share of corrupt models that is withstood in the tests below; the Radon point has its own tests."""
CHOOSES = ("krum", "multi_krum", "bulyan")
"""Ties are broken by order, so that rounding decides: these are compared where there are none."""

every_combiner = pytest.mark.parametrize("combine", COMBINERS.values(), ids=COMBINERS)
weighing = [c for c in COMBINERS.values() if c.weighs]
every_weighing = pytest.mark.parametrize("combine", weighing, ids=[c.kind for c in weighing])
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def normal(seed: int, *shape: int) -> Array:
    """Models in general position, for which no combiner has a tie to break."""
    return np.random.default_rng(seed).normal(size=shape)


@st.composite
def stacks(draw: st.DrawFn, combine: Combiner, *, exactly: bool = False, count: int | None = None) -> Array:
    """Enough models for this combiner; arbitrary numbers or, where ties or degenerate stacks matter, normal ones."""
    parameters = draw(st.integers(1, 3))
    least = combine.needed(parameters)
    models = count or (least if exactly else draw(st.integers(least, 9)))
    if combine.kind in (*CHOOSES, "radon", "geometric_median"):
        return normal(draw(st.integers(0, 999)), models, parameters) * draw(st.sampled_from([1e-6, 1.0, 1e6]))
    number = st.floats(-1e6, 1e6, allow_nan=False, width=64)
    return draw(arrays(np.float64, (models, parameters), elements=number))


def close(actual: Any, expected: Any, rows: Array, rtol: float = 1e-7) -> None:
    """Equal up to a share of the models' largest number: an iteration and linear systems stand behind some."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rtol * max(np.abs(rows).max(), 1e-300))


def test_these_are_all_combiners() -> None:
    assert set(COMBINERS) == set(SOUND)


@every_combiner
@given(data=st.data(), seed=st.integers(0, 99))
def test_the_order_of_models_does_not_matter(combine: Combiner, data: st.DataObject, seed: int) -> None:
    """For the Radon point, of as many models as one needs: otherwise the order decides about groups."""
    rows = data.draw(stacks(combine, exactly=combine.random))
    order = np.random.default_rng(seed).permutation(len(rows))
    close(combine(rows[order]), combine(rows), rows)
    if combine.weighs:
        weights = np.random.default_rng(seed).integers(1, 5, len(rows))
        close(combine(rows[order], weights[order]), combine(rows, weights), rows)


@every_combiner
@both_dtypes
@pytest.mark.parametrize("weighted", [False, True])
def test_equal_models_give_that_model(combine: Combiner, dtype: type, weighted: bool) -> None:
    row = np.array([0.1, -3e7, 1e-9, 0.0], dtype=dtype)
    weights = np.array([1, 5, 2, 1, 1, 1, 3]) if weighted and combine.weighs else None
    combined = combine(np.tile(row, (7, 1)), weights)
    np.testing.assert_allclose(combined, row, rtol=1e-6 if dtype is np.float32 else 1e-14)
    assert combined.shape == row.shape
    assert combined.dtype == dtype


@every_combiner
@given(data=st.data())
def test_the_result_lies_between_the_models(combine: Combiner, data: st.DataObject) -> None:
    rows = data.draw(stacks(combine))
    combined = combine(rows)
    slack = 1e-9 + 1e-12 * np.abs(rows).max()
    assert (combined >= rows.min(axis=0) - slack).all()
    assert (combined <= rows.max(axis=0) + slack).all()


@every_combiner
@given(data=st.data(), shift=st.floats(-100, 100), scale=st.floats(0.01, 100))
def test_shifting_and_scaling_the_models_shifts_and_scales_the_result(
    combine: Combiner, data: st.DataObject, shift: float, scale: float
) -> None:
    rows = data.draw(stacks(combine))
    largest = float(np.abs(rows).max())
    shift *= largest
    close(combine(rows * scale + shift), combine(rows) * scale + shift, np.array([abs(shift), scale * largest]))


@every_weighing
@given(data=st.data(), weight=st.integers(1, 9))
def test_equal_weights_are_no_weights(combine: Combiner, data: st.DataObject, weight: int) -> None:
    """For an odd number of models; the weighted median of an even number is the lower of the middle two.

    And for 5 models, of which the trimmed mean drops whole ones.
    """
    rows = data.draw(stacks(combine, count=5))
    close(combine(rows, np.full(len(rows), weight)), combine(rows), rows)


@every_weighing
@given(data=st.data(), seed=st.integers(0, 99), factor=st.integers(1, 9))
def test_weights_stand_for_repeated_models(combine: Combiner, data: st.DataObject, seed: int, factor: int) -> None:
    """In odd numbers, so that a median is one of them, and in multiples of 5, of which whole ones are trimmed."""
    rows = data.draw(stacks(combine))
    weights = np.random.default_rng(seed).integers(0, 4, len(rows))
    weights[0] += (5 - weights.sum()) % 10
    weights[0] += 10 if not weights.sum() else 0
    repeated = np.repeat(rows, weights, axis=0)
    close(combine(rows, weights * factor), combine(repeated), rows)


@every_combiner
def test_the_models_are_left_as_they_were(combine: Combiner) -> None:
    rows = normal(0, 5, 3)
    before = rows.copy()
    rows.flags.writeable = False
    combined = combine(rows)
    assert np.array_equal(rows, before)
    assert not np.shares_memory(combined, rows)


@every_weighing
@pytest.mark.parametrize("weights", [[1, 1], [1, -1, 1], [0, 0, 0], [[1, 1, 1]], [np.nan, 1, 1]])
def test_weights_that_cannot_be_used_are_refused(combine: Combiner, weights: list[float]) -> None:
    with pytest.raises(BadSetting, match="3 models need as many weights, none below 0"):
        combine(np.ones((3, 2)), np.array(weights))


@pytest.mark.parametrize("kind", ["krum", "multi_krum", "bulyan", "radon"])
def test_weights_without_a_meaning_are_refused(kind: str) -> None:
    with pytest.raises(BadSetting, match=rf"{kind} cannot weight models: leave .* combine\.mean"):
        COMBINERS[kind](np.ones((5, 2)), np.ones(5))


@every_combiner
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_torch_tensors_come_back_as_they_are(combine: Combiner, dtype: torch.dtype) -> None:
    rows = torch.tensor(normal(1, 7, 3)).to(dtype).requires_grad_()
    combined = combine(rows)
    assert isinstance(combined, torch.Tensor)
    assert (combined.dtype, combined.device, combined.requires_grad) == (dtype, rows.device, False)
    expected = torch.tensor(combine(rows.detach().double().numpy())).to(dtype)
    assert torch.equal(combined, expected)
    if combine.weighs:
        weights = torch.tensor([1.0, 2, 3, 4, 5, 6, 7])
        assert torch.equal(combine(rows, weights), combine(rows, weights.numpy()))


@every_combiner
def test_a_batch_is_its_stacks_one_by_one(combine: Combiner) -> None:
    batch = normal(2, 2, 3, 7, 3)
    combined = combine.detailed(batch)
    assert combined.row.shape == (2, 3, 3)
    for i, j in np.ndindex(2, 3):
        one = combine.detailed(batch[i, j])
        np.testing.assert_allclose(combined.row[i, j], one.row, rtol=1e-9, atol=1e-12)
        assert combined.details.keys() == one.details.keys()
        for name, value in combined.details.items():
            alone = one.details[name]
            np.testing.assert_allclose(value[i, j] if isinstance(value, np.ndarray) else value, alone, atol=1e-9)


@every_combiner
def test_details_come_with_the_same_row(combine: Combiner) -> None:
    rows = normal(3, 9, 2)
    combined = combine.detailed(rows)
    assert np.array_equal(combined.row, combine(rows))
    assert (combined.details["models"], combined.details["dropped"]) == (9, ())


@every_combiner
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_models_that_are_not_finite_are_left_out_and_named(combine: Combiner, bad: float) -> None:
    rows = normal(4, 9, 2)
    rows[3, 1] = rows[5, 0] = bad
    if combine.keeps_all:
        assert not np.isfinite(combine(rows)).all()
        return
    others = np.delete(rows, [3, 5], axis=0)
    with pytest.warns(ModelsLeftOut, match="left out models with NaN or infinity: 3, 5"):
        row = combine(rows)
    assert np.isfinite(row).all()
    combined = combine.detailed(rows)
    assert (combined.details["models"], combined.details["dropped"]) == (7, (3, 5))
    numbers = [combined.details[n] for n in ("chosen", "leftovers") if n in combined.details]
    assert not {3, 5} & set(np.concatenate([np.ravel(n) for n in numbers]).tolist() if numbers else [])
    if combine.kind not in CHOOSES:  # to these, a model that is not finite is one of the corrupt
        assert np.array_equal(row, combine(others))
    with pytest.raises(BadData, match="Row 3 of stack \\[1\\] in a batch is not finite"):
        combine(np.stack([normal(5, 9, 2), rows]))
    with pytest.raises(BadData, match="None of the 9 models is finite"):
        combine(np.full((9, 2), bad))


@every_combiner
@pytest.mark.parametrize("shape", [(3,), (0, 3), (3, 0), ()])
def test_what_is_no_stack_of_models_is_refused(combine: Combiner, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadSetting, match="have shape \\(models, parameters\\), got"):
        combine(np.ones(shape))


@every_combiner
def test_too_few_models_are_refused_with_the_numbers(combine: Combiner) -> None:
    least = combine.needed(2)
    assert combine(normal(6, least, 2)).shape == (2,)
    if least > 1:
        with pytest.raises(BadSetting, match=rf"needs (at least )?{least} .*got {least - 1}: .*combine\."):
            combine(normal(6, least - 1, 2))


@every_combiner
@given(size=st.floats(1, 1e30), seed=st.integers(0, 99))
def test_arbitrary_outliers_move_it_no_further_than_the_sound_models_reach(
    combine: Combiner, size: float, seed: int
) -> None:
    """Breakdown: the result stays among the 9 to 15 sound models, however large the others are."""
    corrupt = int(SOUND[combine.kind] * 15 + 1e-9)
    rows = normal(seed, 15, 3)
    clean = rows.copy()
    rows[:corrupt] = size * np.sign(rows[:corrupt])
    reach = np.abs(clean[corrupt:]).max(axis=0)
    assert (np.abs(combine(rows)) <= 3 * reach + 1e-9).all()


@every_combiner
def test_combiners_are_values(combine: Combiner) -> None:
    assert pickle.loads(pickle.dumps(combine)) == copy.deepcopy(combine) == combine
    assert combiner(combine.kind) == combiner({"kind": combine.kind}) == combiner(table(combine)) == combine
    assert combine.__name__ == combine.kind
    assert hash(combine) == hash(copy.deepcopy(combine))
