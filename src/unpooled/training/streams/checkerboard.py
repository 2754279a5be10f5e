"""A checkerboard whose colours are exchanged now and then: no linear model is better than chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpooled import errors
from unpooled.combine import Array
from unpooled.seeds import Streams
from unpooled.training.streams.disjunction import check_drifts
from unpooled.training.streams.source import Drawn, Flow, Size, drift_rounds


@dataclass(frozen=True)
class Checkerboard:
    """`cells` by `cells` fields of side 1, points uniform on the board; with `constant`, a third feature that is 1."""

    cells: int = 4
    drift_every: int | None = None
    drift_probability: float = 0.0
    constant: bool = False

    def __post_init__(self) -> None:
        errors.positive(cells=self.cells)
        check_drifts(self.drift_every, self.drift_probability)

    @property
    def label(self) -> str:
        return f"checkerboard of {self.cells} x {self.cells} fields"

    def open(self, size: Size, streams: Streams) -> Flow:
        changes = drift_rounds(size.rounds, self.drift_every, self.drift_probability, streams)
        return _Checkerboard(size, 3 if self.constant else 2, changes, streams, cells=self.cells)


class _Checkerboard(Drawn):
    def __init__(self, size: Size, width: int, changes: tuple[int, ...], streams: Streams, *, cells: int) -> None:
        super().__init__(size, width, changes, streams)
        self.cells = cells

    def examples(self, concept: int, shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[Array, Array]:
        X = np.ones((*shape, self.width))
        X[..., :2] = rng.random((*shape, 2)) * self.cells
        fields = np.floor(X[..., :2]).sum(axis=-1) + concept
        return X, np.where(fields % 2 == 0, 1.0, -1.0)
