"""An executor whose models leave under masks only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unpooled.combine import Array
from unpooled.errors import Refused
from unpooled.sites.site import Site
from unpooled.training.exchange import Layers
from unpooled.training.executors.base import Executor, Seats
from unpooled.training.privacy.executor import PrivateExecutor


class SumOnlyExecutor(PrivateExecutor):
    """Refuses to send a single model, whoever asks; before the masks, `inner` may clip and noise it."""

    def __init__(self, inner: Executor, sites: Sequence[Site]) -> None:
        super().__init__(inner, sites)

    def spent(self, seat: int) -> tuple[int, float, float] | None:
        """What the executor within has spent."""
        return self.inner.spent(seat) if isinstance(self.inner, PrivateExecutor) else None

    def refuses(self, seats: Seats, steps: int) -> bool:
        """Always: a model in the clear does not leave."""
        return True

    def rows(self, seats: Seats, layers: Layers = None) -> Array:
        """Refused."""
        raise Refused(
            "its models leave under masks only (secure_sum), and this asks for a single one: use FedAvg or FedProx "
            "with the mean."
        )

    def under_masks(self, seats: Seats, layers: Layers = None) -> Array:
        """Models about to be masked, or sealed for another site, shape (k, width)."""
        rows = np.asarray(self.inner.rows(seats, layers))
        self._must_be_finite(seats, rows, "model")
        return rows

    def outgoing(self, seats: Seats) -> Array:
        """What the sum is made of."""
        return self.inner.outgoing(seats) if isinstance(self.inner, PrivateExecutor) else self.inner.models(seats)
