"""What kernel models cost to send: each support vector crosses each link once, coefficients every time.

The coordinator remembers all vectors that it has ever seen, a learner those that it found or was sent (Kamp et al.,
ECML PKDD 2016). paper -> here: B_x bytes a vector, B_a bytes a coefficient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpooled.training.streams.kernel.expansion import Expansion, Ids

NUMBER = 8
"""Bytes of a number, and of the identity of a vector."""


@dataclass(frozen=True)
class Sent:
    """One model over one link: the learner, the direction, the vectors that went along, and the bytes."""

    learner: int
    up: bool
    new: Ids
    coefficients: int
    bytes: int


class Links:
    """The links of `learners` learners; `log` has one entry a transfer."""

    def __init__(self, learners: int, width: int) -> None:
        self.vector_bytes, self.coefficient_bytes = NUMBER * width, 2 * NUMBER  # a coefficient names its vector
        none = np.empty(0, dtype=np.int64)
        self._coordinator: Ids = none
        self._learners: list[Ids] = [none] * learners
        self.log: list[Sent] = []

    def up(self, learner: int, f: Expansion) -> None:
        """A learner sends its model."""
        new = np.setdiff1d(f.ids, self._coordinator)
        self._count(learner, True, new, f)
        self._coordinator = np.union1d(self._coordinator, new)
        self._learners[learner] = np.union1d(self._learners[learner], f.ids)

    def down(self, learner: int, f: Expansion) -> None:
        """A learner is sent a model."""
        new = np.setdiff1d(f.ids, self._learners[learner])
        self._count(learner, False, new, f)
        self._learners[learner] = np.union1d(self._learners[learner], new)

    def _count(self, learner: int, up: bool, new: Ids, f: Expansion) -> None:
        size = len(f) * self.coefficient_bytes + len(new) * self.vector_bytes
        self.log.append(Sent(learner, up, new, len(f), size))

    @property
    def bytes(self) -> int:
        """All bytes so far."""
        return sum(sent.bytes for sent in self.log)
