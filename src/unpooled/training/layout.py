"""A model as one row of numbers: which columns belong to which parameter, buffer or optimizer value.

Order: trainable parameters as `named_parameters` yields them (tied weights once), then floating-point buffers where
they travel, then optimizer state where it travels. Frozen parameters and integer counters stay at the site.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from unpooled.combine import Array
from unpooled.errors import BadSetting, Unsupported

NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(nn.GroupNorm, nn.LayerNorm, nn.RMSNorm),
)
"""Normalisation modules; a class of your own counts when it derives from one of these."""


@dataclass(frozen=True)
class Layout:
    """`parameters`, `buffers` and `state` map names to shapes, in the order of the columns.

    `norms` are the names of those parameters and buffers that belong to normalisation modules of torch.nn.
    """

    parameters: Mapping[str, tuple[int, ...]]
    buffers: Mapping[str, tuple[int, ...]]
    state: Mapping[str, tuple[int, ...]]
    dtype: torch.dtype
    norms: tuple[str, ...] = ()

    @cached_property
    def layers(self) -> dict[str, slice]:
        """Columns of each part of the row."""
        start, columns = 0, {}
        for name, shape in self._parts():
            columns[name] = slice(start, start + prod(shape))
            start += prod(shape)
        return columns

    @cached_property
    def model_layers(self) -> tuple[str, ...]:
        """Names of the parts that make up the model: parameters and buffers."""
        return (*self.parameters, *self.buffers)

    @cached_property
    def parameter_width(self) -> int:
        """Number of trainable parameters, P."""
        return sum(prod(s) for s in self.parameters.values())

    @cached_property
    def buffer_width(self) -> int:
        """Number of buffer values in a row."""
        return sum(prod(s) for s in self.buffers.values())

    @cached_property
    def model_width(self) -> int:
        """Columns of the model: parameters and buffers."""
        return self.parameter_width + self.buffer_width

    @cached_property
    def width(self) -> int:
        """Columns of a whole row."""
        return self.model_width + sum(prod(s) for s in self.state.values())

    def _parts(self) -> Iterable[tuple[str, tuple[int, ...]]]:
        yield from self.parameters.items()
        yield from self.buffers.items()
        yield from self.state.items()


def layout_of(module: nn.Module, *, buffers_travel: bool = True) -> Layout:
    """The layout of `module`, without optimizer state.

    Raises `Unsupported` for parameters of several types, `BadSetting` for a module without trainable parameters.
    """
    parameters = {n: tuple(p.shape) for n, p in module.named_parameters() if p.requires_grad}
    dtypes = {p.dtype for p in module.parameters() if p.requires_grad}
    if not parameters:
        raise BadSetting(f"{type(module).__name__} has no trainable parameter: there is nothing to learn.")
    if len(dtypes) > 1:
        raise Unsupported(f"The model mixes {', '.join(sorted(map(str, dtypes)))}: cast it to one type, e.g. .float().")
    dtype = dtypes.pop()
    if dtype not in (torch.float32, torch.float64):
        raise Unsupported(f"The model's parameters are {dtype}: cast it with .float() or .double().")
    buffers = {n: tuple(b.shape) for n, b in module.named_buffers() if b.dtype.is_floating_point}
    buffers = buffers if buffers_travel else {}
    return Layout(parameters, buffers, {}, dtype, _in_norms(module, (*parameters, *buffers)))


def _in_norms(module: nn.Module, names: Iterable[str]) -> tuple[str, ...]:
    """Those of `names` that a normalisation module owns: its type tells, not what it is called."""
    prefixes = [f"{name}." if name else "" for name, part in module.named_modules() if isinstance(part, NORMS)]
    return tuple(n for n in names if any(n.startswith(p) for p in prefixes))


def row_of(module: nn.Module, layout: Layout) -> Tensor:
    """The model columns of `module` as a new tensor of shape (model width,)."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    parts = [tensors[name].detach().reshape(-1).to(layout.dtype) for name in layout.model_layers]
    return torch.cat(parts)


def write_row(module: nn.Module, layout: Layout, row: Tensor, layers: Iterable[str] | None = None) -> None:
    """Write model columns of `row` (shape (width,)) into `module` in place; other parts are left alone."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    columns = layout.layers
    with torch.no_grad():
        for name in layout.model_layers if layers is None else layers:
            target = tensors[name]
            target.copy_(row[columns[name]].view(target.shape))


def unflatten(row: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Views of `row` (shape (sum of sizes,)) as named tensors."""
    parts = torch.split(row, [prod(s) for s in shapes.values()])
    return {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def numpy_rows(tensor: Tensor) -> Array:
    """A NumPy view of a detached CPU tensor."""
    return np.asarray(tensor.detach().numpy())
