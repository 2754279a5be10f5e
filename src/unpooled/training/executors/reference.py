"""The plain way: one module, one torch.optim optimizer and one loop a site. What a real site runs, and the oracle."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unpooled.combine import Array
from unpooled.errors import SiteFailed
from unpooled.sites.site import Site
from unpooled.training.batches import Batches
from unpooled.training.exchange import Layers
from unpooled.training.executors.base import Seats, positions
from unpooled.training.layout import layout_of, numpy_rows, row_of, unflatten, write_row
from unpooled.training.optimizer_state import (
    CORRECTION,
    StateNames,
    full_layout,
    read_state,
    state_names,
    write_state,
)
from unpooled.training.randomness import torch_stream
from unpooled.training.recipe import Recipe


@dataclass(eq=False)
class Bench:
    """One site's place of work."""

    site: str
    X: Tensor
    y: Tensor
    batches: Batches
    module: nn.Module
    optimizer: torch.optim.Optimizer
    parameters: list[Tensor]
    anchor: Tensor | None
    correction: Tensor | None


class ReferenceExecutor:
    """Trains each site by itself, one after the other."""

    name = "reference"

    def __init__(self, recipe: Recipe, sites: Sequence[Site]) -> None:
        self.recipe, self.seats = recipe, len(sites)
        self.layout = full_layout(recipe)
        self._state_names: StateNames | None = None
        if recipe.optimizer_state == "travel":
            self._state_names = state_names(recipe, self.layout.dtype)
        self._benches = [self._bench(site) for site in sites]

    def _bench(self, site: Site) -> Bench:
        data = site.require_train()
        module = copy.deepcopy(self.recipe.module).train()
        parameters: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
        batches = Batches(self.recipe.streams, site.name, len(data), self.recipe.batch_size)
        X, y = torch.from_numpy(data.X), torch.from_numpy(data.y)
        X = X.to(self.layout.dtype) if X.dtype.is_floating_point else X
        y = y.to(self.layout.dtype) if y.dtype.is_floating_point else y
        anchor = row_of(module, self.layout) if self.recipe.proximal else None
        zero = torch.zeros(self.layout.parameter_width, dtype=self.layout.dtype) if self.recipe.corrected else None
        optimizer = self.recipe.new_optimizer(parameters)
        return Bench(site.name, X, y, batches, module, optimizer, parameters, anchor, zero)

    def load(self, seats: Seats, rows: Array, layers: Layers = None) -> None:
        model_layers = set(self.layout.model_layers)
        named = tuple(self.layout.layers) if layers is None else layers
        for i, row in zip(positions(seats, len(self._benches)), rows, strict=True):
            bench, values = self._benches[i], torch.from_numpy(np.array(row, dtype=rows.dtype))
            start = 0
            with torch.no_grad():
                whole = torch.zeros(self.layout.width, dtype=self.layout.dtype)
                for name in named:
                    part = self.layout.layers[name]
                    whole[part] = values[start : start + part.stop - part.start].to(self.layout.dtype)
                    start += part.stop - part.start
            write_row(bench.module, self.layout, whole, [n for n in named if n in model_layers])
            if self.recipe.optimizer_state == "reset":
                bench.optimizer = self.recipe.new_optimizer(bench.parameters)  # some make their state when made
            elif self._state_names is not None and any(n not in model_layers and n != CORRECTION for n in named):
                write_state(bench.optimizer, bench.parameters, self._state_names, whole[self.layout.model_width :])
            if bench.correction is not None and CORRECTION in named:
                bench.correction = whole[self.layout.layers[CORRECTION]].clone()

    def anchor(self, seats: Seats) -> None:
        for i in positions(seats, len(self._benches)):
            self._benches[i].anchor = row_of(self._benches[i].module, self.layout)

    def distances(self, seats: Seats, layers: Layers = None) -> Array:
        return np.array([self._distance(self._benches[i], layers) for i in positions(seats, len(self._benches))])

    def _distance(self, bench: Bench, layers: Layers) -> float:
        if bench.anchor is None:
            raise SiteFailed("it was asked how far its model has moved before it was given a common model.")
        away = (row_of(bench.module, self.layout) - bench.anchor).double()
        named = self.layout.model_layers if layers is None else layers
        return float(sum((away[self.layout.layers[name]] ** 2).sum() for name in named))

    def train(self, seats: Seats, step: int, steps: int) -> Array:
        losses = []
        for i in positions(seats, len(self._benches)):
            total = 0.0
            for t in range(step, step + steps):
                total += self._step(self._benches[i], t)
            losses.append(total / max(steps, 1))
        return np.array(losses, dtype=np.float64)

    def gradients(self, seats: Seats, step: int) -> tuple[Array, Array]:
        losses, rows = [], []
        for i in positions(seats, len(self._benches)):
            bench = self._benches[i]
            X, y = self._batch(bench, step)
            with torch.enable_grad(), torch_stream(self.recipe.streams.torch_seed("site", bench.site, "layers", step)):
                loss = self.recipe.loss(bench.module(X), y)
                found = torch.autograd.grad(loss, bench.parameters, materialize_grads=True)
            losses.append(float(loss.detach()))
            rows.append(torch.cat([g.reshape(-1) for g in found]))
        return np.array(losses, dtype=np.float64), numpy_rows(torch.stack(rows))

    def _batch(self, bench: Bench, step: int) -> tuple[Tensor, Tensor]:
        if bench.batches.full:
            return bench.X, bench.y
        index = torch.from_numpy(bench.batches(step))
        return bench.X[index], bench.y[index]

    def _step(self, bench: Bench, step: int) -> float:
        rate = self.recipe.rate(step)
        for group in bench.optimizer.param_groups:
            group["lr"] = rate
        X, y = self._batch(bench, step)
        losses: list[float] = []

        def closure() -> Any:
            bench.optimizer.zero_grad()
            loss = self.recipe.loss(bench.module(X), y)
            losses.append(float(loss.detach()))
            if self.recipe.proximal and bench.anchor is not None:
                start = unflatten(bench.anchor[: self.layout.parameter_width], self.layout.parameters)
                away = sum(((p - a) ** 2).sum() for p, a in zip(bench.parameters, start.values(), strict=True))
                loss = loss + self.recipe.proximal / 2 * away
            loss.backward()  # type: ignore[no-untyped-call]
            if bench.correction is not None:
                parts = unflatten(bench.correction, self.layout.parameters).values()
                for parameter, part in zip(bench.parameters, parts, strict=True):
                    parameter.grad = part if parameter.grad is None else parameter.grad + part
            return loss

        with (
            torch.enable_grad(),
            torch_stream(self.recipe.streams.torch_seed("site", bench.site, "layers", step)),
        ):
            bench.optimizer.step(closure)
        return losses[0]

    def rows(self, seats: Seats, layers: Layers = None) -> Array:
        rows = torch.stack([self._row(self._benches[i]) for i in positions(seats, len(self._benches))])
        if layers is not None:
            rows = torch.cat([rows[:, self.layout.layers[name]] for name in layers], dim=1)
        out = numpy_rows(rows)
        out.flags.writeable = False
        return out

    def models(self, seats: Seats) -> Array:
        whole = layout_of(self.recipe.module)
        rows = [row_of(self._benches[i].module, whole) for i in positions(seats, len(self._benches))]
        return numpy_rows(torch.stack(rows))

    def _row(self, bench: Bench) -> Tensor:
        parts = [row_of(bench.module, self.layout)]
        if self._state_names is not None:
            state = read_state(bench.optimizer, bench.parameters, self._state_names)
            shapes = self._state_names.shapes(self.layout.parameter_width)
            parts.append(torch.zeros(sum(prod(s) for s in shapes.values())) if state is None else state)
        if bench.correction is not None:
            parts.append(bench.correction)
        return torch.cat([part.to(self.layout.dtype) for part in parts])

    def state(self) -> dict[str, Any]:
        return {
            b.site: {
                "module": b.module.state_dict(),
                "optimizer": b.optimizer.state_dict(),
                "anchor": b.anchor,
                "correction": b.correction,
            }
            for b in self._benches
        }

    def restore(self, state: dict[str, Any]) -> None:
        for bench in self._benches:
            bench.module.load_state_dict(state[bench.site]["module"])
            bench.optimizer.load_state_dict(state[bench.site]["optimizer"])
            bench.anchor, bench.correction = state[bench.site]["anchor"], state[bench.site]["correction"]
