"""SCAFFOLD and distributed mini-batches against their papers' steps written out, and against what they promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.contract.federations import net, sites, train
from unpooled.combine import Array
from unpooled.errors import BadSetting
from unpooled.seeds import Streams
from unpooled.sites.site import Samples, Site, samples
from unpooled.training.exchange import Facts
from unpooled.training.operators import Nothing, subset
from unpooled.training.protocols import FedAvg, MiniBatch, Pooled, Protocol, Scaffold
from unpooled.training.recipe import recipe
from unpooled.training.train import Training, federation_of, initialised, run

EXECUTORS = ["reference", "vectorised"]


def flat(module: nn.Module) -> Array:
    return np.concatenate([p.detach().numpy().reshape(-1) for p in module.parameters()])


def gradient(site: Site, row: Array) -> Array:
    """Of the mean loss over all the site's samples, at the model `row`."""
    model, own = net(), site.require_train()
    torch.nn.utils.vector_to_parameters(torch.tensor(row), model.parameters())
    loss = nn.functional.cross_entropy(model(torch.tensor(own.X)), torch.tensor(own.y))
    return np.concatenate([g.numpy().reshape(-1) for g in torch.autograd.grad(loss, list(model.parameters()))])


def algorithm_1(members: list[Site], rounds: int, k: int, chosen: Any, lr: float = 0.1, server: float = 1.0) -> Array:
    """SCAFFOLD, Algorithm 1 with option II, line by line; `chosen(round)` are the sampled clients."""
    n, x = len(members), flat(initialised(net, 0))
    c, c_i = np.zeros_like(x), [np.zeros_like(x) for _ in members]
    for r in range(rounds):
        dy, dc, s = [], [], chosen(r)
        for i in s:
            y = x.copy()
            for _ in range(k):
                y = y - lr * (gradient(members[i], y) - c_i[i] + c)
            plus = c_i[i] - c + (x - y) / (k * lr)
            dy.append(y - x)
            dc.append(plus - c_i[i])
            c_i[i] = plus
        x = x + server * np.mean(dy, axis=0)
        c = c + len(s) / n * np.mean(dc, axis=0)
    return x


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("server_rate", [1.0, 0.7])
def test_scaffold_is_algorithm_1(executor: str, server_rate: float) -> None:
    members = sites([4, 7, 1], one_class=True)
    found = train(members, Scaffold(3, server_rate), executor=executor, steps=12)
    wanted = algorithm_1(members, 4, 3, lambda r: range(3), server=server_rate)
    np.testing.assert_allclose(found.aggregate_row, wanted, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found.rows, np.tile(wanted, (3, 1)), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_scaffold_with_sampled_sites_is_algorithm_1(executor: str) -> None:
    members = sites([4, 7, 1, 5, 3], one_class=True)
    draw, count = subset(0.4, Nothing(), 2), np.ones(5, dtype=np.int64)
    facts = Facts(tuple("abcde"), count, {}, (), 12, Streams(0))
    found = train(members, Scaffold(2, fraction=0.4), executor=executor, steps=12)
    wanted = algorithm_1(members, 6, 2, lambda r: list(draw.active(2 * r, facts)))  # type: ignore[arg-type]
    np.testing.assert_allclose(found.aggregate_row, wanted, rtol=1e-11, atol=1e-12)


def lines(seed: int = 0) -> tuple[list[Site], Array]:
    """Sites that agree on nothing: least squares with another truth each; and the solution for all of them together."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(4):
        X, truth = rng.normal(size=(8, 3)) * [1.0, 1.5, 0.5], rng.normal(size=4) * 3
        parts.append(Samples(X, X @ truth[:3] + truth[3]))
    whole = np.column_stack([np.concatenate([p.X for p in parts]), np.ones(32)])
    solution = np.linalg.lstsq(whole, np.concatenate([p.y for p in parts]), rcond=None)[0]
    return [Site(f"s{i}", samples(p.X, p.y)) for i, p in enumerate(parts)], solution


def linear() -> nn.Module:
    return nn.Linear(3, 1).double()


def distance(protocol: Protocol) -> float:
    """How far from the common solution many local steps on unlike sites end."""
    members, solution = lines()
    how = recipe(initialised(linear, 0), loss="mse", lr=0.05, executor="vectorised")
    test = samples(np.zeros((1, 3)), np.zeros(1))
    training = Training(federation_of(members), how, protocol, steps=3000, test=test, evaluate_every=3000)
    row = run(training).aggregate_row
    assert row is not None
    return float(np.linalg.norm(row - solution))


def test_scaffold_finds_the_common_solution_where_averaging_is_biased() -> None:
    assert distance(Scaffold(20)) < 1e-6
    assert distance(FedAvg(20)) > 0.05


@pytest.mark.parametrize("executor", EXECUTORS)
def test_with_one_local_step_corrections_average_out(executor: str) -> None:
    members = sites([4, 4, 4], one_class=True)
    average = train(members, FedAvg(1), executor=executor).rows
    np.testing.assert_allclose(train(members, Scaffold(1), executor=executor).rows, average, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("sizes", [[4, 4, 4], [9, 2, 1]])
def test_mini_batches_are_serial_descent_on_the_union(executor: str, sizes: list[int]) -> None:
    members = sites(sizes)
    shared = train(members, MiniBatch(), executor=executor)
    serial = train(members, Pooled(), executor=executor)
    np.testing.assert_allclose(shared.aggregate_row, serial.aggregate_row, rtol=1e-11, atol=1e-12)
    for row in shared.rows:  # type: ignore[union-attr]
        np.testing.assert_allclose(row, serial.aggregate_row, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_one_site_with_mini_batches_trains_alone(executor: str) -> None:
    """Mini-batches of the same stream, and a rate that falls."""
    members = sites([9])
    settings: dict[str, Any] = {"executor": executor, "batch_size": 4, "lr": lambda t: 0.3 / (1 + t)}
    found = train(members, MiniBatch(), **settings).rows
    np.testing.assert_allclose(found, train(members, FedAvg(1), **settings).rows, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_mini_batches_of_part_of_a_site_are_those_of_averaging_every_step(executor: str) -> None:
    """With equal batches, one local step and averaging is the same step (Kamp et al., 2018, Proposition 3)."""
    members = sites([9, 5, 6])
    settings: dict[str, Any] = {"executor": executor, "batch_size": 4}
    found = train(members, MiniBatch(), **settings).rows
    np.testing.assert_allclose(found, train(members, FedAvg(1), **settings).rows, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("protocol", [Scaffold(3), MiniBatch()])
@pytest.mark.parametrize("settings", [{"momentum": 0.9}, {"weight_decay": 0.1}, {"optimizer": "adam"}])
def test_both_refuse_other_optimizers(protocol: Protocol, settings: dict[str, Any]) -> None:
    with pytest.raises(BadSetting, match="plain gradient descent"):
        train(sites([4]), protocol, **settings)


def test_mini_batches_refuse_running_statistics() -> None:
    with pytest.raises(BadSetting, match="running statistics"):
        train(sites([4]), MiniBatch(), model=lambda: nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).double())


def test_settings_are_checked() -> None:
    with pytest.raises(BadSetting, match="server_rate must be above 0"):
        Scaffold(3, server_rate=0.0)
    with pytest.raises(BadSetting, match="aggregate_period"):
        Scaffold(0)
