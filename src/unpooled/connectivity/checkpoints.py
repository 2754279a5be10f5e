"""Two models as named tensors: modules, state dicts, safetensors (read tensor by tensor), or .pt files without code."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from torch import Tensor, nn

from unpooled.connectivity.lazy import Entry, LazyWeights
from unpooled.errors import BadData, BadSetting

Weights = Mapping[str, Tensor]
"""Name of a parameter or buffer -> its tensor, in the model's order."""
Checkpoint = nn.Module | Weights | str | Path
"""What can be opened."""
PICKLED = (".pt", ".pth", ".bin", ".ckpt")
INSIDE = ("state_dict", "model_state_dict", "model")
"""Under one of these keys training scripts keep the weights beside optimizer and epoch."""


def open_checkpoint(source: Checkpoint) -> Weights:
    """The weights of a module, a state dict, or a file; nothing in a file is ever executed.

    Modules and state dicts are not copied. Raises `BadData` for a file that is absent, cut, no state dict, or a pickle
    that would run code, and `BadSetting` for anything that is no model.
    """
    if isinstance(source, nn.Module):
        return dict(source.state_dict(keep_vars=False))
    if isinstance(source, Mapping):
        return _tensors_only(source, "The state dict")
    if not isinstance(source, (str, Path)):
        raise BadSetting(f"A model is a module, a state dict or a path of a file; got a {type(source).__name__}.")
    path = Path(source)
    if not path.is_file():
        raise BadData(f"There is no file {path}: give the path of a .safetensors or .pt file.")
    if path.suffix == ".safetensors":
        return LazyWeights(path)
    if path.suffix in PICKLED:
        return _unpickled(path)
    raise BadData(f"{path} is no checkpoint that can be read: .safetensors or {', '.join(PICKLED)} is needed.")


def _unpickled(path: Path) -> Weights:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about old forms of pickles: they are read, or refused below
            value = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())[:160]
        raise BadData(
            f"{path} holds more than tensors, and loading it could run code ({reason}). It was not loaded: ask for a "
            "state dict, saved with torch.save(model.state_dict()) or as safetensors."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise BadData(f"{path} cannot be read ({reason}): was it cut? Save it again with torch.save.") from error
    inside = [value[key] for key in INSIDE if isinstance(value, Mapping) and isinstance(value.get(key), Mapping)]
    return _tensors_only(inside[0] if inside else value, str(path))


def _tensors_only(value: Any, what: str) -> Weights:
    if not isinstance(value, Mapping) or not value:
        raise BadData(f"{what} holds no state dict: names and tensors are needed, as of model.state_dict().")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise BadData(f"{what} holds {name!r}, a {type(tensor).__name__}: only named tensors can be compared.")
    return value


def entry_of(weights: Weights, name: str) -> Entry:
    """Shape and type of one entry; nothing is read for it."""
    if isinstance(weights, LazyWeights):
        return weights.entries[name]
    return Entry(tuple(weights[name].shape), weights[name].dtype)
