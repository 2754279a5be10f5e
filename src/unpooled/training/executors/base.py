"""What both executors offer: the models of some sites of one process, trained in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from unpooled.combine import Array
from unpooled.training.exchange import Layers
from unpooled.training.layout import Layout
from unpooled.training.unwritten import Unwritten

Seats = np.ndarray[Any, np.dtype[np.int64]] | slice
"""Positions of sites within an executor; `slice(None)` means all."""


class Executor(Protocol):
    """Trains the models of its `seats` sites; a seat is a position in the order in which sites were given."""

    name: str
    layout: Layout
    seats: int

    def load(self, seats: Seats, rows: Array, layers: Layers = None) -> None:
        """Continue from `rows`, shape (k, width of the layers). None means all layers of the row."""
        ...

    def anchor(self, seats: Seats) -> None:
        """Proximal terms and `distances` refer to the models that these seats now hold, until this is called again."""
        ...

    def distances(self, seats: Seats, layers: Layers = None) -> Array:
        """Squared Euclidean distances of the models to their anchors, shape (k,), float64; None means all of a row.

        Raises `SiteFailed` where a site was given no anchor.
        """
        ...

    def train(self, seats: Seats, step: int, steps: int) -> Array:
        """Run local steps `step` .. `step + steps - 1`; the mean training loss of each site, shape (k,)."""
        ...

    def gradients(self, seats: Seats, step: int) -> tuple[Array, Array | Unwritten]:
        """Losses (k,) and gradients (k, P) of the batches of local step `step`, which is not taken."""
        ...

    def rows(self, seats: Seats, layers: Layers = None) -> Array | Unwritten:
        """Models as they stand, shape (k, width); read only, and valid until the next call of `train` or `load`."""
        ...

    def models(self, seats: Seats) -> Array:
        """Parameters and all floating-point buffers, also those that stay, shape (k, width): for evaluation only."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything a checkpoint needs, as tensors, numbers and containers of these."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        ...


def positions(seats: Seats, count: int) -> Sequence[int]:
    """Seats as a list of numbers."""
    return range(count)[seats] if isinstance(seats, slice) else [int(i) for i in seats]
