"""Dynamic averaging against its theory (Kamp et al., ECML PKDD 2014 and 2018) and a transcript of its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from tests.contract.federations import sites, train
from unpooled.combine import Array
from unpooled.errors import BadSetting
from unpooled.sites.site import Site, samples
from unpooled.training.balance import Augmentation, balance
from unpooled.training.channel import RoundChannel
from unpooled.training.exchange import Facts
from unpooled.training.protocols import DynamicAveraging, FedAvg, Local
from unpooled.training.recipe import recipe
from unpooled.training.train import Training, federation_of, run

AUGMENTATIONS = get_args(Augmentation)
M, P = 12, 5


@dataclass
class Walk:
    """Models that drift at random, some faster than others, under one balancing operator."""

    operator: balance
    seed: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        layers = {"w": slice(0, P)}
        sizes = np.arange(1, M + 1)
        start = np.zeros(P)
        self.facts = Facts(tuple("abcdefghijkl"), sizes, layers, ("w",), 400, batches=sizes, start=start)
        self.rows: Array = np.zeros((M, P))
        self.reference: Array = np.zeros((M, P))
        self.memory: Any = self.operator.init(self.facts)
        self.transfers = 0

    def step(self, t: int) -> tuple[Array, Array, Any]:
        """One local step of everybody, then the exchange; the models before and after it, and what was pushed."""
        self.rows = self.rows + self.rng.normal(0, 0.05, (M, P)) * np.linspace(0.2, 2, M)[:, None] + 0.01
        before, delivery = self.rows.copy(), None
        pull = self.operator.pulls(t, self.facts)
        if pull is not None:
            assert pull.poll is not None
            bits = ((self.rows - self.reference) ** 2).sum(axis=1) > pull.poll.threshold
            channel = RoundChannel(t, self.facts, None, None, self._fetch, bits)
            self.memory = self.operator(channel, self.memory, self.facts.streams.generator("exchange", t), self.facts)
            delivery = channel.delivery()
        if delivery is not None:
            where = slice(None) if delivery.sites is None else delivery.sites
            self.rows[where] = delivery.rows
            self.transfers += len(delivery.rows)
            if delivery.anchor:
                assert delivery.sites is None
                self.reference[:] = delivery.rows
        return before, self.rows.copy(), delivery

    def _fetch(self, who: Any, layers: Any) -> Array:
        rows = self.rows if who is None else self.rows[who]
        self.transfers += len(rows)
        return rows.copy()


@pytest.mark.parametrize("schedule", ["constant", "inverse_sqrt"])
@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_divergence_stays_below_the_threshold_and_the_mean_where_it_was(augmentation: Any, schedule: Any) -> None:
    """T1, T2 and T3 at every check; both partial and full synchronisations are seen unless all are full."""
    operator = balance(0.15, 2, augmentation, schedule=schedule)
    walk, anywhere = Walk(operator), np.random.default_rng(1).normal(size=P)
    for t in range(400):
        before, after, delivery = walk.step(t)
        if t % 2 == 1:
            divergence = ((after - after.mean(axis=0)) ** 2).sum(axis=1).mean()
            limit = operator.threshold / ((t + 1) // 2) ** 0.5 if schedule == "inverse_sqrt" else operator.threshold
            assert divergence <= limit * (1 + 1e-9)
            assert (((after - walk.reference) ** 2).sum(axis=1) <= limit * (1 + 1e-9)).all()
        else:
            assert delivery is None
        np.testing.assert_allclose(after.mean(axis=0), before.mean(axis=0), rtol=0, atol=1e-12)
        assert ((after - anywhere) ** 2).sum() <= ((before - anywhere) ** 2).sum() + 1e-9
    assert walk.memory["full"] > 0
    assert (walk.memory["partial"] > 0) == (augmentation != "full")
    assert walk.transfers < 400 * M  # periodic averaging at every check: 2 * 200 * M


def test_weighted_balancing_keeps_the_mean_weighted_by_examples_seen() -> None:
    """Algorithm 2 of the 2018 paper: weights are the examples since the site last synchronised."""
    walk, seen = Walk(balance(0.15, 1, "random", weighted=True)), np.zeros(M)
    moved = 0.0
    for t in range(300):
        before, after, delivery = walk.step(t)
        seen += np.arange(1, M + 1)
        if delivery is None:
            continue
        members = np.arange(M) if delivery.sites is None else delivery.sites
        share = seen[members, None] / seen[members].sum()
        np.testing.assert_allclose(delivery.rows[0], (share * before[members]).sum(axis=0), atol=1e-12)
        assert len(np.unique(delivery.rows, axis=0)) == 1
        moved = max(moved, float(abs(after.mean(axis=0) - before.mean(axis=0)).max()))
        seen[members] = 0
    assert moved > 1e-3  # the plain mean is another one


def by_the_book(walk: Walk, t: int, counter: int, reference: Array, threshold: float) -> tuple[Array, bool, int]:
    """Steps 1 to 3 of the coordinator, one site at a time, in the order that the operator draws."""
    rows, rng = walk.rows.copy(), walk.facts.streams.generator("exchange", t)
    members = [i for i in range(M) if ((rows[i] - reference) ** 2).sum() > threshold]
    if not members:
        return rows, False, counter
    counter += len(members)
    if counter >= M:
        members = list(range(M))
    else:
        waiting = list(rng.permutation([i for i in range(M) if i not in members]))
        while len(members) < M and ((rows[members].mean(axis=0) - reference) ** 2).sum() > threshold:
            members.append(waiting.pop(0))
    rows[members] = rows[members].mean(axis=0)
    full = len(members) == M
    return rows, full, 0 if full else counter


def test_the_operator_does_what_the_book_says() -> None:
    walk, shadow, counter = Walk(balance(0.2)), Walk(balance(0.2)), 0
    for t in range(300):
        _, after, _ = walk.step(t)
        shadow.rows = shadow.rows + shadow.rng.normal(0, 0.05, (M, P)) * np.linspace(0.2, 2, M)[:, None] + 0.01
        shadow.rows, full, counter = by_the_book(shadow, t, counter, shadow.reference[0], 0.2)
        if full:
            shadow.reference[:] = shadow.rows[0]
        np.testing.assert_allclose(after, shadow.rows, atol=1e-12)


def same(found: Array | None, wanted: Array | None, executor: str) -> None:
    """To the bit, except that the vectorised executor takes a step from one common model by another program."""
    assert found is not None
    assert wanted is not None
    np.testing.assert_allclose(found, wanted, rtol=0 if executor == "reference" else 1e-12, atol=0)


@pytest.mark.parametrize("executor", ["reference", "vectorised"])
@pytest.mark.parametrize("period", [1, 3])
def test_a_threshold_of_zero_is_periodic_averaging(executor: str, period: int) -> None:
    members = sites((4, 4, 4))
    dynamic = train(members, DynamicAveraging(0.0, period), executor=executor, steps=12)
    same(dynamic.rows, train(members, FedAvg(period), executor=executor, steps=12).rows, executor)


@pytest.mark.parametrize("executor", ["reference", "vectorised"])
def test_an_endless_threshold_is_training_alone(executor: str) -> None:
    members = sites((4, 4, 4))
    alone = train(members, Local(), executor=executor, steps=9)
    dynamic = train(members, DynamicAveraging(1e30), executor=executor, steps=9)
    same(dynamic.rows, alone.rows, executor)


def test_one_site_needs_nobody() -> None:
    members = sites((5,))
    np.testing.assert_allclose(
        train(members, DynamicAveraging(1e-6), steps=9).rows, train(members, Local(), steps=9).rows, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"threshold": -1.0}, "threshold"),
        ({"threshold": 1.0, "check_period": 0}, "check_period|period"),
        ({"threshold": 1.0, "augmentation": "dubling"}, "doubling"),
        ({"threshold": 1.0, "schedule": "linear"}, "inverse_sqrt"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        DynamicAveraging(**settings)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def test_digits_need_few_transfers_for_the_accuracy_of_periodic_averaging() -> None:
    """Ten learners with 140 digits each: a third of the steps of the published check, half of its margins."""
    X, y = load_digits(return_X_y=True)
    X, order = X.astype(np.float32) / 16, np.random.default_rng(0).permutation(1797)
    members = [Site(f"s{i}", samples(X[p], y[p])) for i, p in enumerate(np.split(order[:1400], 10))]
    test = samples(X[order[1400:]], y[order[1400:]])
    accuracy, transfers = {}, {}
    for name, protocol in (("periodic", FedAvg(10)), ("dynamic", DynamicAveraging(1.0, 10)), ("alone", Local())):
        torch.manual_seed(0)
        how = recipe(net(), lr=0.2, batch_size=10, executor="vectorised")
        training = Training(federation_of(members), how, protocol, steps=700, test=test, evaluate_every=700)
        accuracy[name] = run(training).final()
        transfers[name] = training.coordinator.transfers
    assert transfers["alone"] == 0
    assert transfers["periodic"] == 2 * 10 * 70
    assert transfers["dynamic"] < transfers["periodic"] / 3
    assert accuracy["dynamic"] > accuracy["periodic"] - 0.015
