"""Operators against a naive model of the federation: a dense matrix of which every part is always known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.federations import sites, train
from unpooled.combine import Array, mean
from unpooled.errors import BadSetting
from unpooled.seeds import Streams
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.channel import Delivery, RoundChannel, same_sites
from unpooled.training.coordinator import Coordinator
from unpooled.training.exchange import Exchange, Facts, Layers, Pull, Sites, columns_of
from unpooled.training.observation import models_of
from unpooled.training.operators import Nothing, aggregate, chain, every, first, only, permute, subset
from unpooled.training.protocols import Protocol
from unpooled.training.questions import install
from unpooled.training.recipe import recipe

LAYERS = {"0.weight": slice(0, 3), "0.bias": slice(3, 4), "1.weight": slice(4, 6), "optimizer.buf": slice(6, 9)}
MODEL = ("0.weight", "0.bias", "1.weight")
WIDTH = 9


def facts(m: int = 6, *, steps: int = 24, state: bool = False, root: int = 0, sizes: Any = None) -> Facts:
    layers = LAYERS if state else {name: LAYERS[name] for name in MODEL}
    names = tuple("abcdefghij"[:m])
    return Facts(names, np.arange(1, m + 1) if sizes is None else np.array(sizes), layers, MODEL, steps, Streams(root))


def tagged(m: int, width: int = 6) -> Array:
    """Row i holds numbers that occur nowhere else."""
    return 100.0 * np.arange(m)[:, None] + np.arange(width)


class World:
    """The sites, without sites: their rows as one matrix, and who was asked for what."""

    def __init__(self, exchange: Exchange, known: Facts, rows: Array) -> None:
        self.exchange, self.facts, self.rows = exchange, known, rows.copy()
        self.memory = exchange.init(known)
        self.asked = 0

    def step(self, t: int) -> Delivery | None:
        pull = self.exchange.pulls(t, self.facts)
        if pull is None:
            return None
        held = self.read(pull.sites, pull.layers)
        channel = RoundChannel(t, self.facts, pull, held, self._fetch)
        rng = self.facts.streams.generator("exchange", t)
        self.memory = self.exchange(channel, self.memory, rng, self.facts)
        delivery = channel.delivery()
        if delivery is not None:
            self.write(delivery.rows, delivery.sites, delivery.layers)
        return delivery

    def _fetch(self, who: Sites, layers: Layers) -> Array:
        self.asked += 1
        return self.read(who, layers)

    def read(self, who: Sites, layers: Layers) -> Array:
        return self.rows[self._where(who, layers)].copy()

    def write(self, rows: Array, who: Sites, layers: Layers) -> None:
        self.rows[self._where(who, layers)] = rows

    def _where(self, who: Sites, layers: Layers) -> Any:
        everyone = np.arange(len(self.rows)) if who is None else who
        return np.ix_(everyone, np.arange(self.rows.shape[1])[columns_of(layers, self.facts)])


def after(exchange: Exchange, known: Facts, rows: Array, steps: int = 1) -> Array:
    """What the sites hold after that many exchanges without training in between."""
    world = World(exchange, known, rows)
    for t in range(steps):
        world.step(t)
    assert world.asked == 0, "an exchange asked for what it had not announced"
    return world.rows


# --- permute ---------------------------------------------------------------------------------------------------------


def test_permute_moves_whole_models_and_loses_none() -> None:
    rows = tagged(6)
    moved = after(permute(), facts(), rows)
    assert sorted(map(tuple, moved.tolist())) == sorted(map(tuple, rows.tolist()))
    assert not np.array_equal(moved, rows)


def test_permute_is_uniform_over_all_permutations() -> None:
    """All m! orders appear about equally often; the number of models that stay has mean 1 and variance 1."""
    draws, m = 4800, 4
    rows = tagged(m)
    stayed, seen = [], {}
    for root in range(draws):
        order = tuple((after(permute(), facts(m, root=root), rows)[:, 0] / 100).astype(int).tolist())
        seen[order] = seen.get(order, 0) + 1
        stayed.append(sum(i == j for i, j in enumerate(order)))
    expected = draws / 24
    chi_square = sum((n - expected) ** 2 / expected for n in seen.values())
    assert len(seen) == 24
    assert chi_square < 60  # 23 degrees of freedom: above 60 with probability 4e-5
    assert abs(np.mean(stayed) - 1) < 4 / np.sqrt(draws)  # variance of the number of fixed points is 1


def test_permute_draws_afresh_at_each_event() -> None:
    world = World(permute(), facts(), tagged(6))
    orders = set()
    for t in range(24):
        before = world.rows[:, 0].copy()
        world.step(t)
        orders.add(tuple(np.argsort(before)[np.searchsorted(np.sort(before), world.rows[:, 0])].tolist()))
    assert len(orders) > 20


def test_tagged_models_hop_over_a_real_federation() -> None:
    """The same through coordinator, door and executors: no training, and each site's model carries its name."""
    for executor in ("reference", "vectorised"):
        federation, coordinator = _coordinator(permute(), executor, steps=8)
        tags = np.arange(5)[:, None] + np.zeros(coordinator.layout.width)
        coordinator._pending = [Delivery(tags, None, None)]
        fixed = []
        while not coordinator.done:
            before = tags if coordinator.step == 0 else _rows(federation)
            coordinator.local_phase()
            coordinator.exchange_models()
            coordinator._deliver_rest(None)
            now = _rows(federation)
            assert sorted(now[:, 0].round().tolist()) == [0, 1, 2, 3, 4]
            assert (np.abs(now - now[:, :1]) < 1e-6).all()
            fixed.append(int((now[:, 0].round() == before[:, 0].round()).sum()))
        assert 0 < sum(fixed) < 5 * len(fixed)


def _coordinator(exchange: Exchange, executor: str, steps: int) -> tuple[InProcess, Coordinator]:
    from torch import nn

    federation = InProcess.of(sites([4] * 5))
    made = recipe(nn.Linear(3, 3).double(), lr=1e-12, executor=executor)
    install(list(federation), made)
    return federation, Coordinator(federation, made, exchange, steps=steps)


def _rows(federation: InProcess) -> Array:
    return np.array(models_of(federation))


# --- aliasing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["reference", "vectorised"])
def test_after_an_aggregation_sites_have_models_of_their_own(executor: str) -> None:
    """One aggregate goes to all; the next local step of one site must not reach into another's model."""
    federation, coordinator = _coordinator(every(2, aggregate()), executor, steps=4)
    coordinator.local_phase()
    coordinator.exchange_models()
    coordinator._deliver_rest(None)
    together = _rows(federation)
    assert (together == together[0]).all()
    from unpooled.training.questions import Train

    alone = Train(step=2, steps=1, row=together[0] + 1.0, layers=None, send=False, send_layers=None)
    federation.ask({"c": alone})
    apart = _rows(federation)
    assert np.array_equal(np.delete(apart, 2, axis=0), np.delete(together, 2, axis=0))
    assert np.abs(apart[2] - together[2] - 1.0).max() < 1e-9


def test_pulled_rows_cannot_be_changed_by_an_exchange() -> None:
    result = train(sites([4, 4]), _Meddler())
    assert result.rows is not None


class _Meddler(Protocol):
    """Tries to write into what it pulled."""

    summary = "meddles"

    def exchange(self) -> Exchange:
        return every(2, _Write())


class _Write(permute):
    def __call__(self, channel: Any, memory: Any, rng: Any, facts: Facts) -> Any:
        rows = channel.pull()
        with pytest.raises(ValueError, match="read-only"):
            rows[0] = 0.0
        return memory


# --- aggregate -------------------------------------------------------------------------------------------------------


def test_aggregate_gives_all_sites_the_mean() -> None:
    rows = tagged(6)
    assert np.array_equal(after(aggregate(), facts(), rows), np.tile(rows.mean(axis=0), (6, 1)))


def test_weighted_aggregate_weights_by_samples() -> None:
    """Sizes 1 and 3, first numbers 0 and 100: (0 + 3 * 100) / 4 = 75."""
    rows = after(aggregate(mean, weighted=True), facts(2, sizes=[1, 3]), tagged(2))
    assert rows[:, 0].tolist() == [75.0, 75.0]


def test_aggregate_leaves_travelling_optimizer_state_alone() -> None:
    rows = tagged(6, WIDTH)
    found = after(aggregate(), facts(state=True), rows)
    assert np.array_equal(found[:, 6:], rows[:, 6:])
    assert np.array_equal(found[:, :6], np.tile(rows[:, :6].mean(axis=0), (6, 1)))


def test_permute_takes_travelling_optimizer_state_along() -> None:
    rows = tagged(6, WIDTH)
    found = after(permute(), facts(state=True), rows)
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, rows.tolist()))


# --- every, chain, first ---------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(period=st.integers(1, 9), steps=st.integers(1, 40), last=st.booleans())
def test_every_counts_local_steps_from_the_first(period: int, steps: int, last: bool) -> None:
    known = facts(steps=steps)
    due = [t for t in range(steps) if every(period, aggregate(), last).pulls(t, known) is not None]
    wanted = {t for t in range(steps) if (t + 1) % period == 0} | ({steps - 1} if last else set())
    assert due == sorted(wanted)


def test_chain_does_all_in_order_each_on_what_the_one_before_pushed() -> None:
    rows = tagged(6)
    assert np.array_equal(after(chain(permute(), aggregate()), facts(), rows), after(aggregate(), facts(), rows))
    twice = after(chain(permute(), permute()), facts(), rows)
    rng = facts().streams.generator("exchange", 0)
    one, two = rng.permutation(6), rng.permutation(6)
    assert np.array_equal(twice, rows[one][two])


def test_first_does_the_earlier_of_two_that_are_due() -> None:
    rows = tagged(6)
    both = first(every(2, aggregate()), every(1, permute()))
    world = World(both, facts(), rows)
    world.step(0)
    assert len(np.unique(world.rows[:, 0])) == 6, "only permute is due at step 0"
    world.step(1)
    assert len(np.unique(world.rows[:, 0])) == 1, "aggregate has priority at step 1"
    swapped = World(first(every(1, permute()), every(2, aggregate())), facts(), rows)
    swapped.step(1)
    assert len(np.unique(swapped.rows[:, 0])) == 6


def test_permuting_before_or_after_the_mean_is_the_same() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 6))
    wanted = after(aggregate(), facts(), rows)
    for both in (chain(permute(), aggregate()), chain(aggregate(), permute())):
        np.testing.assert_allclose(after(both, facts(), rows), wanted, rtol=0, atol=1e-15)


# --- only ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "columns"),
    [
        (("0",), [0, 1, 2, 3]),
        (("0.bias",), [3]),
        (("1", "0.bias"), [3, 4, 5]),
        (lambda name: name.endswith("weight"), [0, 1, 2, 4, 5]),
    ],
)
def test_only_exchanges_those_layers(layers: Any, columns: list[int]) -> None:
    rows = tagged(6)
    found = after(only(layers, aggregate()), facts(), rows)
    wanted = rows.copy()
    wanted[:, columns] = rows[:, columns].mean(axis=0)
    assert np.array_equal(found, wanted)


def test_only_announces_and_pushes_no_more_than_those_layers() -> None:
    exchange = only(("1", "0.bias"), aggregate())
    pull = exchange.pulls(0, facts())
    assert pull is not None
    assert pull.layers == ("0.bias", "1.weight")
    delivery = World(exchange, facts(), tagged(6)).step(0)
    assert delivery is not None
    assert delivery.layers == ("0.bias", "1.weight")
    assert delivery.rows.shape == (6, 3)


def test_only_of_optimizer_state_moves_nothing_of_the_model() -> None:
    rows = tagged(6, WIDTH)
    found = after(only(("optimizer",), permute()), facts(state=True), rows)
    assert np.array_equal(found[:, :6], rows[:, :6])
    assert sorted(found[:, 6].tolist()) == sorted(rows[:, 6].tolist())


def test_only_with_a_name_that_fits_nothing_says_what_there_is() -> None:
    with pytest.raises(BadSetting, match=r"No layer is called '0.weigth'; there are 0.weight, 0.bias, 1.weight. Did"):
        only(("0.weigth",), aggregate()).init(facts())
    with pytest.raises(BadSetting, match="chose none of the layers"):
        only(lambda name: False, aggregate()).init(facts())
    with pytest.raises(BadSetting, match=r"No layer is called '0.wei'"):
        only(("0.wei",), aggregate()).init(facts())  # a prefix ends at a dot


# --- nested ----------------------------------------------------------------------------------------------------------


def test_a_partial_aggregate_then_permute_moves_the_aggregated_layers_too() -> None:
    rows = tagged(6)
    found = after(chain(only(("0",), aggregate()), permute()), facts(), rows)
    assert np.array_equal(found[:, :4], np.tile(rows[:, :4].mean(axis=0), (6, 1)))
    assert sorted(found[:, 4].tolist()) == sorted(rows[:, 4].tolist())
    assert not np.array_equal(found[:, 4], rows[:, 4])


def test_permute_then_a_partial_aggregate_keeps_both() -> None:
    rows = tagged(6)
    found = after(chain(permute(), only(("0",), aggregate())), facts(), rows)
    assert np.array_equal(found[:, :4], np.tile(rows[:, :4].mean(axis=0), (6, 1)))
    assert not np.array_equal(found[:, 4], rows[:, 4])


def test_layers_may_be_permuted_apart() -> None:
    """As in FedMR: each layer hops by itself, and no number is lost."""
    rows = tagged(6)
    found = after(chain(only(("0",), permute()), only(("1",), permute())), facts(), rows)
    for column in range(6):
        assert sorted(found[:, column].tolist()) == sorted(rows[:, column].tolist())
    assert not np.array_equal(found[:, 4] - 4, found[:, 0]), "both layers took the same permutation"


def test_only_within_only_is_the_inner_choice() -> None:
    rows = tagged(6)
    nested = after(only(("0",), only(("0.bias",), aggregate())), facts(), rows)
    assert np.array_equal(nested, after(only(("0.bias",), aggregate()), facts(), rows))


def test_only_around_a_chain_is_the_chain_of_onlys() -> None:
    rows = tagged(6)
    around = only(("0",), chain(permute(), every(2, aggregate())))
    within = chain(only(("0",), permute()), only(("0",), every(2, aggregate())))
    assert np.array_equal(after(around, facts(), rows, 3), after(within, facts(), rows, 3))


@pytest.mark.parametrize(
    "make",
    [
        lambda: subset(0.5, only(("0",), aggregate()), 2),
        lambda: only(("0",), subset(0.5, aggregate(), 2)),
    ],
)
def test_subset_and_only_may_be_nested_either_way(make: Callable[[], Exchange]) -> None:
    rows, exchange, known = tagged(6), make(), facts()
    now = exchange.active(0, known)
    assert now is not None
    wanted = rows.copy()
    wanted[np.ix_(now, range(4))] = rows[np.ix_(now, range(4))].mean(axis=0)
    assert np.array_equal(after(exchange, known, rows), wanted)


# --- subset ----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(fraction=st.floats(0.01, 1.0), m=st.integers(1, 10), period=st.integers(1, 5), root=st.integers(0, 50))
def test_subset_draws_that_share_of_sites_once_a_period(fraction: float, m: int, period: int, root: int) -> None:
    exchange, known = subset(fraction, aggregate(), period), facts(m, root=root)
    drawn = [exchange.active(t, known) for t in range(4 * period)]
    for t, now in enumerate(drawn):
        assert now is not None
        assert len(set(now.tolist())) == len(now) == max(1, int(np.floor(fraction * m + 0.5)))
        assert same_sites(now, drawn[t - t % period])
        assert sorted(now.tolist()) == now.tolist()


def test_every_site_gets_its_turn() -> None:
    exchange, known = subset(0.2, aggregate(), 1), facts(10)
    turns = np.bincount(np.concatenate([exchange.active(t, known) for t in range(2000)]), minlength=10)
    assert abs(turns / 2000 - 0.2).max() < 4 * np.sqrt(0.2 * 0.8 / 2000)


def test_a_chain_in_a_subset_moves_only_the_active_and_hands_on_to_the_next() -> None:
    rows, known = tagged(6), facts()
    exchange = subset(0.5, first(every(2, aggregate()), every(1, permute())), 2)
    now, following = exchange.active(0, known), exchange.active(2, known)
    assert now is not None
    assert following is not None
    world = World(exchange, known, rows)
    world.step(0)
    idle = np.setdiff1d(np.arange(6), now)
    assert np.array_equal(world.rows[idle], rows[idle])
    assert sorted(world.rows[now, 0].tolist()) == sorted(rows[now, 0].tolist())
    world.step(1)
    assert np.array_equal(world.rows[following], np.tile(rows[now].mean(axis=0), (3, 1)))
    untouched = np.setdiff1d(np.arange(6), np.union1d(now, following))
    assert np.array_equal(world.rows[untouched], rows[untouched])


def test_weights_in_a_subset_are_those_of_the_active() -> None:
    rows, known = tagged(6), facts(sizes=[1, 2, 4, 8, 16, 32])
    exchange = subset(0.5, aggregate(mean, weighted=True), 3)
    now = exchange.active(0, known)
    assert now is not None
    found = after(exchange, known, rows)
    np.testing.assert_allclose(found[now[0]], np.average(rows[now], axis=0, weights=2.0**now))


def test_exchanges_that_disagree_on_who_is_active_are_refused() -> None:
    for parts in (
        (subset(0.5, aggregate(), 2), permute()),
        (subset(0.5, aggregate(), 1), subset(0.3, permute(), 1)),
    ):
        with pytest.raises(BadSetting, match=r"put subset\(...\) around the chain"):
            chain(*parts).active(0, facts())
    agreeing = subset(0.5, aggregate(), 1)
    assert chain(agreeing, agreeing).active(0, facts()) is not None


def test_nothing_is_never_due() -> None:
    assert after(Nothing(), facts(), tagged(6), 5).tolist() == tagged(6).tolist()


MEANINGLESS: list[Callable[[], Exchange]] = [
    lambda: every(0, permute()),
    lambda: subset(0.0, permute(), 1),
    lambda: subset(0.5, permute(), 0),
]


@pytest.mark.parametrize("make", MEANINGLESS)
def test_settings_without_meaning_are_refused(make: Callable[[], Exchange]) -> None:
    with pytest.raises(BadSetting, match="got 0"):
        make()


# --- the channel of one round against a dense model -------------------------------------------------------------------


@st.composite
def plans(draw: st.DrawFn) -> tuple[Pull | None, list[tuple[str, Sites, Layers, int]]]:
    which = st.one_of(
        st.none(),
        st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True).map(lambda s: np.array(sorted(s))),
    )
    parts = st.one_of(
        st.none(),
        st.sets(st.sampled_from(list(LAYERS)), min_size=1).map(lambda s: tuple(n for n in LAYERS if n in s)),
    )
    pull = draw(st.one_of(st.none(), st.builds(Pull, which, parts)))
    one = st.tuples(st.sampled_from(["pull", "push", "push one row"]), which, parts, st.integers(0, 10**6))
    return pull, draw(st.lists(one, max_size=6))


@settings(deadline=None, max_examples=400)
@given(plans())
def test_a_channel_behaves_like_a_matrix(plan: tuple[Pull | None, list[tuple[str, Sites, Layers, int]]]) -> None:
    pull, calls = plan
    known = facts(5, state=True)
    start = tagged(5, WIDTH)
    sites_hold, naive = World(Nothing(), known, start), World(Nothing(), known, start)
    held = None if pull is None else sites_hold.read(pull.sites, pull.layers)
    channel = RoundChannel(0, known, pull, held, sites_hold.read)
    pushed = np.zeros(start.shape, dtype=bool)
    for what, who, layers, seed in calls:
        if what == "pull":
            assert np.array_equal(channel.pull(who, layers), naive.read(who, layers))
        else:
            rows = np.random.default_rng(seed).normal(size=naive.read(who, layers).shape)
            rows = rows[0] if what == "push one row" else rows
            channel.push(rows, who, layers)
            naive.write(rows, who, layers)
            pushed[naive._where(who, layers)] = True
    delivery = channel.delivery()
    if delivery is None:
        assert not pushed.any()
        return
    sites_hold.write(delivery.rows, delivery.sites, delivery.layers)
    assert np.array_equal(sites_hold.rows, naive.rows)


@pytest.mark.parametrize("shape", [(5, WIDTH - 1), (4, WIDTH), (WIDTH + 1,), (1, 5, WIDTH)])
def test_rows_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    channel = RoundChannel(0, facts(5, state=True), None, None, lambda s, p: tagged(5, WIDTH))
    with pytest.raises(BadSetting, match=r"5 sites need \(5, 9\)"):
        channel.push(np.zeros(shape))


def test_unannounced_rows_are_asked_for_once() -> None:
    asked = []

    def fetch(who: Sites, layers: Layers) -> Array:
        asked.append((who, layers))
        return tagged(5, WIDTH)

    channel = RoundChannel(0, facts(5, state=True), None, None, fetch)
    assert np.array_equal(channel.pull(), tagged(5, WIDTH))
    channel.pull()
    channel.pull(np.array([1, 3]), ("0.bias",))
    assert asked == [(None, None)]
