"""The audit: attacks against distributions that are known, and against models that remember or forget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from torch import nn

import unpooled as up
from tests.contract.federations import sites, training
from unpooled.combine import Array
from unpooled.errors import BadData, BadSetting
from unpooled.seeds import Streams
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.coordinator import Coordinator
from unpooled.training.observation import models_of
from unpooled.training.privacy import DPSGD, ClipAndNoise
from unpooled.training.privacy.audit.attacks import advantage_bound, area, found_at, likelihood_ratio, loss_threshold
from unpooled.training.privacy.audit.worlds import halves, in_worlds
from unpooled.training.protocols import DynamicAveraging, FedAvg, FedDC, Local, Pooled, Protocol
from unpooled.training.questions import install
from unpooled.training.recipe import recipe
from unpooled.training.train import initialised

# --- the attacks on known distributions ------------------------------------------------------------------------------


def known(shift: float, worlds: int, rows: int = 400) -> tuple[Array, Array]:
    """Confidences N(row's own level + shift if in, 1), and who is in: pairs of complementary halves."""
    rng = np.random.default_rng(int(10 * shift) + worlds)
    first = np.array([rng.permutation(rows) < rows // 2 for _ in range(worlds // 2)])
    members = np.stack([first, ~first], axis=1).reshape(worlds, rows)
    return rng.normal(3 * rng.normal(size=rows) + shift * members, 1.0), members


@pytest.mark.parametrize("worlds", [16, 80])
def test_the_likelihood_ratio_attack_is_as_good_as_theory_allows(worlds: int) -> None:
    """Between N(0, 1) and N(2, 1) the best area is Phi(2 / sqrt 2), the best advantage 2 Phi(1) - 1, TPR Phi(2 - z)."""
    found = likelihood_ratio(*known(2.0, worlds))
    slack = 0.06 if worlds == 16 else 0.03  # levels are estimated from few worlds
    assert found.auc == pytest.approx(norm.cdf(np.sqrt(2)), abs=slack)
    assert found.advantage == pytest.approx(2 * norm.cdf(1) - 1, abs=slack)
    assert found.tpr == pytest.approx(norm.cdf(2 - norm.ppf(0.99)), abs=2 * slack)


def test_a_common_threshold_is_worse_where_rows_differ() -> None:
    phi, members = known(2.0, 16)
    assert loss_threshold(-phi, members).auc < likelihood_ratio(phi, members).auc - 0.1


@pytest.mark.parametrize("worlds", [8, 16, 80])
def test_without_a_leak_both_attacks_guess(worlds: int) -> None:
    phi, members = known(0.0, worlds)
    for found in (likelihood_ratio(phi, members), loss_threshold(-phi, members)):
        assert abs(found.auc - 0.5) < 1.5 * found.auc_half_width < 0.05
        assert abs(found.advantage) < 1.5 * found.advantage_half_width < 0.1


def test_areas_and_rates_by_hand() -> None:
    assert area(np.array([2.0, 1.0]), np.array([1.0, 0.0])) == 3.5 / 4
    outside = np.arange(200.0)
    assert found_at(np.array([197.5, 198.5, 5.0]), outside, 0.01) == 2 / 3, "above 197 there are two of 200"
    assert np.isnan(found_at(np.array([1.0]), outside[:99], 0.01))


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0])
def test_the_bound_on_the_advantage_is_that_of_randomised_response(epsilon: float) -> None:
    """Which says the truth with probability e^epsilon / (1 + e^epsilon), and is epsilon-private."""
    truth = np.exp(epsilon) / (1 + np.exp(epsilon))
    assert advantage_bound(epsilon, 0.0) == pytest.approx(truth - (1 - truth))
    assert advantage_bound(1e9, 0.0) == 1.0 == advantage_bound(0.0, 1.0)


# --- worlds ----------------------------------------------------------------------------------------------------------


def test_halves_are_halves_and_twins_are_complements() -> None:
    members = sites([4, 5, 8])
    split = halves(members, 8, Streams(0))
    assert [site.size for site in split.sites] == [2, 2, 4] * 8
    assert split.members.shape == (8, 17)
    left_out = ~(split.members[0::2] | split.members[1::2])
    assert left_out.sum(axis=1).tolist() == [1] * 4, "one of the five rows"
    assert not (split.members[0::2] & split.members[1::2]).any()
    for world in range(8):
        rows = np.concatenate([site.train.X for site in split.sites[3 * world : 3 * world + 3]])  # type: ignore[union-attr]
        everything = np.concatenate([site.train.X for site in members])  # type: ignore[union-attr]
        assert np.array_equal(rows, everything[split.members[world]])
    with pytest.raises(BadData, match="Site 'b' has one row, which cannot be halved"):
        halves(sites([4, 1]), 8, Streams(0))


@pytest.mark.parametrize(
    ("protocol", "executor"),
    [(FedAvg(2), "vectorised"), (FedAvg(3, weighted_by_samples=True), "reference"), (up.FedAvgM(2), "reference")],
)
def test_a_world_is_a_training_of_its_own(protocol: Protocol, executor: str) -> None:
    """For protocols that draw nothing, each world ends as the same sites do when they train alone."""
    split = halves(sites([4, 6, 8]), 8, Streams(0))
    made = recipe(initialised(lambda: training(sites([4]), Local()).recipe.module, 0), lr=0.1, executor=executor)
    federation = InProcess.of(split.sites)
    install(split.sites, made)
    program = in_worlds(8, protocol.exchange())
    coordinator = Coordinator(federation, made, program, steps=5)
    while not coordinator.done:
        coordinator.local_phase()
        before = models_of(federation).reshape(8, 3, -1).copy()
        memory = coordinator.state()["memory"]
        coordinator.exchange_models()
    coordinator.finish()
    together = models_of(federation).reshape(8, 3, -1)
    for world in (0, 5):
        alone = split.sites[3 * world : 3 * world + 3]
        result = training(alone, protocol, model=lambda: made.module, steps=5, executor=executor)
        while not result.done:
            result.advance()
        np.testing.assert_allclose(together[world], result.result.rows, rtol=1e-9)  # type: ignore[arg-type]
        aggregate = program.previews(before, 4, memory, coordinator.facts)[world]
        np.testing.assert_allclose(aggregate, result.result.aggregate_row, rtol=1e-9)  # type: ignore[arg-type]


def test_models_hop_within_their_world() -> None:
    split = halves(sites([4, 4, 4, 4]), 8, Streams(0))
    made = recipe(training(sites([4]), Local()).recipe.module, lr=0.1, executor="reference")
    federation = InProcess.of(split.sites)
    install(split.sites, made)
    coordinator = Coordinator(federation, made, in_worlds(8, FedDC(1, 5).exchange()), steps=2)
    coordinator.local_phase()
    before = models_of(federation).reshape(8, 4, -1).copy()
    coordinator.exchange_models()
    coordinator._deliver_rest(None)
    after = models_of(federation).reshape(8, 4, -1)
    orders = []
    for world in range(8):
        orders.append([int(np.flatnonzero((before[world] == row).all(axis=1))[0]) for row in after[world]])
        assert sorted(orders[-1]) == [0, 1, 2, 3]
    assert len({tuple(order) for order in orders}) > 1, "worlds draw different permutations"


# --- the audit -------------------------------------------------------------------------------------------------------


def forgetful(privacy: Any = None, protocol: Protocol | None = None, **settings: Any) -> Any:
    """Random labels of rows in 60 dimensions: a linear model can only remember them, and nothing carries over."""
    rng = np.random.default_rng(0)
    members = {f"s{i}": (rng.normal(size=(40, 60)), rng.integers(0, 2, 40)) for i in range(5)}
    test = (rng.normal(size=(100, 60)), rng.integers(0, 2, 100))
    case: dict[str, Any] = {"steps": 60, "lr": 1.0, "worlds": 8, "test": test, "threads": 1, **settings}
    return up.audit(lambda: nn.Linear(60, 2), members, protocol or FedAvg(5), privacy=privacy, **case)


def advantages(audit: Any) -> dict[tuple[str, str], float]:
    return {key: found.advantage for key, found in audit.found.items()}


def test_who_remembers_gives_away_and_the_advantage_falls_with_epsilon() -> None:
    plain = forgetful()
    assert min(advantages(plain).values()) > 0.3
    assert plain.found["single model", "likelihood ratio"].auc > plain.found["aggregate", "loss threshold"].auc
    assert plain.value == pytest.approx(0.5, abs=0.1), "there is nothing to learn"
    assert plain.epsilon is None
    noisy = [forgetful(ClipAndNoise(1.0, noise)) for noise in (0.2, 2.0, 40.0)]
    spent = [audit.epsilon for audit in noisy]
    assert spent == sorted(spent, reverse=True)
    for view in plain.found:
        best = [advantages(audit)[view] for audit in (plain, *noisy)]
        assert best[0] > best[2] + 0.1, "measured: 0.26 to 0.64 more"
        assert best[0] > best[3] + 0.15, "measured: 0.30 to 0.68 more"
        assert best[3] <= advantage_bound(spent[-1], 1e-5) + noisy[-1].found[view].advantage_half_width
    assert spent[-1] < 1.0


def test_dp_sgd_hides_members_too() -> None:
    private = forgetful(DPSGD(1.0, 20.0), steps=20)
    for view, found in private.found.items():
        assert found.advantage <= advantage_bound(private.epsilon, 1e-5) + found.advantage_half_width, view


def test_under_secure_sums_nobody_sees_single_models() -> None:
    found = forgetful(secure_sum=True, steps=10)
    assert {seen for seen, _ in found.found} == {"aggregate"}


def test_the_frame_says_it_all() -> None:
    frame = forgetful(ClipAndNoise(1.0, 1.0), steps=5).frame()
    assert frame[["protocol", "worlds", "rows", "metric", "delta"]].drop_duplicates().values.tolist() == [
        ["FedAvg(5)", 8, 200, "accuracy", 1e-5]
    ]
    assert frame[["seen", "attack"]].values.tolist() == [
        [seen, attack] for seen in ("aggregate", "single model") for attack in ("loss threshold", "likelihood ratio")
    ]


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ({"worlds": 7}, "worlds must be an even number of at least 8, got 7"),
        ({"worlds": 6}, "worlds must be an even number of at least 8, got 6"),
        ({"protocol": Pooled()}, "hands over the rows themselves"),
        ({"protocol": FedAvg(5, fraction=0.5)}, "a protocol without a fraction of sites"),
        ({"protocol": DynamicAveraging(0.1)}, "all sites send at fixed times"),
    ],
)
def test_what_cannot_be_audited_is_refused(case: dict[str, Any], told: str) -> None:
    with pytest.raises(BadSetting, match=told):
        forgetful(**case)
