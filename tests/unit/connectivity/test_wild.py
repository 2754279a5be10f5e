"""Models as they are found: tied embeddings, batch norm, half precision, frozen layers, integer buffers.

Every analysis runs on them, and leaves weights, modes and flags of the caller's modules as they were, to the bit.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import Tensor, nn

from tests.unit.connectivity.nets import Residual, Transformer, mlp, seeded
from unpooled.connectivity import connect
from unpooled.connectivity.flatness import relative_flatness
from unpooled.connectivity.perturb import robustness
from unpooled.connectivity.subspaces import Trajectory, subspaces
from unpooled.errors import Unsupported


def _half(seed: int) -> nn.Module:
    return seeded(Transformer, seed).half()


def _frozen(seed: int) -> nn.Module:
    model = mlp(seed, (64, 8, 8, 10))
    with torch.no_grad():
        for name, value in mlp(5, (64, 8, 8, 10)).state_dict().items():
            if name.startswith("0."):
                model.state_dict()[name].copy_(value)
    model.get_parameter("0.weight").requires_grad_(False)
    model.get_parameter("0.bias").requires_grad_(False)
    return model


MODELS: dict[str, Callable[[int], nn.Module]] = {
    "tied embeddings": lambda seed: seeded(Transformer, seed),
    "batch norm and integers": lambda seed: seeded(lambda: Residual(norm=True), seed),
    "half": _half,
    "bfloat16": lambda seed: seeded(Transformer, seed).bfloat16(),
    "frozen": _frozen,
}


def _data(model: nn.Module) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    if isinstance(model, Transformer):
        tokens = torch.randint(12, (20, 5), generator=random)
        return tokens, tokens.roll(1, dims=1)
    return torch.randn(20, 64, generator=random), torch.randint(10, (20,), generator=random)


def _moved(model: nn.Module, seed: int) -> nn.Module:
    """A snapshot some way off."""
    model, random = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for own in model.parameters():
            own.add_(torch.randn(own.shape, generator=random).to(own.dtype), alpha=0.1)
    return model


def _whole(name: str) -> str:
    return "one" if name else name


def _subspaces(a: nn.Module, b: nn.Module, data: Any) -> None:
    trajectories = [Trajectory(a, [_moved(a, 0), _moved(a, 1)]), Trajectory(b, [_moved(b, 2), _moved(b, 3)])]
    subspaces(
        a, b, data, trajectories=trajectories, kinds=("away", "complement"), draws=30, shares=(0.5,), layers=_whole
    )


def _evaluated(a: nn.Module, b: nn.Module, data: Any) -> None:
    def evaluate(model: nn.Module) -> dict[str, float]:
        with torch.no_grad():
            for own in model.parameters():
                own.mul_(2)  # even a function that writes into its model
            return {"size": float(model.train()(data[0]).float().abs().mean())}

    connect(a, b, evaluate=evaluate, points=3)


ANALYSES: dict[str, Callable[[nn.Module, nn.Module, Any], Any]] = {
    "connect": lambda a, b, data: connect(a, b, data, points=3, norms="interpolate"),
    "plain": lambda a, b, data: connect(a, b, data, points=3, engine="plain"),
    "recalibrate": lambda a, b, data: connect(a, b, data, points=3, norms="recalibrate", calibration=data[0]),
    "batch": lambda a, b, data: connect(a, b, data, points=3, norms="batch"),
    "evaluate": _evaluated,
    "robustness": lambda a, b, data: robustness(a, b, data, layers=_whole),
    "subspaces": _subspaces,
    "flatness": lambda a, b, data: relative_flatness(a, list(dict(a.named_modules()))[-1], data, draws=3),
}


def _state(model: nn.Module) -> list[Any]:
    tensors = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers())}
    bits = [(n, t.dtype, t.data_ptr(), t._version, t.detach().numpy(force=True).tobytes()) for n, t in _bytes(tensors)]
    flags = [(name, p.requires_grad, p.grad is None) for name, p in model.named_parameters()]
    return [bits, flags, [(name, part.training) for name, part in model.named_modules()]]


def _bytes(tensors: dict[str, Tensor]) -> list[tuple[str, Tensor]]:
    return [(n, t.view(torch.int16) if t.dtype is torch.bfloat16 else t) for n, t in tensors.items()]


@pytest.mark.parametrize("analysis", ANALYSES)
@pytest.mark.parametrize("name", MODELS)
def test_every_analysis_leaves_models_as_they_were_to_the_bit(name: str, analysis: str) -> None:
    a, b = MODELS[name](0).train(), MODELS[name](1).eval()
    list(a.modules())[-1].eval()  # modes are kept module by module
    data = _data(a)
    before = copy.deepcopy((_state(a), _state(b), data[0].clone(), data[1].clone()))
    ANALYSES[analysis](a, b, data)
    assert (_state(a), _state(b)) == before[:2]
    assert torch.equal(data[0], before[2])
    assert torch.equal(data[1], before[3])


@pytest.mark.parametrize("name", MODELS)
def test_wild_models_give_finite_numbers_and_both_engines_agree(name: str) -> None:
    a, b = MODELS[name](0), MODELS[name](1)
    fast, plain = (connect(a, b, _data(a), points=3, engine=engine) for engine in ("fast", "plain"))
    assert np.isfinite(fast.barriers["barrier"]).all()
    loss = [found.cells[found.cells["metric"] == "loss"]["value"].to_numpy() for found in (fast, plain)]
    assert loss[0] == pytest.approx(loss[1], abs=1e-2 if name in ("half", "bfloat16") else 1e-6)
    moved = {entry for own in fast.layers["layer"] for entry in own.split(" = ")}
    assert not {"calls", "num_batches_tracked"} & moved


def test_a_frozen_layer_has_no_distance_and_no_barrier_of_its_own() -> None:
    found = connect(_frozen(0), _frozen(1), _data(_frozen(0)), points=3)
    assert found.layers.set_index("layer").loc["0", "distance"] == 0
    for default in "ab":
        assert found.barrier("0", default=default, reference="default") == 0


def test_a_file_that_leaves_out_tied_names_or_rounds_them_belongs_to_the_model(tmp_path: Path) -> None:
    a, b = (seeded(Transformer, seed) for seed in (0, 1))
    for name, model in (("a", a), ("b", b)):
        save_model(model, str(tmp_path / f"{name}.safetensors"))  # writes a tied tensor under one name
        narrow = {entry: value.half().clone() for entry, value in model.state_dict().items()}
        save_file(narrow, tmp_path / f"{name}16.safetensors")
    wanted = connect(a, b, _data(a), points=3)
    files = connect(
        tmp_path / "a.safetensors", tmp_path / "b.safetensors", _data(a), model=seeded(Transformer, 9), points=3
    )
    assert files.cells.equals(wanted.cells)
    assert files.layers.equals(wanted.layers)
    for model in (a, b):  # weights of half precision in a module of single: those of the rounded modules
        model.half().float()
    rounded = connect(a, b, _data(a), points=3)
    paths = tmp_path / "a16.safetensors", tmp_path / "b16.safetensors"
    assert connect(*paths, _data(a), model=seeded(Transformer, 9), points=3).cells.equals(rounded.cells)
    with pytest.raises(
        Unsupported, match=r"'place' is 5 x 8 \(float16\) in the model and 5 x 8 \(float32\) .* model.float"
    ):
        connect(tmp_path / "a.safetensors", tmp_path / "b.safetensors", _data(a), model=seeded(Transformer, 9).half())


def _without(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {entry: value for entry, value in weights.items() if entry != name}


def test_the_first_entry_that_differs_is_named_in_the_order_of_the_model(tmp_path: Path) -> None:
    own = mlp(0, (64, 8, 10))
    weights = own.state_dict()
    weights16 = {**weights, "2.bias": weights["2.bias"].half(), "2.weight": weights["2.weight"].half()}
    cases: list[tuple[dict[str, Tensor], str]] = [
        (
            mlp(1, (64, 16, 10)).state_dict(),
            r"'0.weight' is 8 x 64 \(float32\) in the first model and 16 x 64 \(float32\)",
        ),
        (weights16, r"'2.weight' is 10 x 8 \(float32\) in the first model and 10 x 8 \(float16\) in .* in one type"),
        ({**weights, "2.bias": torch.zeros(10, dtype=torch.int64)}, r"'2.bias' is 10 \(float32\) .* and 10 \(int64\)"),
        ({**weights, "0.bias": torch.tensor(1.0)}, r"'0.bias' is 8 \(float32\) .* a single number \(float32\)"),
        (_without(weights, "0.bias"), "The first model has '0.bias', the second has not"),
        ({**weights, "4.weight": torch.zeros(2)}, "The second has '4.weight', the first model has not"),
    ]
    for other, words in cases:
        save_file({name: value.clone() for name, value in other.items()}, tmp_path / "b.safetensors")  # sorted by name
        for b in (other, tmp_path / "b.safetensors"):
            with pytest.raises(Unsupported, match=words) as told:
                connect(own, b, _data(own))
            assert "\n" not in str(told.value)
    with pytest.raises(
        Unsupported, match=r"'0.weight' is 4 x 64 \(float32\) in the model and 8 x 64 .* in the checkpoint"
    ):
        connect(weights, weights, _data(own), model=mlp(0, (64, 4, 10)))


def test_weights_that_differ_where_the_model_has_one_tensor_are_refused() -> None:
    a = seeded(Transformer, 0)
    b = {name: value.clone() for name, value in seeded(Transformer, 1).state_dict().items()}
    b["head.weight"] += 1
    with pytest.raises(Unsupported, match=r"'embed.weight' and 'head.weight' are one tensor in the model"):
        connect(a, b, _data(a))
