"""Which samples a site uses in which step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unpooled.seeds import Streams
from unpooled.training.batches import BLOCK, Batches


@settings(deadline=None)
@given(n=st.integers(1, 40), size=st.integers(1, 50), step=st.integers(0, 10**6), root=st.integers(0, 9))
def test_a_batch_is_drawn_without_replacement_and_never_larger_than_the_site(
    n: int, size: int, step: int, root: int
) -> None:
    batches = Batches(Streams(root), "a", n, size)
    drawn = batches(step)
    assert drawn.shape == (min(size, n),) == (batches.size,)
    assert len(set(drawn.tolist())) == len(drawn)
    assert drawn.min() >= 0
    assert drawn.max() < n


@pytest.mark.parametrize("samples", [20, 5000])
def test_a_batch_does_not_depend_on_what_was_asked_before(samples: int) -> None:
    steps = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5]
    fresh = {t: Batches(Streams(3), "a", samples, 4)(t).tolist() for t in steps}
    asked = Batches(Streams(3), "a", samples, 4)
    for t in [*reversed(steps), *steps]:
        assert asked(t).tolist() == fresh[t]


def test_batches_differ_between_steps_sites_and_seeds() -> None:
    drawn = {
        tuple(Batches(Streams(root), site, 30, 5)(t).tolist())
        for root in range(3)
        for site in "ab"
        for t in range(2 * BLOCK)
    }
    assert len(drawn) == 3 * 2 * 2 * BLOCK


@pytest.mark.parametrize("samples", [10, 5000])
def test_every_sample_is_drawn_equally_often(samples: int) -> None:
    batches, steps, size = Batches(Streams(0), "a", samples, samples * 3 // 10), 1280, samples * 3 // 10
    counts = np.bincount(np.concatenate([batches(t) for t in range(steps)]), minlength=samples)
    assert counts.sum() == steps * size
    spread = np.sqrt(steps * 0.3 * 0.7)
    assert np.abs(counts - steps * 0.3).max() < 5.5 * spread
    assert 0.8 < counts.std() / spread < 1.3 or samples == 10


@pytest.mark.parametrize("size", [None, 7, 100])
def test_full_batches_keep_the_order_of_the_data(size: int | None) -> None:
    batches = Batches(Streams(0), "a", 7, size)
    assert batches.full
    assert batches(0).tolist() == batches(99).tolist() == list(range(7))
