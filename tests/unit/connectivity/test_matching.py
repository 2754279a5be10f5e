"""Alignment: permutations are read off the model, undo a shuffle, never change what is computed, and cut barriers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.unit.connectivity.nets import Pair, Residual, Transformer, Untraceable, mlp, seeded, trained
from unpooled.connectivity import connect, matching
from unpooled.connectivity.alike import inputs_for
from unpooled.connectivity.graph import program_of
from unpooled.connectivity.matching import METHODS, align
from unpooled.connectivity.permutations import Group, permutation_groups, permuted
from unpooled.connectivity.repair import repair
from unpooled.errors import BadSetting, Unsupported


class Depthwise(nn.Module):
    """Convolutions of each channel by itself, pooling, a flattened head, and a norm over features."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.each = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.pool, self.hidden, self.layer_norm = nn.MaxPool2d(2), nn.Linear(96, 12), nn.LayerNorm(12)
        self.head = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.first(x.view(-1, 1, 8, 8))))
        x = self.pool(self.each(x)).flatten(1)
        return self.head(torch.tanh(self.layer_norm(self.hidden(x))))  # type: ignore[no-any-return]


class Shared(nn.Module):
    """A layer used twice, so that its input and its output have the same units; grouped channels stay."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.head = nn.Linear(64, 12), nn.Linear(12, 12), nn.Linear(12, 10)
        self.mixed = nn.Parameter(torch.randn(12, 12))

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(self.again(self.first(x).relu()).relu()).relu()
        return self.head(x) + self.head(x @ self.mixed)  # type: ignore[no-any-return]


def _conv1d() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (4, 16)), nn.Conv1d(4, 6, 3), nn.ReLU(), nn.Conv1d(6, 8, 3), nn.Flatten(), nn.Linear(96, 10)
    )


MODELS: dict[str, tuple[Any, int]] = {
    "mlp": (lambda: mlp(0), 3),
    "residual": (lambda: Residual(norm=False), 3),
    "batch norm": (lambda: Residual(norm=True), 3),
    "depthwise": (Depthwise, 2),
    "one dimension": (_conv1d, 2),
    "transformer": (Transformer, 1),
}
"""Models, and how many groups of units can be permuted."""


def _inputs(model: nn.Module, count: int = 24) -> Tensor:
    random = torch.Generator().manual_seed(1)
    if isinstance(model, Transformer):
        return torch.randint(12, (count, 5), generator=random)
    return torch.randn(count, 64, generator=random)


def _made(name: str, seed: int) -> nn.Module:
    model = seeded(MODELS[name][0], seed).eval()
    random = torch.Generator().manual_seed(seed)
    for key, value in model.state_dict().items():
        if value.dtype.is_floating_point:  # biases and statistics too, so that units differ in all of them
            value.copy_(torch.rand(value.shape, generator=random) + 0.5 * ("var" in key) - 0.3 * ("var" not in key))
    return model


def _groups(model: nn.Module) -> dict[str, Group]:
    X = inputs_for(model, _inputs(model, 2))
    return permutation_groups(program_of(model), model.state_dict(), X)


def _shuffled(model: nn.Module, seed: int) -> dict[str, Tensor]:
    groups, random = _groups(model), torch.Generator().manual_seed(seed)
    return permuted(
        model.state_dict(), groups, {name: torch.randperm(g.size, generator=random) for name, g in groups.items()}
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_permuted_model_computes_the_same(name: str) -> None:
    model = _made(name, 0).double()
    assert len(_groups(model)) == MODELS[name][1]
    X = inputs_for(model, _inputs(model))
    wanted, other = model(X), _shuffled(model, 3)
    assert any(not value.equal(model.state_dict()[key]) for key, value in other.items())
    model.load_state_dict(other)
    torch.testing.assert_close(model(X), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", MODELS)
def test_a_shuffle_is_undone(name: str, method: str) -> None:
    model = _made(name, 0)
    found = align(model, _shuffled(model, 3), _inputs(model), method=method)
    assert found.gap <= 1e-12
    assert found.moved > 0
    for key, value in model.state_dict().items():
        assert value.equal(found.weights[key]), key
    assert found.similarity[1] > found.similarity[0]


def test_an_aligned_shuffle_has_no_barrier_and_a_shuffle_has_one(pair: Pair, digits: Any) -> None:
    X, y = digits  # one hidden layer: deeper networks may stop in a local optimum
    model = trained(mlp(0, (64, 24, 10)), X[:1200], y[:1200], seed=0, epochs=5)
    shuffled = _shuffled(model, 3)
    before = connect(model, shuffled, pair.data, points=3)
    after = connect(model, shuffled, pair.data, points=3, align="weights")
    assert before.barrier(metric="error") > 10
    assert before.cells["value"].iloc[-1] == pytest.approx(after.cells["value"].iloc[-1], abs=1e-6)
    assert abs(after.barrier(metric="loss")) < 1e-6
    assert after.facts["align"]["gap"] <= 1e-12
    assert any("Aligned by weights" in note for note in after.notes)


@pytest.mark.parametrize("method", METHODS)
def test_aligning_cuts_the_barrier_of_two_starts(method: str, pair: Pair, digits: Any) -> None:
    plain = connect(pair.a, pair.b, pair.data, points=3, cuts=("full",))
    found = connect(pair.a, pair.b, pair.data, points=3, cuts=("full",), align=method, calibration=digits[0][:1200])
    assert found.barrier(metric="error") < plain.barrier(metric="error") / 3
    for end in ("end_a", "end_b"):
        assert found.barriers[end].to_numpy() == pytest.approx(plain.barriers[end].to_numpy(), abs=1e-5)


def test_what_is_not_known_stays_in_place_and_a_layer_used_twice_is_followed() -> None:
    groups = _groups(seeded(Shared, 0))
    assert not groups  # the units go into a product with a parameter that is not followed
    (group,) = _groups(seeded(Transformer, 0)).values()
    assert {axis.entry for axis in group.axes} == {"up.weight", "up.bias", "down.weight"}  # attention is not permuted


def test_a_wrong_permutation_is_caught(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = matching.permutation_groups

    def lacking(*args: Any) -> dict[str, Group]:
        groups = whole(*args)
        return {
            name: Group(g.size, tuple(a for a in g.axes if "bias" not in a.entry), g.seen) for name, g in groups.items()
        }

    monkeypatch.setattr(matching, "permutation_groups", lacking)
    with pytest.raises(Unsupported, match=r"changed the outputs, by .* Compare without alignment"):
        align(pair.a, pair.b, pair.data[0])


def test_what_cannot_be_aligned_is_refused(pair: Pair) -> None:
    X = pair.data[0]
    with pytest.raises(BadSetting, match="Did you mean 'weights'"):
        align(pair.a, pair.b, X, method="weight")
    with pytest.raises(Unsupported, match="cannot be traced"):
        align(seeded(Untraceable, 0), seeded(Untraceable, 1), X)
    with pytest.raises(Unsupported, match="of the input or output"):
        align(mlp(0, (64, 10)), mlp(1, (64, 10)), X)
    with pytest.raises(BadSetting, match="give calibration"):
        connect(pair.a, pair.b, evaluate=lambda model: {"x": 0.0}, align="weights")


def _unit_moments(model: nn.Module, X: Tensor) -> list[Tensor]:
    found: list[Tensor] = []
    layers = [part for part in model.modules() if isinstance(part, (nn.Linear, nn.Conv2d))]
    for part in layers:
        part.register_forward_hook(lambda _, __, value: found.append(value.movedim(1, 0).flatten(1).clone()))
    with torch.no_grad():
        model(X)
    return [torch.stack([rows.mean(1), rows.std(1, correction=0)]) for rows in found[:-1]]


@pytest.mark.parametrize("name", ["mlp", "residual"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5])
def test_repaired_units_have_the_moments_between_those_of_both_models(name: str, alpha: float) -> None:
    a, b = _made(name, 0), _made(name, 1)
    X = _inputs(a, 50)
    made = repair(a, b, X, alpha=alpha, batch_size=16)
    for found, one, other in zip(*(_unit_moments(m, X) for m in (made, a, b)), strict=True):
        torch.testing.assert_close(found, torch.lerp(one, other, alpha), rtol=1e-3, atol=1e-4)
    if alpha == 0:
        torch.testing.assert_close(made(X), a(X), rtol=1e-3, atol=1e-4)


def test_repair_gives_layers_a_bias_and_batch_norm_its_statistics() -> None:
    def bare() -> nn.Module:
        return nn.Sequential(nn.Linear(64, 6, bias=False), nn.ReLU(), nn.Linear(6, 10))

    a, b = seeded(bare, 0), seeded(bare, 1)
    assert "0.bias" in repair(a, b, _inputs(a)).state_dict()
    a, b = _made("batch norm", 0), _made("batch norm", 1)
    made = repair(a, b, _inputs(a))
    assert not made.get_buffer("norm.running_mean").equal(
        (a.get_buffer("norm.running_mean") + b.get_buffer("norm.running_mean")) / 2
    )
    with pytest.raises(BadSetting, match="alpha lies between 0"):
        repair(a, b, _inputs(a), alpha=2)


def test_repair_lowers_the_barrier_of_an_aligned_pair(pair: Pair, digits: Any) -> None:
    X, y = pair.data
    aligned = align(pair.a, pair.b, digits[0][:1200])
    plain = connect(pair.a, aligned.weights, pair.data, points=3, cuts=("full",)).barrier(metric="loss")
    made = repair(pair.a, aligned.weights, digits[0][:1200])
    with torch.no_grad():
        losses = [float(functional.cross_entropy(model(X), y)) for model in (made, pair.a, pair.b)]
    assert losses[0] - (losses[1] + losses[2]) / 2 < plain
