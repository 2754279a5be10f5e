"""What most exchanges have in common, and the exchange that does nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpooled.combine import Array
from unpooled.training.exchange import ALL, Channel, Facts, Memory, Pull, Sites


class Stateless:
    """An exchange that remembers nothing, is always due, keeps all sites active and forms no aggregate."""

    def init(self, facts: Facts) -> Memory:
        return None

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        return Pull()

    def active(self, round: int, facts: Facts) -> Sites:
        return ALL

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        return row


@dataclass(frozen=True)
class Nothing(Stateless):
    """Never due: isolated training."""

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        return None

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        return memory
