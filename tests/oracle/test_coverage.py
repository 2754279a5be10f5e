"""Coverage of daisy-chaining (T6, lemma; T7, period) against brute force and the permutations that runs make."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unpooled.errors import BadSetting
from unpooled.seeds import Streams
from unpooled.training.channel import RoundChannel
from unpooled.training.coverage import (
    chance_to_miss,
    events_to_cover,
    events_to_cover_bound,
    expected_distinct,
    published_aggregate_period,
    published_steps,
)
from unpooled.training.exchange import Facts, Pull
from unpooled.training.operators import every, permute
from unpooled.training.planning import plan
from unpooled.training.protocols import FedDC

TABLE = [
    # m, k, delta, published steps, events that suffice, closed form
    (25, 5, 0.05, 6.1, 8, 8),
    (25, 13, 0.05, 20.1, 27, 29),
    (50, 10, 0.05, 11.7, 15, 16),
    (50, 25, 0.05, 36.3, 48, 53),
    (50, 45, 0.05, 117.6, 178, 183),
    (150, 15, 0.05, 16.1, 19, 22),
    (441, 47, 0.10, 49.9, 56, 67),
]


@pytest.mark.parametrize(("m", "k", "delta", "published", "exact", "closed"), TABLE)
def test_the_measured_table(m: int, k: int, delta: float, published: float, exact: int, closed: int) -> None:
    assert round(published_steps(m, k, delta), 1) == published
    assert events_to_cover(m, k, delta) == exact
    assert events_to_cover_bound(m, k, delta) == closed


def distinct_seen(m: int, events: int, root: int) -> np.ndarray[Any, np.dtype[Any]]:
    """How many datasets each of m models has seen after that many runs of the real operator."""
    facts = Facts(tuple(f"s{i}" for i in range(m)), np.ones(m, dtype=np.int64), {"tag": slice(0, 1)}, ("tag",), events)
    streams, hop = Streams(root), permute()
    where = np.arange(m, dtype=np.float64)[:, None]  # at each site, the number of the model it holds
    seen = np.eye(m, dtype=bool)
    for t in range(events):
        channel = RoundChannel(t, facts, Pull(), where, _never)
        hop(channel, None, streams.generator("exchange", t), facts)
        delivery = channel.delivery()
        assert delivery is not None
        where = np.array(delivery.rows)
        seen[where[:, 0].astype(int), np.arange(m)] = True
    return seen.sum(axis=1)


def _never(sites: Any, layers: Any) -> Any:
    raise AssertionError("permute announces what it pulls")


@pytest.mark.parametrize(
    ("m", "k", "delta"), [(25, 5, 0.05), (25, 13, 0.05), (50, 10, 0.05), (50, 25, 0.05), (12, 12, 0.2)]
)
def test_enough_events_cover_in_runs_of_the_real_permutation(m: int, k: int, delta: float) -> None:
    runs = 400
    covered = np.mean([(distinct_seen(m, events_to_cover(m, k, delta), root) >= k).all() for root in range(runs)])
    assert covered >= 1 - delta - 3 * math.sqrt(delta * (1 - delta) / runs)


def test_the_published_number_of_steps_does_not_cover_for_every_model() -> None:
    """For m=50, k=25: the share of runs in which all models have seen k is 0.00, not 0.95."""
    steps = math.ceil(published_steps(50, 25, 0.05))
    seen = np.array([distinct_seen(50, steps, root) >= 25 for root in range(200)])
    assert seen.all(axis=1).mean() < 0.05
    assert abs(seen.mean() - 0.87) < 0.05


@pytest.mark.parametrize(("m", "events"), [(10, 5), (30, 60)])
def test_the_mean_number_of_datasets_seen_is_that_of_runs(m: int, events: int) -> None:
    seen = np.array([distinct_seen(m, events, root).mean() for root in range(200)])
    assert abs(seen.mean() - expected_distinct(m, events)) < 4 * seen.std() / math.sqrt(len(seen))


@pytest.mark.parametrize(("m", "events"), [(1, 3), (2, 0), (2, 3), (3, 4), (4, 3)])
def test_all_paths_of_one_model_counted_out(m: int, events: int) -> None:
    """A model's path is uniform over m^events sequences of sites."""
    counts = [len({0, *path}) for path in itertools.product(range(m), repeat=events)]
    assert expected_distinct(m, events) == pytest.approx(np.mean(counts), rel=1e-12)
    for k in range(1, m + 1):
        share = np.mean([c < k for c in counts])
        for delta in (0.01, 0.3, 0.9):
            assert (m * share <= delta) == (events_to_cover(m, k, delta) <= events)
        assert chance_to_miss(m, k, events) == pytest.approx(min(1.0, m * share), rel=1e-12)


def test_a_chance_of_failure_met_exactly_is_met() -> None:
    """After 2 events one of 10 models has seen one dataset only with probability 10 * 0.1^2 = 0.1."""
    assert events_to_cover(10, 2, 0.1) == events_to_cover_bound(10, 2, 0.1) == 2


@settings(deadline=None)
@given(m=st.integers(2, 60), data=st.data(), delta=st.floats(0.001, 0.5))
def test_the_closed_form_is_never_too_short(m: int, data: st.DataObject, delta: float) -> None:
    k = data.draw(st.integers(1, m))
    assert events_to_cover(m, k, delta) <= events_to_cover_bound(m, k, delta)
    assert events_to_cover(m, k, delta) >= k - 1  # an event shows at most one new dataset


@settings(deadline=None)
@given(m=st.integers(2, 60), data=st.data())
def test_more_is_never_cheaper(m: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, m - 1))
    for count in (events_to_cover, events_to_cover_bound, published_steps):
        assert count(m, k, 0.05) <= count(m, k + 1, 0.05)
        assert count(m, k, 0.05) <= count(m, k, 0.01)


def needed(epsilon: float, delta: float) -> float:
    """n_0 of the paper's notebook."""
    return math.log(1 / delta) / epsilon


def test_the_origin_of_fifty_steps_on_susy() -> None:
    assert published_aggregate_period(441, 2, needed(0.05, 0.01), 0.01) == pytest.approx(49.898, abs=5e-4)
    assert published_aggregate_period(441, 2, needed(0.05, 0.1), 0.01) == pytest.approx(24.78, abs=5e-3)
    assert published_aggregate_period(441, 2, needed(0.05, 0.01), 0.01, daisy_period=3) == pytest.approx(
        3 * 49.898, abs=2e-3
    )


@pytest.mark.parametrize(("m", "b"), [(100, 88.1), (150, 74.1), (500, 61.9), (2000, 58.9)])
def test_the_plotted_periods_for_eight_samples(m: int, b: float) -> None:
    assert published_aggregate_period(m, 8, needed(0.01, 0.01), 0.01) == pytest.approx(b, abs=0.05)


def test_a_federation_with_too_few_samples_is_refused() -> None:
    """The paper's figure has a point at m=50, n=8; it needs 58 datasets of 50."""
    with pytest.raises(BadSetting, match="needs 461 samples, but 50 sites x 8 are only 400"):
        published_aggregate_period(50, 8, needed(0.01, 0.01), 0.01)
    assert published_aggregate_period(58, 8, needed(0.01, 0.01), 0.01) > 0


def test_a_plan_puts_published_and_corrected_numbers_side_by_side() -> None:
    found = plan(sites=441, samples=2, needed=needed(0.05, 0.01), delta=0.01)
    assert found.k == 47
    lemma, period, exact, bound, circle = found.rules
    assert lemma.aggregate_period == published_steps(441, 47, 0.01)
    assert period.aggregate_period == pytest.approx(49.898, abs=5e-4)
    assert exact.hops == events_to_cover(441, 47, 0.01) < bound.hops == events_to_cover_bound(441, 47, 0.01)
    assert circle.hops == 46
    for rule in (lemma, period):
        assert rule.rule.startswith("published")
        assert "every model" not in rule.holds
    shown = str(found)
    assert "441 sites x 2 samples" in shown
    assert "k = 47 data sets" in shown
    for rule in found.rules:
        line = next(line for line in shown.splitlines() if line.startswith(rule.rule))
        assert rule.holds in line
    assert found.as_dict()["rules"][2]["aggregate_period"] == exact.hops + 1  # type: ignore[index]


@pytest.mark.parametrize("d", [1, 3])
def test_the_planned_period_holds_the_planned_hops(d: int) -> None:
    """In FedDC itself: between two aggregations there are that many hops, each followed by d local steps."""
    for rule in plan(sites=20, samples=4, needed=22, daisy_period=d).rules[2:]:
        b = int(rule.aggregate_period)
        facts = Facts(("a",) * 20, np.ones(20, dtype=np.int64), {"tag": slice(0, 1)}, ("tag",), 10 * b)
        protocol, hop = FedDC(d, b), every(d, permute())
        due = [t for t in range(b, 2 * b) if protocol.exchange().pulls(t, facts) is not None]
        hops = [t for t in due if hop.pulls(t, facts) is not None and (t + 1) % b]
        assert len(hops) == rule.hops
        assert set(np.diff([b - 1, *hops, 2 * b - 1])) == {d}


def test_a_plan_says_what_a_period_of_your_own_covers() -> None:
    """d = 3, b = 48: hops after steps 3, 6, .., 45, which is what the corrected rule asks for; b = 47 holds as many."""
    for b, hops in ((48, 15), (47, 15), (46, 15), (45, 14), (1, 0)):
        random, circle = plan(sites=50, samples=2, needed=20, daisy_period=3, aggregate_period=b).rules[-2:]
        assert random.hops == circle.hops == hops
        if hops >= 14:
            told = float(random.holds.split()[4])
            assert told == pytest.approx(1 - chance_to_miss(50, 10, hops), abs=1e-3)
            assert (told >= 0.95) == (hops >= 15)
        assert circle.datasets == hops + 1
        assert circle.holds.startswith("every model" if hops >= 9 else "no model: each sees 1, not 10")
    assert plan(sites=50, samples=2, needed=20, aggregate_period=5).rules[-2].holds == "not shown for every model"
    assert len(plan(sites=50, samples=2, needed=20).rules) == 5


def test_a_plan_for_too_few_samples_is_refused() -> None:
    """T7's guard: k <= m."""
    with pytest.raises(BadSetting, match="needs 461 samples, but 50 sites x 8 are only 400"):
        plan(sites=50, samples=8, needed=needed(0.01, 0.01), delta=0.01)
    assert plan(sites=50, samples=8, needed=400).k == 50
    with pytest.raises(BadSetting, match="needs 401 samples"):
        plan(sites=50, samples=8, needed=401)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: plan(sites=5, samples=1, needed=3, daisy_period=0), "daisy_period must be"),
        (lambda: plan(sites=5, samples=1, needed=3, delta=2.0), "delta must lie between 0 and 1"),
        (lambda: plan(sites=5, samples=0, needed=3), "samples must be"),
        (lambda: plan(sites=5, samples=1, needed=3, aggregate_period=0), "aggregate_period must be"),
        (lambda: chance_to_miss(5, 6, 1), "k=6 distinct datasets of 5 sites"),
        (lambda: chance_to_miss(5, 2, -1), "events must be a whole number of at least 0"),
        (lambda: events_to_cover(5, 6, 0.1), "k=6 distinct datasets of 5 sites"),
        (lambda: events_to_cover(5, 0, 0.1), "k must be a whole number of at least 1"),
        (lambda: events_to_cover_bound(5, 2, 0.0), "delta must lie between 0 and 1"),
        (lambda: published_steps(5, 2, 1.0), "delta must lie between 0 and 1"),
        (lambda: expected_distinct(0, 2), "sites must be"),
        (lambda: expected_distinct(3, -1), "events must be a whole number of at least 0"),
        (lambda: published_aggregate_period(5, 1, math.inf, 0.1), "needed must be"),
    ],
)
def test_settings_without_meaning_are_refused(call: Any, text: str) -> None:
    with pytest.raises(BadSetting, match=text):
        call()
