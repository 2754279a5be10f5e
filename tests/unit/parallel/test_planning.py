"""Sizes, bounds and advice, by hand."""

from __future__ import annotations

from math import comb

import pytest
from sklearn.svm import LinearSVC

from unpooled.errors import BadSetting
from unpooled.parallel import RadonMachine, plan
from unpooled.parallel.planning import bound, size


@pytest.mark.parametrize(
    ("rows", "features", "number", "height", "models", "rows_per_part"),
    [
        (900_000, 3, 6, 5, 7776, 115),
        (439_708, 8, 11, 3, 1331, 330),
        (900_000, 9, 12, 3, 1728, 520),
        (922_509, 10, 13, 3, 2197, 419),
        (4_500_000, 18, 21, 3, 9261, 485),
        (9_900_000, 28, 31, 3, 29_791, 332),
        (463_810, 90, 93, 1, 93, 4987),
        (28_794_197, 631, 634, 1, 634, 45_416),
        (17_328_690, 2331, 2334, 1, 2334, 7424),
    ],
)
def test_the_sizes_of_the_papers_data_sets(
    rows: int, features: int, number: int, height: int, models: int, rows_per_part: int
) -> None:
    """Nine tenths of each set, p features and an intercept, 100 rows a part."""
    found = size(rows, features + 1, "max", 100)
    assert (found.radon_number, found.height, found.models) == (number, height, models)
    assert plan(rows, features + 1).heights[-1].rows_per_part == rows_per_part


def test_exact_powers_are_no_matter_of_rounding() -> None:
    """The logarithm of 243 to base 3 is 4.999999999999999 in floating point."""
    assert size(24_300, 1, "max", 100).height == 5
    assert size(24_299, 1, "max", 100).height == 4
    assert size(99, 1, "max", 100).height == 0
    assert size(10**12, 1, "max", 100).height == 10


def test_the_bound_is_the_safe_one() -> None:
    """t (p / t)^(2^h): C(r, 2) p^2 at height 1, and above the published (r p)^(2^h) where that is false."""
    assert bound(0.001, 10, 1) == pytest.approx(comb(10, 2) * 0.001**2)
    assert bound(0.001, 10, 2) == pytest.approx(comb(10, 2) * (comb(10, 2) * 0.001**2) ** 2)
    assert bound(1 / 20, 10, 2) == 1.0 > (10 / 20) ** 4
    assert [bound(0.01, 10, h) for h in range(4)] == sorted((bound(0.01, 10, h) for h in range(4)), reverse=True)


def test_a_plan_counts_speed_by_the_learners_exponent() -> None:
    two, many = (plan(1_000_000, 9, workers, exponent=2.0).heights[1] for workers in (2, 1000))
    assert two.models == many.models == 11
    assert two.speed_up == pytest.approx(11**2 / 6)
    assert many.speed_up == pytest.approx(11**2)
    assert plan(1_000_000, 9, 2).heights[1].speed_up == pytest.approx(11 / 6)


def test_a_plan_says_when_not_to() -> None:
    assert "Do not use it as it is: one Radon point needs 102 parts of 100 rows, 10200 in all" in str(plan(5000, 100))
    assert "about as long" in str(plan(100_000, 9, 1))
    assert "gains a factor of 8 workers at best" in str(plan(100_000, 9, 8))
    assert "p is not below t" in str(plan(100_000, 9, 8, p=0.2))
    assert "fewer than 3 d" in str(plan(7000, 60, 8))
    assert "1.5 times less variance" in str(plan(10_000, 9, 8, exponent=2))
    with pytest.raises(BadSetting, match="p is a probability"):
        plan(1000, 3, p=2.0)
    with pytest.raises(BadSetting, match="workers must be a whole number"):
        plan(1000, 3, 0)


def test_a_machine_plans_too() -> None:
    assert RadonMachine.plan(10_000, 4, 2) == plan(10_000, 4, 2)
    assert RadonMachine(LinearSVC()).plan(10_000, 4).as_dict()["height"] == 2
