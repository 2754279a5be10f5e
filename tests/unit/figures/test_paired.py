"""Paired tests between methods, against scipy and against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from unpooled.figures import paired
from unpooled.figures.paired import holm, paired_tests


def values(**by_seed: list[float]) -> pd.DataFrame:
    rows = [(label, "aggregate", seed, v) for label, found in by_seed.items() for seed, v in enumerate(found)]
    return pd.DataFrame(rows, columns=["protocol", "model", "seed", "value"])


def test_differences_are_paired_by_seed() -> None:
    # Seeds differ by much more than methods: only pairing sees that b is 0.01 above a in every seed.
    row = paired_tests(values(a=[0.50, 0.70, 0.90], b=[0.51, 0.711, 0.909]), "a").iloc[0]
    assert row["mean"] == pytest.approx(0.01)
    assert row["half_width"] == pytest.approx(4.302653 * 0.001 / math.sqrt(3), rel=1e-5)
    assert (row["higher"], row["lower"], row["seeds"], row["verdict"]) == (3, 0, 3, paired.HIGHER)


def test_p_is_that_of_scipy_for_every_pair() -> None:
    rng = np.random.default_rng(5)
    found = {name: (0.8 + rng.normal(0, 0.02, 6)).tolist() for name in "abcd"}
    table = paired_tests(values(**found))
    assert len(table) == 6
    for row in table.itertuples():
        expected = stats.ttest_rel(found[str(row.protocol)], found[str(row.reference)]).pvalue
        assert row.p == pytest.approx(expected, rel=1e-9)


def test_holm_by_hand_and_never_below_the_smaller_ones() -> None:
    # Holm (1979), the step-down rule: 4 * 0.005, 3 * 0.01, 2 * 0.03, then 1 * 0.04 raised to the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    both = holm([0.01, math.nan])
    assert both[0] == 0.01  # one comparison only: nothing to correct for
    assert math.isnan(both[1])


def test_correction_takes_back_what_is_clear_only_by_itself() -> None:
    strong, many = [0.50, 0.52, 0.51, 0.53, 0.52], {f"m{i}": [0.49, 0.53, 0.50, 0.54, 0.51] for i in range(11)}
    weak = [0.512, 0.522, 0.531, 0.538, 0.528]
    alone = paired_tests(values(strong=strong, weak=weak), "strong").iloc[0]
    among = paired_tests(values(strong=strong, weak=weak, **many), "strong").iloc[0]
    assert alone["p"] == among["p"] < 0.05
    assert (alone["verdict"], among["verdict"]) == (paired.HIGHER, paired.NO_CLEAR)


def test_equal_results_are_no_difference_and_one_seed_says_nothing() -> None:
    same = paired_tests(values(a=[0.5, 0.75], b=[0.5, 0.75]), "a").iloc[0]
    assert (same["p"], same["verdict"]) == (1.0, paired.NO_CLEAR)
    once = paired_tests(values(a=[0.5], b=[0.9]), "a").iloc[0]
    assert once["verdict"] == paired.ONE_SEED
    assert math.isnan(once["p"])


def test_only_common_seeds_are_compared() -> None:
    assert paired_tests(values(a=[0.5, 0.6, 0.7], b=[0.6, 0.7]), "a").iloc[0]["seeds"] == 2


def test_why_not_wilcoxon() -> None:
    # What the module's docstring says: with five seeds it cannot reach 0.05.
    assert stats.wilcoxon([0.1, 0.2, 0.3, 0.4, 0.5]).pvalue == 0.0625
