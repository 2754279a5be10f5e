"""Which samples a site uses in which local step: a function of the seed, the site's name and the step alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from unpooled.seeds import Streams

Indices = np.ndarray[Any, np.dtype[np.int64]]
BLOCK = 64
"""Steps whose batches come from one stream: making a generator a step would cost more than a small model's step."""


class Batches:
    """Batches of one site with n samples: min(batch_size, n) without replacement, drawn anew in each step.

    `batch_size` None means the full local data in the order they are kept, the setting of FedDC's experiments.
    """

    def __init__(self, streams: Streams, site: str, samples: int, batch_size: int | None) -> None:
        self._streams, self.site, self.samples = streams, site, samples
        self.size = samples if batch_size is None else min(batch_size, samples)
        self.full = self.size == samples
        self._block: tuple[int, Indices] | None = None

    def __call__(self, step: int) -> Indices:
        """Positions of the batch of local step `step`, shape (size,)."""
        if self.full:
            return np.arange(self.samples)
        number, offset = divmod(step, BLOCK)
        if self._block is None or self._block[0] != number:
            self._block = (number, self._draw(number))
        return np.asarray(self._block[1][offset])

    def _draw(self, number: int) -> Indices:
        rng = self._streams.generator("site", self.site, "batches", number)
        if self.samples > 4096:
            return np.stack([rng.choice(self.samples, self.size, replace=False) for _ in range(BLOCK)])
        return rng.random((BLOCK, self.samples)).argsort(axis=1, kind="stable")[:, : self.size].astype(np.int64)
