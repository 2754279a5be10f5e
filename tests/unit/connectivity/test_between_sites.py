"""Barriers between sites' models are those of `connect`, and those of the mean are differences of losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch.nn import functional

import unpooled as up
from tests.unit.connectivity.nets import Pair, mlp
from unpooled.connectivity import BetweenSites, connect
from unpooled.connectivity.between_sites import mean_of
from unpooled.errors import BadData, BadSetting


@dataclass(frozen=True)
class Seen:
    step: int
    weights: dict[str, dict[str, torch.Tensor]]


def loss(state: Any, data: Any) -> float:
    model = mlp(0)
    model.load_state_dict(state)
    return float(functional.cross_entropy(model(data[0]), data[1]).detach())


def test_a_pair_is_a_pair_and_the_mean_is_the_mean(pair: Pair) -> None:
    watch = BetweenSites(mlp(0), pair.data)
    states = {"one": pair.a.state_dict(), "two": pair.b.state_dict(), "three": mlp(5).state_dict()}
    watch(Seen(7, states))
    table = watch.frame.query("metric == 'loss'")
    assert set(table["step"]) == {7}
    of_pair = table.query("against == 'pair' and who == 'one | two' and kind == 'layer' and default == 'b'")
    wanted = connect(pair.a, pair.b, pair.data, points=3)
    for _, row in of_pair.iterrows():
        assert row["barrier"] == pytest.approx(wanted.barrier(row["part"], default="b", metric="loss"), abs=1e-6)
    middle = mean_of(list(states.values()))
    full = table.query("against == 'mean' and who == 'two' and kind == 'full'")["barrier"].item()
    assert full == pytest.approx(loss(middle, pair.data) - loss(states["two"], pair.data), abs=1e-5)
    first = {**states["two"], **{name: middle[name] for name in ("0.weight", "0.bias")}}
    layer = table.query("against == 'mean' and who == 'two' and part == '0'")["barrier"].item()
    assert layer == pytest.approx(loss(first, pair.data) - loss(states["two"], pair.data), abs=1e-5)


def test_equal_models_have_no_barrier(pair: Pair) -> None:
    watch = BetweenSites(mlp(0), pair.data)
    watch(Seen(1, {"one": pair.a.state_dict(), "two": pair.a.state_dict()}))
    assert watch.frame["barrier"].abs().max() == 0


def test_watching_a_training(digits: Any) -> None:
    """It sees each site's model before the exchange, cannot change it, and a run that is watched ends the same."""
    X, y = (t.numpy() for t in digits)
    sites = up.split(X[:200], y[:200], sites=4, seed=0)
    model, common = mlp(0, (64, 8, 10)), {"steps": 6, "lr": 0.1, "test": (X[1200:], y[1200:]), "evaluate_every": 3}
    steps = []

    def spoil(seen: Any) -> None:
        steps.append((seen.step, sorted(seen.weights)))
        for state in seen.weights.values():
            for tensor in state.values():
                tensor.zero_()

    alone = up.train(model, sites, up.FedAvg(3), **common)
    watched = up.train(model, sites, up.FedAvg(3), watch=spoil, **common)
    assert steps == [(3, sorted(sites.names)), (6, sorted(sites.names))]
    assert alone.frame().equals(watched.frame())
    last: list[Any] = []
    local = up.train(model, sites, up.Local(), watch=last.append, **common)
    for name, state in last[-1].weights.items():
        assert all(torch.equal(state[key], local.models[name][key]) for key in state)


def test_what_cannot_be_watched(digits: Any) -> None:
    X, y = (t.numpy() for t in digits)
    sites = up.split(X[:40], y[:40], sites=2, seed=0)
    watch = BetweenSites(mlp(0), (X, y))
    with pytest.raises(BadData, match="Nothing was watched"):
        _ = watch.frame
    with pytest.raises(BadSetting, match="one model only"):
        up.train(mlp(0), sites, up.Pooled(), steps=2, lr=0.1, test=(X, y), watch=watch)
    with pytest.raises(BadData, match="at least two"):
        watch(Seen(1, {"one": mlp(0).state_dict()}))
