"""One step for K models at once: values of steps that differ between the models have a leading dimension K."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unpooled.connectivity.checkpoints import Weights
from unpooled.connectivity.cuts import mixed, stacked
from unpooled.connectivity.graph import Step
from unpooled.connectivity.layers import is_statistic

ANY_LEADING = (
    nn.Linear,
    nn.LayerNorm,
    nn.Embedding,
    nn.ReLU,
    nn.GELU,
    nn.Tanh,
    nn.Sigmoid,
    nn.SiLU,
    nn.LeakyReLU,
    nn.ELU,
    nn.Identity,
    nn.Dropout,
)
"""They treat all leading dimensions alike, so K models are only more samples."""
BATCHED = {
    nn.Conv1d: 3,
    nn.MaxPool1d: 3,
    nn.AvgPool1d: 3,
    nn.BatchNorm2d: 4,
    nn.Conv2d: 4,
    nn.MaxPool2d: 4,
    nn.AvgPool2d: 4,
    nn.AdaptiveAvgPool2d: 4,
    nn.Conv3d: 5,
}
"""They take a batch of samples with so many dimensions in all: K batches become one."""

FEW_OUTPUTS = 16


def widened(step: Step, shared: Mapping[int, Any], wide: Mapping[int, Any], move: Move, *, last: bool = False) -> Any:
    """The step's values for all models of the cut, (K, ...); or a plain value where all models agree by nature.

    `shared` are values equal for all models, `wide` those that differ. With `last` its input may be overwritten.
    """
    moved = tuple(name for name in step.entries if name in move.names)
    takes = [i for i in step.reads if i in wide]
    if moved and not takes:
        if step.module is None:
            return move.every(step.entries[0])
        if step.affine and move.exact and not any(map(is_statistic, moved)):
            return _on_a_line(step, shared, move, moved)
    if (
        takes
        and moved
        and isinstance(step.module, nn.Linear)
        and len(moved) == len(step.entries)
        and wide[takes[0]].dim() == 3
    ):
        weight, bias = move.every(f"{step.prefix}weight").transpose(1, 2), f"{step.prefix}bias"
        if bias not in step.entries:
            return torch.bmm(wide[takes[0]], weight)
        return torch.baddbmm(move.every(bias)[:, None], wide[takes[0]], weight)
    if moved:
        return _one_by_one(step, shared, wide, takes, move, moved)
    return _alike(step, shared, wide, takes, last)


class Move:
    """The entries of a cut between its ends; `loaded` are the base model's weights, in the steps already.

    `exact` says that values on a line may be taken between values.
    """

    def __init__(
        self, names: Sequence[str], start: Weights, stop: Weights, alphas: Sequence[float], loaded: Weights
    ) -> None:
        self.names, self.start, self.stop, self.alphas = frozenset(names), start, stop, alphas
        self.loaded = loaded
        self.exact = all(start[name].dtype in (torch.float32, torch.float64) for name in names)

    def at(self, name: str, k: int) -> Tensor:
        """An entry of model k."""
        return mixed(self.start[name], self.stop[name], self.alphas[k])

    def every(self, name: str) -> Tensor:
        """An entry of all models, which come first."""
        return stacked(self.start[name], self.stop[name], self.alphas)


def _on_a_line(step: Step, shared: Mapping[int, Any], move: Move, moved: tuple[str, ...]) -> Tensor:
    """Two values instead of K: an affine step's output moves along a line as its parameters do."""
    first, last = (
        _loaded(step, shared) if end is move.loaded else step.value(shared, {name: end[name] for name in moved})
        for end in (move.start, move.stop)
    )
    places = torch.tensor(move.alphas, dtype=first.dtype, device=first.device).view(-1, *[1] * first.dim())
    return torch.lerp(first[None], last[None], places)


def _loaded(step: Step, shared: Mapping[int, Any]) -> Tensor:
    """The base model's value, which may have been kept."""
    value: Tensor = shared[step.index] if step.index in shared else step.value(shared)
    return value


def _one_by_one(
    step: Step, shared: Mapping[int, Any], wide: Mapping[int, Any], takes: list[int], move: Move, moved: tuple[str, ...]
) -> Tensor:
    found: Tensor | None = None
    for k in range(len(move.alphas)):
        own = {name: move.at(name, k) for name in moved}
        value = step.value({**shared, **{i: _pick(wide[i], k) for i in takes}}, own)
        if found is None:
            found = value.new_empty((len(move.alphas), *value.shape))
        found[k] = value
    assert found is not None
    return found


def _alike(step: Step, shared: Mapping[int, Any], wide: Mapping[int, Any], takes: list[int], last: bool) -> Any:
    """A step with the same weights for all models."""
    module, x = step.module, wide[takes[0]]
    if isinstance(module, nn.ReLU) and last:
        return x.relu_()
    if type(module) is nn.Linear and x.dim() == 3:
        return _products(module, x)
    if step.node is None or step.node.op == "output" or (isinstance(module, ANY_LEADING) and len(takes) == 1):
        return step.value({**shared, takes[0]: x})
    dimensions = BATCHED.get(type(module)) if module is not None else None
    if dimensions is not None and isinstance(x, Tensor) and x.dim() == dimensions + 1:
        together = step.value({**shared, takes[0]: x.flatten(0, 1)})
        return together.unflatten(0, x.shape[:2])
    value_of_one = step.value({**shared, **{i: _pick(wide[i], 0) for i in takes}})
    if not isinstance(value_of_one, (Tensor, tuple, list)):
        return Plain(value_of_one)  # a size, for instance, is that of one model, and the same for all

    def one(*values: Any) -> Any:
        return step.value({**shared, **dict(zip(takes, values, strict=True))})

    if isinstance(value_of_one, (tuple, list)) and not all(isinstance(part, Tensor) for part in value_of_one):
        return Plain(value_of_one)
    return torch.func.vmap(one)(*(wide[i] for i in takes))


def _products(module: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer's values for (K, n, m). Adding the bias afterwards is faster than to begin with it.

    Few outputs are computed with outputs first, which is how they are scored.
    """
    rows = x.flatten(0, 1)
    if module.out_features > FEW_OUTPUTS:
        product = torch.mm(rows, module.weight.t())
        if module.bias is not None:
            product.add_(module.bias)
        return product.view(*x.shape[:2], -1)
    turned = torch.mm(module.weight, rows.t())
    if module.bias is not None:
        turned.add_(module.bias[:, None])
    return turned.view(-1, *x.shape[:2]).permute(1, 2, 0)


class Plain:
    """Marks a value that all models share."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _pick(value: Any, k: int) -> Any:
    return type(value)(part[k] for part in value) if isinstance(value, (tuple, list)) else value[k]
