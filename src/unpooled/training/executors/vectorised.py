"""All sites of a process at once: parameters stacked as one (m, P) matrix, gradients by one traced program.

Every site takes the steps that the reference executor would take; sums inside a batch may be ordered differently, so
models agree up to rounding. Sites with batches of one size share a program; unequal sizes form groups.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from unpooled.combine import Array
from unpooled.errors import Unsupported
from unpooled.sites.site import Site
from unpooled.training.batches import Batches
from unpooled.training.exchange import Layers
from unpooled.training.executors.base import Seats, positions
from unpooled.training.executors.stacked_optimizer import StackedOptimizer
from unpooled.training.executors.traced import trace
from unpooled.training.layout import layout_of, numpy_rows, row_of, unflatten
from unpooled.training.recipe import Recipe

Program = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(parameters, buffers, X, y), all stacked, to (gradients, losses)."""


@dataclass(frozen=True, eq=False)
class _Group:
    """Seats whose batches have one size; `X`, `y` are set where every step uses the same rows."""

    seats: Tensor | None
    batches: Sequence[Batches]
    starts: Tensor
    size: int
    X: Tensor | None
    y: Tensor | None


class VectorisedExecutor:
    """Trains all its sites in lockstep. Raises `Unsupported`, naming the remedy, for what cannot be stacked."""

    name = "vectorised"

    def __init__(self, recipe: Recipe, sites: Sequence[Site]) -> None:
        _refuse_running_statistics(recipe.module)
        self.recipe, self.seats = recipe, len(sites)
        layout = layout_of(recipe.module, buffers_travel=True)
        start = row_of(recipe.module, layout)
        self._parameters, self._buffers = layout.parameters, layout.buffers
        width = layout.parameter_width
        self.stack = start[:width].repeat(len(sites), 1)
        self.buffers = start[width:].repeat(len(sites), 1)
        self.optimizer = StackedOptimizer(recipe, self.stack)
        if recipe.buffers == "stay":
            layout = replace(layout, buffers={})
        if recipe.optimizer_state == "travel":
            layout = replace(layout, state=self.optimizer.names.shapes(width))
        self.layout, self._columns = layout, layout.layers
        self._read_data(sites)
        self._batches = [Batches(recipe.streams, s.name, s.size or 0, recipe.batch_size) for s in sites]
        self._groups: dict[Any, list[_Group]] = {}
        self._programs: dict[Any, Program] = {}

    def _read_data(self, sites: Sequence[Site]) -> None:
        data = [site.require_train() for site in sites]
        if len({d.X.shape[1:] for d in data}) > 1:
            shapes = sorted({str(d.X.shape[1:]) for d in data})
            raise Unsupported(f"Sites hold samples of different shapes {', '.join(shapes)}: bring them to one shape.")
        self._X = torch.from_numpy(np.concatenate([d.X for d in data]))
        self._y = torch.from_numpy(np.concatenate([d.y for d in data]))
        if self._X.dtype.is_floating_point:
            self._X = self._X.to(self.stack.dtype)
        if self._y.dtype.is_floating_point:
            self._y = self._y.to(self.stack.dtype)
        self._starts = np.cumsum([0, *(len(d) for d in data)])[:-1]

    def load(self, seats: Seats, rows: Array, layers: Layers = None) -> None:
        named = tuple(self._columns) if layers is None else layers
        index = slice(None) if isinstance(seats, slice) else torch.from_numpy(np.asarray(seats))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
            values = torch.from_numpy(rows if rows.flags.c_contiguous else rows.copy())
        if layers is None and not self.layout.state and isinstance(index, slice):
            width = self.layout.parameter_width
            self.stack.copy_(values[:, :width])
            if self.layout.buffers:
                self.buffers.copy_(values[:, width:])
        else:
            self._load_layers(index, values, named)
        if self.recipe.optimizer_state == "reset":
            self.optimizer.clear(index)

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
            else:
                state[name.removeprefix("optimizer.")] = block
        if state:
            self.optimizer.write(index, state)

    def train(self, seats: Seats, step: int, steps: int) -> Array:
        groups = self._grouped(seats)
        totals = torch.zeros(len(positions(seats, self.seats)), dtype=torch.float64)
        for group in groups:
            where = slice(None) if len(groups) == 1 else group.seats
            everyone = len(groups) == 1 and isinstance(seats, slice)
            with self.optimizer.session(None if everyone else self._rows_of(seats, group)) as session:
                for t in range(step, step + steps):
                    gradient, loss = self._gradient(session.rows, seats, group, t)
                    session.step(gradient, self.recipe.rate(t))
                    totals[where] += loss
        return np.asarray((totals / max(steps, 1)).numpy())

    def _rows_of(self, seats: Seats, group: _Group) -> Tensor:
        where = torch.tensor(positions(seats, self.seats))
        return where if group.seats is None else where[group.seats]

    def _grouped(self, seats: Seats) -> list[_Group]:
        """Seats by batch size; remembered, because the same sites are mostly asked again."""
        key = None if isinstance(seats, slice) else np.asarray(seats).tobytes()
        if key not in self._groups:
            if len(self._groups) > 64:
                self._groups.clear()
            chosen = positions(seats, self.seats)
            sizes = sorted({self._batches[i].size for i in chosen})
            self._groups[key] = [self._group(chosen, size, len(sizes) == 1) for size in sizes]
        return self._groups[key]

    def _group(self, chosen: Sequence[int], size: int, alone: bool) -> _Group:
        places = [j for j, i in enumerate(chosen) if self._batches[i].size == size]
        batches = [self._batches[chosen[j]] for j in places]
        starts = torch.from_numpy(self._starts[[chosen[j] for j in places]])
        X = y = None
        if all(b.full for b in batches):
            index = (starts[:, None] + torch.arange(size)).reshape(-1)
            X, y = self._take(index, len(places), size)
        return _Group(None if alone else torch.tensor(places), batches, starts, size, X, y)

    def _take(self, index: Tensor, sites: int, size: int) -> tuple[Tensor, Tensor]:
        X, y = self._X.index_select(0, index), self._y.index_select(0, index)
        return X.view(sites, size, *X.shape[1:]), y.view(sites, size, *y.shape[1:])

    def _gradient(self, rows: Tensor, seats: Seats, group: _Group, step: int) -> tuple[Tensor, Tensor]:
        X, y = group.X, group.y
        if X is None or y is None:
            drawn = torch.from_numpy(np.stack([b(step) for b in group.batches]))
            X, y = self._take((group.starts[:, None] + drawn).reshape(-1), len(group.batches), group.size)
        buffers = self.buffers if len(rows) == self.seats else self.buffers[self._rows_of(seats, group)]
        key = (len(rows), group.size)
        program = self._programs.get(key)
        if program is None:
            program = self._programs[key] = self._program(rows, buffers, X, y)
        with torch.no_grad():
            return program(rows, buffers, X, y)

    def _program(self, rows: Tensor, buffers: Tensor, X: Tensor, y: Tensor) -> Program:
        module, loss = self.recipe.module, self.recipe.loss
        module.train()

        def site_loss(parameters: Tensor, constants: Tensor, X: Tensor, y: Tensor) -> Tensor:
            named = {**unflatten(parameters, self._parameters), **unflatten(constants, self._buffers)}
            return loss(functional_call(module, named, (X,)), y)

        try:
            return trace(vmap(grad_and_value(site_loss)), rows, buffers, X, y)
        except Exception as error:  # torch raises many types here; the first line of its text tells which operation
            first_line = next(iter(str(error).splitlines()), type(error).__name__)
            raise Unsupported(
                f"{type(module).__name__} cannot be trained for all sites at once ({first_line}): "
                'use executor="reference".'
            ) from error

    def rows(self, seats: Seats, layers: Layers = None) -> Array:
        index = slice(None) if isinstance(seats, slice) else torch.from_numpy(np.asarray(seats))
        parts = [self.stack]
        if self.layout.buffers:
            parts.append(self.buffers)
        if self.layout.state:
            parts.append(self.optimizer.read())
        rows = (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))[index]
        if layers is not None:
            rows = torch.cat([rows[:, self._columns[name]] for name in layers], dim=1)
        out = numpy_rows(rows)
        out.flags.writeable = False
        return out

    def state(self) -> dict[str, Any]:
        return {"stack": self.stack, "buffers": self.buffers, "optimizer": self.optimizer.state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.stack.copy_(state["stack"])
        self.buffers.copy_(state["buffers"])
        self.optimizer.restore(state["optimizer"])


def _refuse_running_statistics(module: nn.Module) -> None:
    """Name the layer that vmap would trip over, before any work starts."""
    for name, layer in module.named_modules():
        statistics = isinstance(layer, nn.modules.batchnorm._NormBase) and layer.track_running_stats
        if statistics:
            raise Unsupported(
                f"Layer '{name}' ({type(layer).__name__}) keeps running statistics, which the vectorised executor "
                'cannot update: use executor="reference", or GroupNorm.'
            )
        if isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0:
            raise Unsupported(
                f"Layer '{name}' ({type(layer).__name__}) draws random numbers, which the vectorised executor cannot "
                'repeat site by site: use executor="reference", or p=0.'
            )
