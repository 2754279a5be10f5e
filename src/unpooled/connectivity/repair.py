"""A model between two others whose units have lost their spread, and how to give it back.

K. Jordan, H. Sedghi, O. Saukh, R. Entezari, B. Neyshabur, "REPAIR: renormalizing permuted activations for interpolation
repair", ICLR 2023: units of averaged weights vary less than those of either model. Each unit that can be permuted is
rescaled so that its mean and standard deviation over data are (1 - alpha) of the first model's and alpha of the
second's. Choices: layers are repaired one after the other, from the input on, so that the last one has its moments too,
and the scales go straight into weights and biases. With batch norm the same is done by taking its statistics anew.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from unpooled.connectivity.alike import inputs_for, opened
from unpooled.connectivity.checkpoints import Checkpoint, Weights
from unpooled.connectivity.cuts import mixed
from unpooled.connectivity.graph import program_of
from unpooled.connectivity.layers import movable
from unpooled.connectivity.norms import batch_norms, recalibrate
from unpooled.connectivity.permutations import permutation_groups
from unpooled.errors import BadSetting, Unsupported, positive

LEAST = 1e-7
"""Standard deviation below which a unit never changes: it is moved, and not rescaled."""


def repair(
    a: Checkpoint,
    b: Checkpoint,
    X: Any,
    *,
    model: nn.Module | None = None,
    alpha: float = 0.5,
    batch_size: int = 256,
) -> nn.Module:
    """The model at (1 - alpha) a + alpha b with the moments of its units between those of both, over inputs X.

    Align `b` first (see `matching.align`). Layers without a bias get one. Raises `BadSetting` for alpha outside [0, 1],
    `Unsupported` for a model none of whose units can be followed.
    """
    positive(batch_size=batch_size)
    if not 0 <= alpha <= 1:
        raise BadSetting(f"alpha lies between 0, the first model, and 1, the second; got {alpha:g}.")
    first, second, given = opened(a, b, model)
    X = inputs_for(given, X)
    between = {n: mixed(t, second[n], alpha) if movable(n, t) else t for n, t in first.items()}
    made = _loaded(given, between)
    if batch_norms(made):
        recalibrate(made, iter(torch.split(X, batch_size)))
        return made
    layers = _layers(given, first, X)
    wanted = [_moments(_loaded(given, weights), layers, X, batch_size) for weights in (first, second)]
    for layer in layers:
        mean, std = (torch.lerp(*ends, alpha) for ends in zip(wanted[0][layer], wanted[1][layer], strict=True))
        found_mean, found_std = _moments(made, [layer], X, batch_size)[layer]
        scale = torch.where(found_std > LEAST, std / found_std.clamp_min(LEAST), 1.0)
        _rescale(made.get_submodule(layer), scale, mean - scale * found_mean)
    return made


def _loaded(model: nn.Module, weights: Weights) -> nn.Module:
    model = copy.deepcopy(model).eval()
    model.load_state_dict(dict(weights))
    return model


def _layers(model: nn.Module, weights: Weights, X: Tensor) -> list[str]:
    """Linear layers and convolutions that make units which can be permuted, in order."""
    groups = permutation_groups(program_of(model), weights, X[:2])
    made = {axis.entry for group in groups.values() for axis in group.axes if axis.dim == 0}
    found = [
        name
        for name, part in model.named_modules()
        if isinstance(part, (nn.Linear, _ConvNd)) and f"{name}.weight" in made
    ]
    if not found:
        raise Unsupported("No units of this model can be followed, so there is nothing to repair.")
    return found


def _moments(model: nn.Module, layers: Sequence[str], X: Tensor, batch_size: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and standard deviation of each unit of these layers, double."""
    sums = {name: [torch.zeros(0)] * 2 for name in layers}
    counts = dict.fromkeys(layers, 0)
    shifts: dict[str, Tensor] = {}

    def watch(name: str) -> object:
        def hook(part: nn.Module, _: object, output: Tensor) -> None:
            axis = output.dim() - 1 if isinstance(part, nn.Linear) else 1
            rows = output.detach().double().movedim(axis, 0).flatten(1)
            shift = shifts.setdefault(name, rows.mean(dim=1))  # near the mean, so that squares do not cancel
            rows = rows - shift[:, None]
            if not counts[name]:
                sums[name] = [torch.zeros_like(shift), torch.zeros_like(shift)]
            sums[name][0] += rows.sum(dim=1)
            sums[name][1] += rows.square().sum(dim=1)
            counts[name] += rows.shape[1]

        return model.get_submodule(name).register_forward_hook(hook)

    handles = [watch(name) for name in layers]
    try:
        with torch.no_grad():
            for batch in torch.split(X, batch_size):
                model(batch)
    finally:
        for handle in handles:
            handle.remove()  # type: ignore[attr-defined]
    found = {}
    for name in layers:
        mean, square = (part / counts[name] for part in sums[name])
        found[name] = mean + shifts[name], (square - mean.square()).clamp_min(0).sqrt()
    return found


def _rescale(part: nn.Module, scale: Tensor, shift: Tensor) -> None:
    """Let a layer's units be scale times what they were, plus shift."""
    assert isinstance(part, (nn.Linear, _ConvNd))
    with torch.no_grad():
        weight, bias = part.weight, part.bias
        old = torch.zeros_like(shift) if bias is None else bias.double()
        part.weight = nn.Parameter((weight.double() * scale.view(-1, *[1] * (weight.dim() - 1))).to(weight.dtype))
        part.bias = nn.Parameter((old * scale + shift).to(weight.dtype))
