"""Resets, criticality, distances and linearity of features against closed forms and evaluation by hand."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.unit.connectivity.conftest import digits
from tests.unit.connectivity.nets import Residual, Transformer, mlp, seeded, trained
from unpooled.connectivity.criticality import criticality
from unpooled.connectivity.features import feature_linearity
from unpooled.connectivity.pairs import PairSettings, train_pair
from unpooled.connectivity.resets import resets
from unpooled.connectivity.ways import ways
from unpooled.errors import BadSetting, Unsupported
from unpooled.seeds import Streams

__all__ = ["digits"]


def _random(n: int = 60) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.randn(n, 64, generator=random), torch.randint(10, (n,), generator=random)


def test_a_reset_is_the_checkpoints_layer_in_the_trained_model() -> None:
    X, y = _random()
    start, half = mlp(0), mlp(1)
    final = trained(start, X, y, seed=0, epochs=2)
    before = copy.deepcopy(final.state_dict())
    found = resets(final, {0: start, 7: half}, (X, y), draws=3)
    rows = found[(found["metric"] == "loss") & (found["kind"] == "re-initialised")].set_index(["layer", "epoch"])
    for layer in ("0", "2", "4", "6"):
        for epoch, source in ((0, start), (7, half)):
            hybrid = copy.deepcopy(final)
            hybrid.get_submodule(layer).load_state_dict(source.get_submodule(layer).state_dict())
            with torch.no_grad():
                wanted = float(functional.cross_entropy(hybrid(X), y)), float(functional.cross_entropy(final(X), y))
            row = rows.loc[(layer, float(epoch))]
            assert float(row["mean"]) == pytest.approx(wanted[0], abs=1e-6)
            assert float(row["rise"]) == pytest.approx(wanted[0] - wanted[1], abs=1e-6)
    with torch.no_grad():
        assert float(rows.loc[("all", 0.0)]["mean"]) == pytest.approx(
            float(functional.cross_entropy(start(X), y)), abs=1e-6
        )
    assert all(torch.equal(before[name], value) for name, value in final.state_dict().items())


def test_layers_drawn_anew_have_the_initial_distribution_and_do_not_follow_the_global_state() -> None:
    """A linear layer 64 -> 1 with target 0 has squared loss E (w x + b)^2 = (|x|^2 + 1) / (3 * 64) under its start."""
    X, y = _random(5)[0], torch.zeros(5)
    model = seeded(lambda: nn.Linear(64, 1), 0)
    found = resets(model, {0: model}, (X, y), draws=400)
    again = resets(model, {0: model}, (X, y), draws=400)
    drawn = found[(found["kind"] == "re-randomised") & (found["layer"] == "all")].iloc[0]
    expected = float(((X.square().sum(1) + 1) / 192).mean())
    assert float(drawn["mean"]) == pytest.approx(expected, abs=4 * float(drawn["std"]) / 20)
    assert found["mean"].tolist() == again["mean"].tolist()
    own = found[(found["kind"] == "re-initialised")]
    assert own["rise"].tolist() == pytest.approx([0.0, 0.0], abs=1e-6)  # set back to itself


def test_modules_that_cannot_draw_need_a_function() -> None:
    X, y = _random(8)
    net = seeded(lambda: Residual(norm=False), 0)
    with pytest.raises(Unsupported, match="cannot draw its weights anew: give make="):
        resets(net, {0: net}, (X, y))
    assert len(resets(net, {0: net}, (X, y), draws=0)) == 2 * 7  # with the entry of the module itself, and all
    made = resets(net, {0: net}, (X, y), draws=2, make=lambda: Residual(norm=False))
    assert (made[made["kind"] == "re-randomised"]["std"] > 0).any()
    with pytest.raises(BadSetting, match="checkpoint only"):
        resets(net, {}, (X, y))


def _quadratic(draws: int = 2) -> tuple[nn.Linear, nn.Linear, tuple[Tensor, Tensor], float, float, float]:
    """A linear layer with squared loss: trained at the optimum, its start elsewhere; |d|^2, d'Cd and mean z'Cz."""
    X = _random(200)[0][:, :6].double()
    final, start = (seeded(lambda: nn.Linear(6, 1, bias=False).double(), seed) for seed in (0, 1))
    seeds = [Streams(0).torch_seed("noise", "", pair) for pair in range(draws // 2)]
    z = torch.stack(
        [torch.randn(1, 6, generator=torch.Generator().manual_seed(s), dtype=torch.float64)[0] for s in seeds], 1
    )
    assert isinstance(final, nn.Linear)
    assert isinstance(start, nn.Linear)
    with torch.no_grad():
        y = final(X)[:, 0]
        step = (start.weight - final.weight)[0]
        squares = float(step @ step), float((X @ step).square().mean()), float((X @ z).square().mean())
    return final, start, (X, y), *squares


def test_criticality_of_a_quadratic_has_a_closed_form() -> None:
    """The score of W(a) +- sigma z is (1 - a)^2 d'Cd + sigma^2 z'Cz, so sigma^2 and mu follow for each a."""
    final, start, data, way, curved, trace = _quadratic(draws=20)
    level = 0.3 * curved
    found = criticality(final, start, data, metric="mse", level=level, draws=20, engine="fast")
    wanted = {
        a: a**2 * way * trace / (level - (1 - a) ** 2 * curved)
        for a in (i / 10 for i in range(11))
        if level > (1 - a) ** 2 * curved
    }
    best = min(wanted, key=lambda a: wanted[a])
    row = found.set_index("layer").iloc[0]
    assert float(row["criticality"]) == pytest.approx(wanted[best], rel=0.06)
    assert abs(float(row["alpha"]) - best) < 0.11
    assert float(row["complexity"]) == pytest.approx(6 * math.log1p(float(row["criticality"]) / 6))
    assert float(found.iloc[-1]["criticality"]) == float(row["criticality"])
    whole = criticality(final, start, data, level=2 * curved, draws=2)
    assert whole["criticality"].tolist() == [0.0, 0.0]  # the start is good enough
    none = criticality(final, start, data, level=-1.0, draws=2)
    assert none["criticality"].tolist() == [math.inf, math.inf]


def test_criticality_by_bisection_is_that_of_a_walk_along_sigma() -> None:
    """The plain way: for each a, walk along sigma in small steps, model by model, with the same noise."""
    X, y = _random(40)
    start = mlp(0, (64, 8, 10))
    final = trained(start, X, y, seed=0, epochs=30)
    found = criticality(final, start, (X, y), draws=2, steps=3).set_index("layer")
    plain = criticality(final, start, (X, y), draws=2, steps=3, engine="plain").set_index("layer")
    assert np.allclose(found["criticality"], plain["criticality"], rtol=1e-4)
    with torch.no_grad():
        losses = [float(functional.cross_entropy(model(X), y)) for model in (final, start)]
    level = losses[0] + 0.1 * (losses[1] - losses[0])
    row = found.loc["0"]
    assert float(row["level"]) == pytest.approx(level, rel=1e-5)
    random = torch.Generator().manual_seed(Streams(0).torch_seed("noise", "0", 0))
    noise = {
        name: torch.randn(final[0].get_parameter(name).shape, generator=random, dtype=torch.float64)
        for name in ("weight", "bias")
    }  # type: ignore[index]
    best = math.inf
    for a in (0.0, 0.5, 1.0):
        for sigma in np.geomspace(1e-3, 1, 400) * float(row["distance"]) / 10:
            scores = []
            for sign in (1, -1):
                model = copy.deepcopy(final)
                with torch.no_grad():
                    for name, value in model[0].named_parameters():  # type: ignore[index]
                        value += (1 - a) * (start[0].get_parameter(name) - value) + sign * sigma * noise[name]  # type: ignore[index]
                    scores.append(float(functional.cross_entropy(model(X), y)))
            if sum(scores) / 2 <= level:
                best = min(best, (a * float(row["distance"]) / sigma) ** 2)
    assert float(row["criticality"]) == pytest.approx(best, rel=0.1)
    assert best > 0


def test_criticality_refuses_what_it_cannot_use() -> None:
    final, start, data, *_ = _quadratic()
    with pytest.raises(BadSetting, match="no worse: give level="):
        criticality(start, final, data, draws=2)
    with pytest.raises(BadSetting, match="noise comes in pairs"):
        criticality(final, start, data, draws=3)
    with pytest.raises(BadSetting, match="There is no metric 'losss'"):
        criticality(final, start, data, metric="losss", draws=2)


def test_ways_are_distances_of_vectors() -> None:
    nets = [mlp(seed) for seed in range(4)]
    table = ways(*nets).set_index(["way", "layer"])
    vectors = [torch.cat([p.detach().double().flatten() for p in net.parameters()]).numpy() for net in nets]
    pairs = {"A to B": (0, 1), "start A to A": (2, 0), "start B to B": (3, 1), "start A to start B": (2, 3)}
    for way, (i, j) in pairs.items():
        row = table.loc[(way, "all")]
        assert float(row["distance"]) == pytest.approx(float(np.linalg.norm(vectors[i] - vectors[j])))
        cosine = vectors[i] @ vectors[j] / np.linalg.norm(vectors[i]) / np.linalg.norm(vectors[j])
        assert float(row["cosine"]) == pytest.approx(float(cosine))
        parts = table.loc[way].drop("all")["distance"]
        assert float(row["distance"]) == pytest.approx(float(np.sqrt((parts**2).sum())))
    with pytest.raises(Unsupported, match="the second's start"):
        ways(nets[0], nets[1], nets[2], mlp(0, (64, 8, 10)))


def test_features_of_a_scaled_network_without_biases() -> None:
    """Layer l of c w has features c^l f_l, so half-way ((1 + c) / 2)^l f_l against (1 + c^l) / 2 f_l."""
    widths, c = (64, 12, 12, 10), 3.0

    def make() -> nn.Module:
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after, bias=False), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    a = seeded(make, 0)
    b = copy.deepcopy(a)
    with torch.no_grad():
        for p in b.parameters():
            p *= c
    table = feature_linearity(a, b, _random(), batch_size=17)
    for depth, row in enumerate(table.itertuples(), 1):
        assert row.cosine == pytest.approx(1.0)
        assert row.apart == pytest.approx(1.0)
        assert row.coefficient == pytest.approx(((1 + c) / 2) ** depth / ((1 + c**depth) / 2), rel=1e-5)


@pytest.mark.parametrize("make", [lambda: mlp(0), lambda: Residual(norm=True)], ids=["mlp", "residual"])
def test_the_first_layer_is_always_linear_and_equal_models_are_everywhere(make: Any) -> None:
    a, b = seeded(make, 0), seeded(make, 1)
    data = _random()
    same = feature_linearity(a, copy.deepcopy(a), data, alphas=(0.25, 0.5))
    assert np.allclose(same[["cosine", "coefficient", "apart"]], 1.0, atol=1e-5)
    if isinstance(b, nn.Sequential):
        b = mlp(1)
    table = feature_linearity(a, b, data)
    assert float(table.iloc[0]["cosine"]) == pytest.approx(1.0, abs=1e-6)
    assert float(table.iloc[0]["coefficient"]) == pytest.approx(1.0, abs=1e-6)
    assert (table.iloc[1:]["cosine"] < 0.999).all()


def test_features_of_tokens_and_refusals() -> None:
    a, b = seeded(Transformer, 0), seeded(Transformer, 1)
    tokens = torch.randint(12, (9, 5), generator=torch.Generator().manual_seed(0))
    table = feature_linearity(a, b, (tokens, tokens)).set_index("layer")
    assert float(table.loc["embed", "cosine"]) == pytest.approx(1.0, abs=1e-6)
    assert set(table.index) == {"embed", "norm", "queries", "up", "down", "head"}
    with pytest.raises(BadSetting, match="alphas must lie between"):
        feature_linearity(a, b, (tokens, tokens), alphas=(0.0,))
    with pytest.raises(Unsupported, match="sample by sample"):
        feature_linearity(a, b, None, evaluate=lambda m: {"x": 1.0})  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_first_layer_of_a_network_on_the_digits_needs_its_training_most(digits: Any) -> None:
    """Over four seeds; and weights of a new draw cost more than those of the own start, in every layer."""
    X, y = digits
    for seed in range(4):
        settings = PairSettings(epochs=40, lr=0.02, seed=seed)
        pair = train_pair(lambda: mlp(0, (64, 64, 64, 64, 64, 10)), X[:1200], y[:1200], settings)
        table = resets(pair.a, {0: pair.starts[0]}, (X[1200:], y[1200:]))
        error = table[(table["metric"] == "error") & (table["layer"] != "all")]
        rises = error.pivot_table(index="layer", columns="kind", values="rise", sort=False)
        assert (rises["re-randomised"] > rises["re-initialised"]).all()
        assert rises["re-initialised"].idxmax() == "0"
        assert rises["re-randomised"].min() > 40
