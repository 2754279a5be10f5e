"""Checkpoints: what is opened, how, and what is refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.unit.connectivity.nets import Pair, mlp
from unpooled.connectivity import connect, distances, layers_of, open_checkpoint
from unpooled.connectivity.lazy import LazyWeights
from unpooled.errors import BadData, BadSetting


class Trap:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_files_give_the_same_numbers_as_modules(pair: Pair, tmp_path: Path) -> None:
    torch.save({"model_state_dict": pair.a.state_dict(), "epoch": 3}, tmp_path / "a.pt")
    save_file(pair.b.state_dict(), tmp_path / "b.safetensors")
    model = mlp(9)
    found = connect(tmp_path / "a.pt", tmp_path / "b.safetensors", pair.data, model=model, points=3)
    wanted = connect(pair.a, pair.b, pair.data, points=3)
    assert found.barriers.equals(wanted.barriers)
    assert found.layers.equals(wanted.layers)  # in the model's order, whatever the file's


@pytest.mark.parametrize("weights", [True, False])
def test_a_pickle_with_code_is_refused_and_never_run(weights: bool, tmp_path: Path) -> None:
    trap: Any = {"0.weight": torch.zeros(2), "x": Trap(tmp_path / "made")} if weights else Trap(tmp_path / "made")
    torch.save(trap, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(trap))
    for name in ("a.pt", "b.pt"):
        with pytest.raises(BadData, match="It was not loaded: ask for a state dict"):
            open_checkpoint(tmp_path / name)
    assert not (tmp_path / "made").exists()


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(b"\x10")
    (tmp_path / "cut.pt").write_bytes(b"")
    (tmp_path / "x.onnx").write_bytes(b"")
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    for name, words in {
        "cut.safetensors": "cannot be read as safetensors",
        "cut.pt": "was it cut",
        "x.onnx": "no checkpoint that can be read",
        "none.pt": "holds 'epoch', a int",
        "absent.pt": "There is no file",
    }.items():
        with pytest.raises(BadData, match=words) as told:
            open_checkpoint(tmp_path / name)
        assert "\n" not in str(told.value)
    with pytest.raises(BadSetting, match="got a int"):
        open_checkpoint(3)  # type: ignore[arg-type]


def test_safetensors_are_read_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {f"{i}.weight": torch.full((4,), float(i)) for i in range(5)}
    save_file(weights, tmp_path / "a.safetensors")
    save_file({name: value * 0 for name, value in weights.items()}, tmp_path / "b.safetensors")
    a, b = (open_checkpoint(tmp_path / f"{name}.safetensors") for name in "ab")
    assert isinstance(a, LazyWeights)
    read: list[str] = []
    get = LazyWeights.__getitem__
    monkeypatch.setattr(LazyWeights, "__getitem__", lambda self, name: (read.append(name), get(self, name))[1])
    table = distances(a, b, {"3": ("3.weight",)})
    assert set(read) == {"3.weight"}  # nothing else was touched
    assert table["distance"].tolist() == [6.0, 6.0]


def test_rules_for_layers() -> None:
    names = ["a.0.w", "a.0.b", "a.1.w", "c.w", "s"]
    assert list(layers_of(names)) == ["a.0", "a.1", "c", ""]
    assert layers_of(names, "entry")["a.0.b"] == ("a.0.b",)
    assert layers_of(names, "block:1")["a"] == ("a.0.w", "a.0.b", "a.1.w")
    assert layers_of(names, lambda name: name[-1])["w"] == ("a.0.w", "a.1.w", "c.w")
    assert list(layers_of(names, {"body": ["a"], "scale": ["s"]})) == ["body", "c", "scale"]
    assert layers_of(names, tied=[("a.0.w", "c.w")])["a.0 = c"] == ("a.0.w", "a.0.b", "c.w")
    with pytest.raises(BadSetting, match="cannot belong to 'x' and 'y'"):
        layers_of(names, {"x": ["a"], "y": ["a.0"]})
    with pytest.raises(BadSetting, match=r"Did you mean 'a.1.w'"):
        layers_of(names, {"x": ["a.1.v"]})
