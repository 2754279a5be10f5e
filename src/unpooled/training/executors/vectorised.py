"""All sites of a process at once: parameters stacked as one (m, P) matrix, gradients by one traced program.

Every site takes the steps that the reference executor would take; sums inside a batch may be ordered differently, so
models agree up to rounding. Sites with batches of one size share a program; unequal sizes form groups.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from unpooled.combine import Array
from unpooled.errors import SiteFailed, Unsupported
from unpooled.sites.site import Site
from unpooled.training.batches import Batches
from unpooled.training.exchange import Layers
from unpooled.training.executors.base import Seats, positions
from unpooled.training.executors.stacked_optimizer import StackedOptimizer
from unpooled.training.executors.traced import Traced, trace
from unpooled.training.layout import layout_of, numpy_rows, row_of, unflatten
from unpooled.training.randomness import torch_stream
from unpooled.training.recipe import Recipe


@dataclass(frozen=True, eq=False)
class _Group:
    """Seats whose batches have one size; `data` (X, y) is set where every step uses the same rows.

    `prepared` remembers what each program made of that data.
    """

    seats: Tensor | None
    batches: Sequence[Batches]
    starts: Tensor
    size: int
    data: tuple[Tensor, Tensor] | None
    prepared: dict[Traced, Sequence[Tensor]] = field(default_factory=dict)


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
        _refuse_changing_buffers(recipe.module, self._X[self._starts])
        self._batches = [Batches(recipe.streams, s.name, s.size or 0, recipe.batch_size) for s in sites]
        self._groups: dict[Any, list[_Group]] = {}
        self._programs: dict[Any, Traced] = {}
        self._start: Tensor | None = None
        self._anchor = self._model_rows(slice(None)).clone() if recipe.proximal else None

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

    @property
    def _light(self) -> bool:
        """Whether all work so far is better done on one thread (see `LIGHT`); moving rows about then is, too."""
        return bool(self._programs) and all(program.light for program in self._programs.values())

    def load(self, seats: Seats, rows: Array, layers: Layers = None) -> None:
        with _one_thread(self._light):
            self._load(seats, rows, layers)

    def _load(self, seats: Seats, rows: Array, layers: Layers) -> None:
        named = tuple(self._columns) if layers is None else layers
        index = slice(None) if isinstance(seats, slice) else torch.from_numpy(np.asarray(seats))
        whole = layers is None and not self.layout.state and isinstance(index, slice)
        width = self.layout.parameter_width
        if whole and rows.strides[0] == 0 and self.optimizer.plain:
            row = torch.from_numpy(rows[0].copy())
            self._start = row[:width].to(self.stack.dtype)
            if self.layout.buffers:
                self.buffers.copy_(row[width:])
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
            values = torch.from_numpy(rows if min(rows.strides) >= 0 else rows.copy())
        if whole:
            self._start = None
            self.stack.copy_(values[:, :width])
            if self.layout.buffers:
                self.buffers.copy_(values[:, width:])
        else:
            self._settle()
            self._load_layers(index, values, named)
        if self.recipe.optimizer_state == "reset":
            self.optimizer.clear(index)

    def _settle(self) -> None:
        """Give each site its copy of the one model that all were told to continue from."""
        if self._start is not None:
            self.stack.copy_(self._start)
            self._start = None

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

    def _model_rows(self, index: Any) -> Tensor:
        """Parameters and travelling buffers, shape (k, model width); a view where there are none of the latter."""
        if not self.layout.buffers:
            return self.stack[index]
        return torch.cat([self.stack[index], self.buffers[index]], dim=1)

    def anchor(self, seats: Seats) -> None:
        with _one_thread(self._light):
            self._settle()
            index = slice(None) if isinstance(seats, slice) else torch.from_numpy(np.asarray(seats))
            if self._anchor is None:
                shape = (self.seats, self.layout.model_width)
                self._anchor = torch.full(shape, torch.nan, dtype=self.stack.dtype)
            self._anchor[index] = self._model_rows(index)

    def distances(self, seats: Seats, layers: Layers = None) -> Array:
        with _one_thread(self._light):
            self._settle()
            index = slice(None) if isinstance(seats, slice) else torch.from_numpy(np.asarray(seats))
            if self._anchor is None:
                raise SiteFailed("it was asked how far its model has moved before it was given a common model.")
            away = self._model_rows(index) - self._anchor[index]
            if layers is not None:
                away = torch.cat([away[:, self._columns[name]] for name in layers], dim=1)
            return np.asarray(torch.linalg.vector_norm(away, dim=1, dtype=torch.float64).square().numpy())

    def train(self, seats: Seats, step: int, steps: int) -> Array:
        with _one_thread(self._light):
            return self._train(seats, step, steps)

    def _train(self, seats: Seats, step: int, steps: int) -> Array:
        groups = self._grouped(seats)
        totals = torch.zeros(self.seats if isinstance(seats, slice) else len(seats), dtype=torch.float64)
        everyone = len(groups) == 1 and isinstance(seats, slice)
        first = step
        if everyone and steps and self._start is not None and not self.recipe.proximal:
            totals += self._first_step(groups[0], step)
            first += 1
        self._settle()
        for group in groups if first < step + steps else ():
            where = slice(None) if len(groups) == 1 else group.seats
            buffers = self.buffers if everyone else self.buffers[self._rows_of(seats, group)]
            with self.optimizer.session(None if everyone else self._rows_of(seats, group)) as session:
                views = _views(session.rows, self._parameters)
                anchor = self._anchor_of(None if everyone else self._rows_of(seats, group))
                for t in range(first, step + steps):
                    gradients, loss = self._gradients(views, _views(buffers, self._buffers), group, t)
                    if anchor is not None:  # the gradient of (mu / 2) |w - w_ref|^2
                        mu, triples = self.recipe.proximal, zip(gradients, views, anchor, strict=True)
                        gradients = [torch.add(g, w - ref, alpha=mu) for g, w, ref in triples]
                    session.step(views, gradients, self.recipe.rate(t))
                    totals[where] += loss
        return np.asarray((totals / max(steps, 1)).numpy())

    def _anchor_of(self, index: Tensor | None) -> list[Tensor] | None:
        if self._anchor is None or not self.recipe.proximal:
            return None
        rows = self._anchor if index is None else self._anchor[index]
        return _views(rows[:, : self.layout.parameter_width], self._parameters)

    def _first_step(self, group: _Group, step: int) -> Tensor:
        """A step of plain descent from one model: what all sites share is computed once, and nothing is copied."""
        assert self._start is not None
        start = list(unflatten(self._start, self._parameters).values())
        gradients, loss = self._gradients(start, _views(self.buffers, self._buffers), group, step, shared=True)
        rate = self.recipe.rate(step)
        for part, old, gradient in zip(_views(self.stack, self._parameters), start, gradients, strict=True):
            torch.add(old, gradient, alpha=-rate, out=part)
        self._start = None
        return loss

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
        data = None
        if all(b.full for b in batches):
            index = (starts[:, None] + torch.arange(size)).reshape(-1)
            data = self._take(index, len(places), size)
        return _Group(None if alone else torch.tensor(places), batches, starts, size, data)

    def _take(self, index: Tensor, sites: int, size: int) -> tuple[Tensor, Tensor]:
        X, y = self._X.index_select(0, index), self._y.index_select(0, index)
        return X.view(sites, size, *X.shape[1:]), y.view(sites, size, *y.shape[1:])

    def _gradients(
        self, parameters: Sequence[Tensor], buffers: Sequence[Tensor], group: _Group, step: int, *, shared: bool = False
    ) -> tuple[Sequence[Tensor], Tensor]:
        """Gradients (a tensor each parameter, sites first) and losses; `shared` parameters have no site dimension."""
        data = group.data
        if data is None:
            drawn = torch.from_numpy(np.stack([b(step) for b in group.batches]))
            data = self._take((group.starts[:, None] + drawn).reshape(-1), len(group.batches), group.size)
        free, key = (*parameters, *buffers), (len(group.batches), group.size, shared)
        program = self._programs.get(key)
        if program is None:
            program = self._programs[key] = self._program(free, data, shared)
        with torch.no_grad(), _one_thread(program.light):
            prepared = group.prepared.get(program)
            if prepared is None:
                prepared = program.prepare(data)
                if group.data is not None:
                    group.prepared[program] = prepared
            *gradients, loss = program(free, data, prepared)
        return gradients, loss

    def _program(self, free: Sequence[Tensor], data: Sequence[Tensor], shared: bool) -> Traced:
        module, loss = self.recipe.module, self.recipe.loss
        module.train()
        names, count = (*self._parameters, *self._buffers), len(self._parameters)

        def site_loss(parameters: Sequence[Tensor], constants: Sequence[Tensor], X: Tensor, y: Tensor) -> Tensor:
            named = dict(zip(names, (*parameters, *constants), strict=True))
            return loss(functional_call(module, named, (X,)), y)

        def gradients(*tensors: Tensor) -> Sequence[Tensor]:
            values, (X, y) = tensors[:-2], tensors[-2:]
            per_site = vmap(grad_and_value(site_loss), in_dims=(None if shared else 0, 0, 0, 0))
            found, losses = per_site(values[:count], values[count:], X, y)
            return (*found, losses)

        try:
            with sdpa_kernel(SDPBackend.MATH):  # attention as batched products: the fused form takes sites one by one
                return trace(gradients, free, data)
        except Exception as error:  # torch raises many types here; the first line of its text tells which operation
            first_line = next(iter(str(error).splitlines()), type(error).__name__)
            raise Unsupported(
                f"{type(module).__name__} cannot be trained for all sites at once ({first_line}): "
                'use executor="reference".'
            ) from error

    def rows(self, seats: Seats, layers: Layers = None) -> Array:
        with _one_thread(self._light):
            return self._rows(seats, layers)

    def _rows(self, seats: Seats, layers: Layers) -> Array:
        self._settle()
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

    def models(self, seats: Seats) -> Array:
        self._settle()
        index = slice(None) if isinstance(seats, slice) else torch.from_numpy(np.asarray(seats))
        return numpy_rows(torch.cat([self.stack[index], self.buffers[index]], dim=1))

    def state(self) -> dict[str, Any]:
        self._settle()
        kept = {"stack": self.stack, "buffers": self.buffers, "optimizer": self.optimizer.state()}
        return kept if self._anchor is None else {**kept, "anchor": self._anchor}

    def restore(self, state: dict[str, Any]) -> None:
        self._start = None
        self.stack.copy_(state["stack"])
        self.buffers.copy_(state["buffers"])
        self.optimizer.restore(state["optimizer"])
        anchor = state.get("anchor")
        self._anchor = None if anchor is None else anchor.clone()


def _views(rows: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> list[Tensor]:
    """Parts of a matrix (m, P) as tensors (m, *shape) that share its memory."""
    parts = torch.split(rows, [prod(s) for s in shapes.values()], dim=1) if shapes else ()
    return [part.view(len(rows), *shape) for part, shape in zip(parts, shapes.values(), strict=True)]


@contextmanager
def _one_thread(wanted: bool) -> Iterator[None]:
    """Run a block on one thread of torch, and put the number back."""
    threads = torch.get_num_threads()
    if wanted:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _refuse_changing_buffers(module: nn.Module, X: Tensor) -> None:
    """Statistics that a layer keeps by hand are found by one forward pass of a copy."""
    if next(module.buffers(), None) is None:
        return
    trial = copy.deepcopy(module).train()
    before = {name: (id(buffer), buffer._version) for name, buffer in trial.named_buffers()}
    try:
        with torch.no_grad(), torch_stream(0):
            trial(X)
    except Exception:  # what cannot run at all is told when it is traced, or by the reference executor
        return
    changed = [name for name, buffer in trial.named_buffers() if before.get(name) != (id(buffer), buffer._version)]
    if changed:
        raise Unsupported(
            f"{type(module).__name__} changes its buffer '{changed[0]}' as it runs, which the vectorised executor "
            'cannot follow: use executor="reference".'
        )


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
