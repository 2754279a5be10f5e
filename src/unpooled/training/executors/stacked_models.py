"""The models of all sites as matrices: parameters (m, P), buffers (m, B), optimizer state, anchors, corrections."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unpooled.combine import Array
from unpooled.errors import SiteFailed
from unpooled.training.exchange import Layers
from unpooled.training.executors.base import Seats
from unpooled.training.executors.stacked_optimizer import StackedOptimizer
from unpooled.training.layout import layout_of, numpy_rows, row_of
from unpooled.training.optimizer_state import CORRECTION, columns_beside
from unpooled.training.recipe import Recipe
from unpooled.training.unwritten import Unwritten


class StackedModels:
    """What `m` sites hold, as rows of `stack`, unless `start` or `stepped` is set and the rows are still to be written.

    `start` is the one row that all were told to continue from, `stepped` the rows that are one step away from it.
    """

    def __init__(self, recipe: Recipe, m: int) -> None:
        self.recipe, self.sites = recipe, m
        layout = layout_of(recipe.module, buffers_travel=True)
        first = row_of(recipe.module, layout)
        self.parameters, self.buffer_shapes = layout.parameters, layout.buffers
        width = layout.parameter_width
        self.stack = first[:width].repeat(m, 1)
        self.buffers = first[width:].repeat(m, 1)
        self.optimizer = StackedOptimizer(recipe, self.stack)
        if recipe.buffers == "stay":
            layout = replace(layout, buffers={})
        self.layout = replace(layout, state=columns_beside(recipe, width, layout.dtype))
        self._columns = self.layout.layers
        self.start: Tensor | None = None
        self.stepped: Unwritten | None = None
        self.anchor: Tensor | None = self.model_rows(slice(None)).clone() if recipe.proximal else None
        self.corrections: Tensor | None = torch.zeros_like(self.stack) if recipe.corrected else None

    def index(self, seats: Seats) -> Any:
        """Seats as an index of torch."""
        return slice(None) if isinstance(seats, slice) else torch.from_numpy(np.asarray(seats))

    def load(self, seats: Seats, rows: Array, layers: Layers) -> None:
        """Write rows; one row for all sites is kept as one, for as long as nobody needs the copies."""
        index, width = self.index(seats), self.layout.parameter_width
        whole = layers is None and not self.layout.state and isinstance(index, slice)
        if whole and rows.strides[0] == 0 and self.optimizer.plain:
            row = torch.from_numpy(rows[0].copy())
            self.stepped = None
            self.start = row[:width].to(self.stack.dtype)
            if self.layout.buffers:
                self.buffers.copy_(row[width:])
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
            values = torch.from_numpy(rows if min(rows.strides) >= 0 else rows.copy())
        if whole:
            self.start = self.stepped = None
            self.stack.copy_(values[:, :width])
            if self.layout.buffers:
                self.buffers.copy_(values[:, width:])
        else:
            self.settle()
            self._load_layers(index, values, tuple(self._columns) if layers is None else layers)
        if self.recipe.optimizer_state == "reset":
            self.optimizer.clear(index)

    def settle(self) -> None:
        """Write each site's row."""
        if self.start is not None:
            self.stack.copy_(self.start)
        elif self.stepped is not None:
            self.stepped.write(self.stack)
        self.start = self.stepped = None

    def _load_layers(self, index: Any, values: Tensor, named: Sequence[str]) -> None:
        width, model, start = self.layout.parameter_width, self.layout.model_width, 0
        state: dict[str, Tensor] = {}
        for name in named:
            part = self._columns[name]
            block = values[:, start : start + part.stop - part.start]
            start += part.stop - part.start
            if part.stop <= width:
                self.stack[index, part] = block
            elif part.stop <= model:
                self.buffers[index, part.start - width : part.stop - width] = block
            elif name == CORRECTION and self.corrections is not None:
                self.corrections[index] = block.to(self.stack.dtype)
            else:
                state[name.removeprefix("optimizer.")] = block
        if state:
            self.optimizer.write(index, state)

    def model_rows(self, index: Any) -> Tensor:
        """Parameters and travelling buffers, shape (k, model width); a view where there are none of the latter."""
        if not self.layout.buffers:
            return self.stack[index]
        return torch.cat([self.stack[index], self.buffers[index]], dim=1)

    def set_anchor(self, seats: Seats) -> None:
        """See `Executor.anchor`."""
        self.settle()
        index = self.index(seats)
        if self.anchor is None:
            self.anchor = torch.full((self.sites, self.layout.model_width), torch.nan, dtype=self.stack.dtype)
        self.anchor[index] = self.model_rows(index)

    def distances(self, seats: Seats, layers: Layers) -> Array:
        """See `Executor.distances`."""
        if self.anchor is None:
            raise SiteFailed("it was asked how far its model has moved before it was given a common model.")
        self.settle()
        index = self.index(seats)
        away = self.model_rows(index) - self.anchor[index]
        if layers is not None:
            away = torch.cat([away[:, self._columns[name]] for name in layers], dim=1)
        return np.asarray(torch.linalg.vector_norm(away, dim=1, dtype=torch.float64).square().numpy())

    def rows(self, seats: Seats, layers: Layers) -> Array | Unwritten:
        """See `Executor.rows`."""
        whole = layers is None and isinstance(seats, slice) and not self.layout.buffers and not self.layout.state
        if whole and self.stepped is not None:
            return self.stepped
        self.settle()
        index = self.index(seats)
        rows = self.model_rows(index)
        if (tuple(self._columns) if layers is None else layers) != self.layout.model_layers:
            beside = [self.optimizer.read()[index]] if any(name != CORRECTION for name in self.layout.state) else []
            if self.corrections is not None:
                beside.append(self.corrections[index])
            rows = torch.cat([rows, *beside], dim=1)
            if layers is not None:
                rows = torch.cat([rows[:, self._columns[name]] for name in layers], dim=1)
        out = numpy_rows(rows)
        out.flags.writeable = False
        return out

    def whole_models(self, seats: Seats) -> Array:
        """See `Executor.models`."""
        self.settle()
        index = self.index(seats)
        return numpy_rows(torch.cat([self.stack[index], self.buffers[index]], dim=1))

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        self.settle()
        kept = {"stack": self.stack, "buffers": self.buffers, "optimizer": self.optimizer.state()}
        extras = {"anchor": self.anchor, "corrections": self.corrections}
        return {**kept, **{name: value for name, value in extras.items() if value is not None}}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.start = self.stepped = None
        self.stack.copy_(state["stack"])
        self.buffers.copy_(state["buffers"])
        self.optimizer.restore(state["optimizer"])
        anchor = state.get("anchor")
        self.anchor = None if anchor is None else anchor.clone()
        if self.corrections is not None:
            self.corrections.copy_(state["corrections"])


def views(rows: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> list[Tensor]:
    """Parts of a matrix (m, P) as tensors (m, *shape) that share its memory."""
    parts = torch.split(rows, [prod(s) for s in shapes.values()], dim=1) if shapes else ()
    return [part.view(len(rows), *shape) for part, shape in zip(parts, shapes.values(), strict=True)]
