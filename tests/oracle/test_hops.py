"""Hops in a circle, layers that hop apart, and weights by what a model has seen: exact statements by tagged models."""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np
import pytest
from torch import nn

from tests.contract.federations import assert_equal_result, net, sites, train
from tests.contract.programs import quick
from tests.contract.test_operators import World, after, facts, tagged
from tests.oracle.by_hand import run_by_hand
from unpooled.combine import Array
from unpooled.errors import BadSetting
from unpooled.training.exchange import Exchange
from unpooled.training.operators import aggregate, chain, cyclic, every, recombine
from unpooled.training.protocols import DaisyChain, FedAvg, FedDC, FedMR
from unpooled.training.train import initialised

__all__ = ["quick"]
pytestmark = pytest.mark.usefixtures("quick")

executors = pytest.mark.parametrize("executor", ["reference", "vectorised"])


def start() -> nn.Module:
    return initialised(net, 0)


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


# --- in a circle -----------------------------------------------------------------------------------------------------


def visited(world: World, events: int) -> list[Array]:
    """How many distinct sites each model has been at, at the start and after each event."""
    m = len(world.rows)
    seen = np.zeros((m, m), dtype=bool)
    counts = []
    for t in range(events + 1):
        if t:
            world.step(t - 1)
        seen[(world.rows[:, 0] / 100).astype(int), np.arange(m)] = True
        counts.append(seen.sum(axis=1))
    return counts


@pytest.mark.parametrize("m", [1, 2, 5, 6, 9])
def test_a_circle_shows_k_data_sets_in_k_minus_one_events(m: int) -> None:
    """Every shift that is allowed, and for every model: no chance in it."""
    for shift in (s for s in range(1, 2 * m + 1) if gcd(s, m) == 1):
        for events, counts in enumerate(visited(World(cyclic(shift), facts(m), tagged(m)), m + 2)):
            assert (counts == min(events + 1, m)).all(), (m, shift, events)


def test_a_circle_moves_the_model_of_site_i_to_site_i_plus_s() -> None:
    assert (after(cyclic(2), facts(5), tagged(5))[:, 0] / 100).tolist() == [3, 4, 0, 1, 2]


def test_a_shift_is_drawn_anew_after_each_aggregation_and_kept_until_then() -> None:
    known = facts(7, steps=400)
    shifts = np.array([cyclic(None, 4).shift_at(t, known) for t in range(400)]).reshape(100, 4)
    assert (shifts == shifts[:, :1]).all()
    counts = np.bincount(shifts[:, 0], minlength=7)
    assert counts[0] == 0
    assert counts[1:].min() > 5  # expected 100 / 6 each
    assert {cyclic(None, 4).shift_at(t, facts(6, steps=400)) for t in range(400)} == {1, 5}
    assert len({cyclic().shift_at(t, known) for t in range(400)}) == 1


@pytest.mark.parametrize("hops", ["cyclic", 3])
def test_each_cycle_of_feddc_in_a_circle_covers_as_many_sites_as_it_can(hops: str | int) -> None:
    """b = 4, d = 1: three hops between aggregations, so every model learns at exactly four sites in every cycle."""
    m, known = 7, facts(7, steps=40)
    world = World(FedDC(1, 4, hops=hops).exchange(), known, tagged(m))
    for cycle in range(8):
        world.rows = tagged(m)
        seen = np.zeros((m, m), dtype=bool)
        for i in range(4):
            seen[(world.rows[:, 0] / 100).astype(int), np.arange(m)] = True
            world.step(4 * cycle + i)
        assert (seen.sum(axis=1) == 4).all()
        assert (world.rows == world.rows[0]).all()


def test_a_shift_that_goes_round_in_a_smaller_circle_is_refused_before_work() -> None:
    text = "With a shift of 2 among 4 sites a model would only ever see 2 of 4 data sets: take one of 1, 3."
    for protocol in (FedDC(1, 10, hops=2), DaisyChain(1, hops=2), FedDC(1, 5, hops=2, weighted_by_seen=True)):
        with pytest.raises(BadSetting, match=text):
            train(sites([4] * 4), protocol)
    with pytest.raises(BadSetting, match="With a shift of 3 among 3 sites"):
        train(sites([4] * 6), FedDC(1, 10, hops=3, fraction=0.5))
    assert train(sites([4] * 4), FedDC(1, 10, hops=3)).rows is not None


@pytest.mark.parametrize("hops", ["circle", 0, -1])
def test_hops_that_do_not_exist_are_refused(hops: Any) -> None:
    for make in (lambda: FedDC(1, 10, hops=hops), lambda: DaisyChain(1, hops=hops)):
        with pytest.raises(BadSetting, match="hops must be 'random'" if hops == "circle" else "shift must be"):
            make()


# --- layers apart ----------------------------------------------------------------------------------------------------


def test_recombining_keeps_every_layer_of_every_model_and_their_mean() -> None:
    """Whole numbers, so that sums are exact."""
    rows, known = tagged(6), facts()
    mixed = after(recombine(), known, rows)
    for columns in (range(4), range(4, 6)):  # layers "0" (weight and bias) and "1"
        assert sorted(map(tuple, mixed[:, columns].tolist())) == sorted(map(tuple, rows[:, columns].tolist()))
    assert np.array_equal(mixed.mean(axis=0), rows.mean(axis=0))


def test_recombining_draws_a_permutation_for_each_layer() -> None:
    """Both layers of a model come from one site with probability 1/m: over many draws, one in six."""
    together = []
    for root in range(600):
        mixed = after(recombine(), facts(root=root), tagged(6))
        together.append(np.mean((mixed[:, 0] // 100) == (mixed[:, 4] // 100)))
    assert abs(np.mean(together) - 1 / 6) < 0.02  # standard error of 600 means of variance 1/36: 0.007


def test_recombining_leaves_travelling_optimizer_state_alone() -> None:
    rows = tagged(6, 9)
    assert np.array_equal(after(recombine(), facts(state=True), rows)[:, 6:], rows[:, 6:])


@executors
def test_a_model_of_one_layer_recombined_is_a_model_that_hops(executor: str) -> None:
    def one_layer() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 3)).double()

    case: dict[str, Any] = {"executor": executor, "model": one_layer, "batch_size": 3}
    members = sites([4, 7, 2])
    assert_equal_result(train(members, FedMR(1, 4), **case), train(members, FedDC(1, 4), **case))


@executors
def test_recombining_only_where_models_are_averaged_is_averaging(executor: str) -> None:
    members = sites([4, 7, 2])
    case: dict[str, Any] = {"executor": executor, "batch_size": 3}
    assert_equal_result(train(members, FedMR(6, 3), **case), train(members, FedAvg(3), **case))
    assert not np.allclose(train(members, FedMR(1, 3), **case).rows, train(members, FedAvg(3), **case).rows)  # type: ignore[arg-type]


class ShuffleThenAverage(FedAvg):
    """Layers change places, and are averaged at once."""

    def exchange(self) -> Exchange:
        return every(self.aggregate_period, chain(recombine(), aggregate()), last=True)


@executors
def test_recombining_just_before_the_mean_changes_nothing(executor: str) -> None:
    members = sites([4, 7, 2])
    shuffled, plain = (train(members, kind(3), executor=executor) for kind in (ShuffleThenAverage, FedAvg))
    close(shuffled.rows, plain.rows)
    close(shuffled.aggregate_row, plain.aggregate_row)
    assert shuffled.traffic == plain.traffic


@pytest.mark.parametrize(
    "make", [lambda: FedMR(0, 3), lambda: FedMR(1, 0), lambda: FedMR(1, 3, fraction=0.0), lambda: FedMR(1, 3, "x")]
)
def test_settings_of_fedmr_without_meaning_are_refused(make: Any) -> None:
    with pytest.raises(BadSetting):
        make()


# --- weights by what a model has seen --------------------------------------------------------------------------------


@executors
def test_weights_follow_the_models_not_their_hosts(executor: str) -> None:
    """Sites of 1, 2 and 4 samples in a circle of shift 1, averaged every third step (d = 1, b = 3).

    The model that ends at site j has learned at j - 2, j - 1 and j, a step each: it has seen all 7 samples, so the
    first mean is plain. The last two steps (10 and 11 of 11) hold one hop: weights 1 + 4, 2 + 1 and 4 + 2.
    """

    def event(t: int, rows: Array) -> Array:
        if t == 10:
            return np.tile(np.average(rows, axis=0, weights=[5.0, 3.0, 6.0]), (3, 1))
        return np.tile(rows.mean(axis=0), (3, 1)) if t % 3 == 2 else np.roll(rows, 1, axis=0)

    members = sites([1, 2, 4])
    wanted = run_by_hand(members, start, 11, event)
    found = train(members, FedDC(1, 3, hops=1, weighted_by_seen=True), executor=executor)
    close(found.rows, wanted)
    close(found.aggregate_row, wanted[0])
    plain = train(members, FedDC(1, 3, hops=1), executor=executor)
    assert np.abs(plain.rows - wanted).max() > 1e-4  # type: ignore[operator]


@executors
def test_a_model_that_stays_is_weighted_by_its_site(executor: str) -> None:
    members = sites([1, 7, 4])
    seen = train(members, FedDC(99, 3, weighted_by_seen=True), executor=executor)
    close(seen.rows, train(members, FedAvg(3, weighted_by_samples=True), executor=executor).rows)


@executors
def test_a_batch_counts_not_the_site_it_is_drawn_from(executor: str) -> None:
    """Batches of 2 at sites of 2, 5 and 8: all models see 2 samples a step, and the weights are equal."""
    members, case = sites([2, 5, 8]), {"executor": executor, "batch_size": 2}
    close(
        train(members, FedDC(1, 4, weighted_by_seen=True), **case).rows,  # type: ignore[arg-type]
        train(members, FedDC(1, 4), **case).rows,  # type: ignore[arg-type]
    )


def test_counts_start_anew_in_a_drawn_set_of_sites() -> None:
    """Fraction 1/2 of sites of equal size: whatever was drawn, the weights of a cycle are equal."""
    members = sites([3] * 6)
    one, other = (train(members, FedDC(1, 4, fraction=0.5, weighted_by_seen=s)) for s in (True, False))
    close(one.rows, other.rows)
