"""Server optimizers against a transcript of the published rules, and against training written out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from torch import nn

from tests.contract.federations import assert_equal_result, net, sites, train
from tests.contract.programs import quick
from tests.contract.test_operators import facts
from tests.oracle.by_hand import Event, flat, run_by_hand
from unpooled.combine import Array
from unpooled.errors import BadSetting
from unpooled.seeds import Streams
from unpooled.training.protocols import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedDC, FedYogi, Protocol
from unpooled.training.server_optimizers import Adaptive, Momentum
from unpooled.training.train import initialised

__all__ = ["quick"]
pytestmark = pytest.mark.usefixtures("quick")

executors = pytest.mark.parametrize("executor", ["reference", "vectorised"])
RULES: dict[str, type[Protocol]] = {"adagrad": FedAdagrad, "adam": FedAdam, "yogi": FedYogi}
STEPS = 11


def start() -> nn.Module:
    return initialised(net, 0)


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


class Transcript:
    """Algorithm 2 of Reddi et al. for one coordinate, in plain numbers."""

    def __init__(self, rule: str, x: float, eta: float, beta1: float, beta2: float, tau: float) -> None:
        self.rule, self.x, self.eta, self.beta1, self.beta2, self.tau = rule, x, eta, beta1, beta2, tau
        self.m, self.v = 0.0, tau**2

    def step(self, delta: float) -> None:
        self.m = self.beta1 * self.m + (1 - self.beta1) * delta
        if self.rule == "adagrad":
            self.v = self.v + delta * delta
        elif self.rule == "yogi":
            sign = (self.v > delta * delta) - (self.v < delta * delta)
            self.v = self.v - (1 - self.beta2) * delta * delta * sign
        else:
            self.v = self.beta2 * self.v + (1 - self.beta2) * delta * delta
        self.x = self.x + self.eta * self.m / (self.tau + math.sqrt(self.v))


@pytest.mark.parametrize("rule", RULES)
def test_the_three_rules_coordinate_by_coordinate(rule: str) -> None:
    optimizer = Adaptive(rule, 0.03)  # type: ignore[arg-type]
    deltas = np.random.default_rng(0).normal(size=(40, 5)) * 10.0 ** np.arange(-4, 1)
    plain = [Transcript(rule, 0.0, 0.03, 0.9, 0.99, 1e-3) for _ in range(5)]
    x, moments = np.zeros(5), optimizer.init(5)
    for delta in deltas:
        step, moments = optimizer.step(delta, moments)
        x = x + step
        for coordinate, d in zip(plain, delta.tolist(), strict=True):
            coordinate.step(d)
    np.testing.assert_allclose(x, [c.x for c in plain], rtol=1e-13)
    np.testing.assert_allclose(moments["v"], [c.v for c in plain], rtol=1e-13)


def test_v_holds_the_square_of_each_coordinate() -> None:
    """Published code of the experiments on daisy-chaining used the norm of delta, not squared, for all coordinates."""
    delta, tau = np.array([0.3, -0.4]), 1e-3
    v = {rule: Adaptive(rule, 0.1).step(delta, Adaptive(rule, 0.1).init(2))[1]["v"] for rule in RULES}  # type: ignore[arg-type]
    close(v["adagrad"], [tau**2 + 0.09, tau**2 + 0.16])
    close(v["adam"], [0.99 * tau**2 + 0.01 * 0.09, 0.99 * tau**2 + 0.01 * 0.16])
    close(v["yogi"], [tau**2 + 0.01 * 0.09, tau**2 + 0.01 * 0.16])  # delta^2 > v, so v grows


def test_yogi_lets_v_shrink_where_delta_is_small() -> None:
    """v = 1, delta = 0.5: v - 0.01 * 0.25 * sign(1 - 0.25) = 0.9975; with the sign turned round it would grow."""
    _, moments = Adaptive("yogi", 0.1).step(np.array([0.5]), {"m": np.zeros(1), "v": np.ones(1)})
    close(moments["v"], [0.9975])


def by_the_server(rule: str, period: int, daisy: int | None, m: int, **settings: float) -> tuple[Event, list[Any]]:
    """Each coordinate of the model by its own transcript; models hop as the streams of seed 0 say."""
    values = {"eta": 0.03, "beta1": 0.9, "beta2": 0.99, "tau": 1e-3, **settings}
    coordinates = [Transcript(rule, x, **values) for x in flat(start()).tolist()]

    def event(t: int, rows: Array) -> Array:
        if (t + 1) % period == 0 or t == STEPS - 1:
            for c, mean in zip(coordinates, rows.mean(axis=0).tolist(), strict=True):
                c.step(mean - c.x)
            return np.tile([c.x for c in coordinates], (m, 1))
        if daisy is not None and (t + 1) % daisy == 0:
            return rows[Streams(0).generator("exchange", t).permutation(m)]
        return rows

    return event, coordinates


@executors
@pytest.mark.parametrize("daisy", [None, 1])
@pytest.mark.parametrize("rule", RULES)
def test_training_with_an_adaptive_server_is_the_loop_by_hand(rule: str, daisy: int | None, executor: str) -> None:
    members = sites([4, 7, 1])
    event, coordinates = by_the_server(rule, 4, daisy, 3)
    wanted = run_by_hand(members, start, STEPS, event)
    found = train(members, RULES[rule](4, daisy_period=daisy), executor=executor)  # type: ignore[call-arg]
    np.testing.assert_allclose(found.rows, wanted, rtol=1e-10, atol=1e-12)  # v near tau^2 magnifies rounding
    np.testing.assert_allclose(found.aggregate_row, [c.x for c in coordinates], rtol=1e-10, atol=1e-12)


def test_all_settings_of_the_server_are_used() -> None:
    event, _ = by_the_server("adam", 3, None, 2, eta=0.2, beta1=0.5, beta2=0.7, tau=0.1)
    wanted = run_by_hand(sites([4, 5]), start, STEPS, event)
    found = train(sites([4, 5]), FedAdam(3, server_lr=0.2, beta1=0.5, beta2=0.7, tau=0.1), executor="reference")
    close(found.rows, wanted)


@executors
@pytest.mark.parametrize("eta", [0.5, 1.0, 2.0])
def test_a_server_step_is_a_part_of_the_way_to_the_mean(eta: float, executor: str) -> None:
    """r <- r + eta (mean - r), alone and with models that hop between."""
    members, r = sites([4, 7, 1]), [flat(start())]

    def event(t: int, rows: Array) -> Array:
        if (t + 1) % 3 and t < STEPS - 1:
            return rows
        r.append(r[-1] + eta * (rows.mean(axis=0) - r[-1]))
        return np.tile(r[-1], (3, 1))

    wanted = run_by_hand(members, start, STEPS, event)
    found = train(members, FedAvg(3, server_lr=eta), executor=executor)
    close(found.rows, wanted)
    close(found.aggregate_row, r[-1])
    close(train(members, FedDC(99, 3, server_lr=eta), executor=executor).rows, wanted)
    close(train(members, FedAvgM(3, momentum=0.0, server_lr=eta), executor=executor).rows, wanted)


@executors
def test_a_server_step_of_one_is_federated_averaging(executor: str) -> None:
    case: dict[str, Any] = {"executor": executor, "batch_size": 3}
    members, plain = sites([4, 7, 2]), train(sites([4, 7, 2]), FedAvg(3), **case)
    assert_equal_result(train(members, FedAvg(3, server_lr=1.0), **case), plain)
    close(train(members, FedAvgM(3, momentum=0.0), **case).rows, plain.rows)
    assert np.abs(train(members, FedAvg(3, server_lr=0.9), **case).rows - plain.rows).max() > 1e-3  # type: ignore[operator]


@executors
def test_momentum_at_the_server_by_hand(executor: str) -> None:
    members, x, v = sites([4, 7]), [flat(start())], [0.0 * flat(start())]

    def event(t: int, rows: Array) -> Array:
        if (t + 1) % 2 and t < STEPS - 1:
            return rows
        v.append(0.6 * v[-1] + rows.mean(axis=0) - x[-1])
        x.append(x[-1] + 0.8 * v[-1])
        return np.tile(x[-1], (2, 1))

    wanted = run_by_hand(members, start, STEPS, event)
    close(train(members, FedAvgM(2, momentum=0.6, server_lr=0.8), executor=executor).rows, wanted)


@pytest.mark.parametrize(
    "protocol", [FedAdam(3), FedAdagrad(3), FedYogi(3), FedAvgM(3, server_lr=2.0), FedAvg(3, server_lr=3.0)]
)
def test_running_statistics_are_averaged_not_optimised(protocol: Protocol) -> None:
    """A server step could make a running variance negative; it becomes the sites' mean, as in FedAvg."""

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()

    members = sites([4, 7, 3])
    case: dict[str, Any] = {"executor": "reference", "model": model, "steps": 3}
    stepped, averaged = train(members, protocol, **case), train(members, FedAvg(3), **case)
    for site in stepped.models:
        for name in ("1.running_mean", "1.running_var"):
            close(stepped.models[site][name], averaged.models[site][name])
        assert (stepped.models[site]["0.weight"] - averaged.models[site]["0.weight"]).abs().max() > 1e-3


def test_a_server_that_knows_no_first_model_is_refused() -> None:
    with pytest.raises(BadSetting, match="has to know the model that all sites begin with"):
        FedAdam(3).exchange().init(facts())


BAD: list[tuple[Any, str]] = [
    (lambda: FedAdam(0), "aggregate_period must be"),
    (lambda: FedAdam(3, server_lr=0.0), "server_lr must be a finite number above 0"),
    (lambda: FedAdam(3, tau=0.0), "tau must be a finite number above 0"),
    (lambda: FedYogi(3, beta1=1.0), "beta1 must be at least 0 and below 1"),
    (lambda: FedAdagrad(3, beta2=-0.1), "beta2 must be at least 0 and below 1"),
    (lambda: FedAdam(3, daisy_period=0), "daisy_period must be"),
    (lambda: FedAdam(3, fraction=0.0), "fraction must lie"),
    (lambda: FedAvgM(3, momentum=1.0), "momentum must be at least 0 and below 1"),
    (lambda: FedAvgM(3, daisy_period=0), "daisy_period must be"),
    (lambda: FedAvg(3, server_lr=-1.0), "server_lr must be a finite number above 0"),
    (lambda: FedDC(1, 3, server_lr=float("inf")), "server_lr must be a finite number above 0"),
    (lambda: Momentum(lr=float("nan")), "server_lr must be a finite number above 0"),
    (lambda: Adaptive("adagard", 0.1), "There is no rule 'adagard'.*Did you mean 'adagrad'"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "text"), BAD)
def test_settings_without_meaning_are_refused(make: Any, text: str) -> None:
    with pytest.raises(BadSetting, match=text):
        make()
