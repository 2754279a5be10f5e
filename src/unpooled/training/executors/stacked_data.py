"""The samples of all sites in one array, and the batches of sites whose batches have one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unpooled.errors import Unsupported
from unpooled.sites.site import Site
from unpooled.training.batches import Batches, Indices
from unpooled.training.executors.base import Seats, positions
from unpooled.training.recipe import Recipe

REMEMBERED = 64
"""So many sets of seats keep their groups; with subsampling each period asks other seats."""


@dataclass(frozen=True, eq=False)
class Group:
    """Seats whose batches have one size; `data` (X, y) is set where every step uses the same rows.

    `places` are positions among the seats that were asked, None where these are all. `prepared` remembers what each
    program made of the data.
    """

    places: Tensor | None
    batches: Sequence[Batches]
    starts: Tensor
    size: int
    data: tuple[Tensor, Tensor] | None
    prepared: dict[Any, Sequence[Tensor]] = field(default_factory=dict)


class StackedData:
    """Training samples of `sites`; features of a floating type have the type of the model."""

    def __init__(self, recipe: Recipe, sites: Sequence[Site], dtype: torch.dtype) -> None:
        data = [site.require_train() for site in sites]
        if len({d.X.shape[1:] for d in data}) > 1:
            shapes = sorted({str(d.X.shape[1:]) for d in data})
            raise Unsupported(f"Sites hold samples of different shapes {', '.join(shapes)}: bring them to one shape.")
        self._X = _typed(np.concatenate([d.X for d in data]), dtype)
        self._y = _typed(np.concatenate([d.y for d in data]), dtype)
        self._starts = np.cumsum([0, *(len(d) for d in data)])[:-1]
        self._batches = [Batches(recipe.streams, s.name, s.size or 0, recipe.batch_size) for s in sites]
        self._groups: dict[Any, list[Group]] = {}

    def first_samples(self) -> Tensor:
        """One sample of each site."""
        return self._X[self._starts]

    def groups(self, seats: Seats) -> list[Group]:
        """Seats by batch size; remembered, because the same sites are mostly asked again."""
        key = None if isinstance(seats, slice) else np.asarray(seats).tobytes()
        if key not in self._groups:
            if len(self._groups) > REMEMBERED:
                self._groups.clear()
            chosen = positions(seats, len(self._batches))
            sizes = sorted({self._batches[i].size for i in chosen})
            self._groups[key] = [self._group(chosen, size, len(sizes) == 1) for size in sizes]
        return self._groups[key]

    def _group(self, chosen: Sequence[int], size: int, alone: bool) -> Group:
        places = [j for j, i in enumerate(chosen) if self._batches[i].size == size]
        batches = [self._batches[chosen[j]] for j in places]
        starts = torch.from_numpy(self._starts[[chosen[j] for j in places]])
        data = None
        if all(b.full for b in batches):
            data = self._take((starts[:, None] + torch.arange(size)).reshape(-1), len(places), size)
        return Group(None if alone else torch.tensor(places), batches, starts, size, data)

    def batch(self, group: Group, step: int) -> tuple[Tensor, Tensor]:
        """X (sites, size, ...) and y (sites, size, ...) of a step."""
        if group.data is not None:
            return group.data
        drawn = torch.from_numpy(np.stack([b(step) for b in group.batches]))
        return self._take((group.starts[:, None] + drawn).reshape(-1), len(group.batches), group.size)

    def drawn(self, group: Group, chosen: Sequence[Indices], width: int) -> tuple[Tensor, Tensor, Tensor]:
        """X, y and which of them count (sites, width), 1 or 0: as many of each site's samples as were `chosen`."""
        index, counted = group.starts[:, None].repeat(1, width), torch.zeros(len(chosen), width, dtype=torch.float64)
        for i, own in enumerate(chosen):
            index[i, : len(own)] += torch.from_numpy(own)
            counted[i, : len(own)] = 1.0
        return *self._take(index.reshape(-1), len(chosen), width), counted

    def _take(self, index: Tensor, sites: int, size: int) -> tuple[Tensor, Tensor]:
        X, y = self._X.index_select(0, index), self._y.index_select(0, index)
        return X.view(sites, size, *X.shape[1:]), y.view(sites, size, *y.shape[1:])


def _typed(values: Any, dtype: torch.dtype) -> Tensor:
    tensor = torch.from_numpy(values)
    return tensor.to(dtype) if tensor.dtype.is_floating_point else tensor
