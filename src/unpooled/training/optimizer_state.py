"""Optimizer state as columns of a row, so that it can stay, be cleared, be checkpointed or travel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unpooled.errors import Unsupported
from unpooled.training.layout import Layout, layout_of
from unpooled.training.recipe import Recipe

CORRECTION = "correction"
"""The part of a row that a site adds to each gradient; it comes from the coordinator."""


@dataclass(frozen=True)
class StateNames:
    """What an optimizer keeps: `full` values of a parameter's shape, `single` numbers (such as Adam's step)."""

    full: tuple[str, ...]
    single: tuple[str, ...]
    single_dtypes: tuple[Any, ...]

    def shapes(self, parameter_width: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the columns that state takes in a row that carries it."""
        full = {f"optimizer.{name}": (parameter_width,) for name in self.full}
        return {**full, **{f"optimizer.{name}": (1,) for name in self.single}}


def state_names(recipe: Recipe, dtype: torch.dtype) -> StateNames:
    """Found by one step on a 2 x 3 parameter. Raises `Unsupported` for state of any other form."""
    trial = torch.zeros(2, 3, dtype=dtype, requires_grad=True)
    trial.grad = torch.ones_like(trial)
    optimizer = recipe.new_optimizer([trial])
    try:
        optimizer.step()
    except TypeError as error:
        raise Unsupported(
            f"{type(optimizer).__name__} needs more than gradients ({error}): use an optimizer whose step() takes none."
        ) from error
    full, single, dtypes = [], [], []
    for name, value in optimizer.state[trial].items():
        if isinstance(value, Tensor) and value.shape == trial.shape:
            full.append(name)
        elif isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.numel() == 1):
            single.append(name)
            dtypes.append((value.dtype, tuple(value.shape)) if isinstance(value, Tensor) else type(value))
        elif value is not None:
            raise Unsupported(
                f"{type(optimizer).__name__} keeps state '{name}' that is no number for each parameter: "
                'use optimizer_state="reset" with executor="reference", or another optimizer.'
            )
    return StateNames(tuple(full), tuple(single), tuple(dtypes))


def full_layout(recipe: Recipe) -> Layout:
    """The layout of the rows that travel under this recipe: the model, and what goes with it."""
    layout = layout_of(recipe.module, buffers_travel=recipe.buffers == "travel")
    return replace(layout, state=columns_beside(recipe, layout.parameter_width, layout.dtype))


def columns_beside(recipe: Recipe, parameter_width: int, dtype: torch.dtype) -> dict[str, tuple[int, ...]]:
    """Parts of a row that are not the model: optimizer state where it travels, and what corrects the gradients."""
    travels = recipe.optimizer_state == "travel"
    columns = state_names(recipe, dtype).shapes(parameter_width) if travels else {}
    return {**columns, CORRECTION: (parameter_width,)} if recipe.corrected else columns


def as_kept(number: float, kind: Any) -> Any:
    """A single number in the form that the optimizer keeps it in."""
    if isinstance(kind, tuple):
        return torch.full(kind[1], number, dtype=kind[0])
    return kind(number)


def read_state(optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor], names: StateNames) -> Tensor | None:
    """State over `parameters` (in the order of the row) as one flat float64-safe tensor; None when there is none."""
    if any(not optimizer.state.get(p) for p in parameters):
        return None
    parts = [optimizer.state[p][name].detach().reshape(-1) for name in names.full for p in parameters]
    single = [float(optimizer.state[parameters[0]][name]) for name in names.single]
    dtype = parameters[0].dtype
    return torch.cat([*parts, torch.tensor(single, dtype=dtype)]) if parts or single else torch.zeros(0, dtype=dtype)


def write_state(
    optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor], names: StateNames, flat: Tensor
) -> None:
    """The reverse of `read_state`."""
    start = 0
    fresh: dict[Tensor, dict[str, Any]] = {p: {} for p in parameters}
    for name in names.full:
        for p in parameters:
            fresh[p][name] = flat[start : start + p.numel()].view(p.shape).clone()
            start += p.numel()
    for i, name in enumerate(names.single):
        for p in parameters:
            fresh[p][name] = as_kept(float(flat[start + i]), names.single_dtypes[i])
    for p in parameters:
        optimizer.state[p] = fresh[p]
