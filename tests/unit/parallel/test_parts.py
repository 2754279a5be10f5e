"""Dealing rows: disjoint, near equal, stratified, and every part with every class."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unpooled.parallel.parts import deal


@given(rows=st.integers(1, 300), parts=st.integers(1, 40), classes=st.integers(1, 5), seed=st.integers(0, 99))
def test_rows_are_dealt_once_and_classes_evenly(rows: int, parts: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(classes, size=rows)
    dealt = deal(np.arange(rows), parts, None, rng).parts
    assert sorted(np.concatenate(dealt).tolist()) == list(range(rows))
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    whole = deal(np.arange(rows), parts, codes, rng)
    counts = np.array([np.bincount(codes[part], minlength=classes) for part in whole.parts])
    there = np.bincount(codes, minlength=classes)
    assert (counts[:, there > 0] >= 1).all()
    assert (counts <= np.maximum(there // parts + 1, 1)).all()
    assert set(range(rows)) == set(np.concatenate(whole.parts).tolist())


def test_a_class_that_most_parts_lack_is_added_to_them() -> None:
    codes = np.repeat([0, 1, 2], [60, 39, 1])
    dealt = deal(np.arange(100), 10, codes, np.random.default_rng(0))
    assert dealt.refilled == 9
    assert all((codes[part] == 2).sum() == 1 for part in dealt.parts)
    assert sum(map(len, dealt.parts)) == 109


def test_some_rows_only() -> None:
    dealt = deal(np.array([3, 5, 7, 9]), 2, np.array([0] * 5 + [1] * 5), np.random.default_rng(0))
    assert dealt.refilled == 1  # row 3 is the only one of its class
    assert {3, 5, 7, 9} == set(np.concatenate(dealt.parts).tolist())
