"""A noisy linear stream of continuous features: no score is exactly at a kink, so rounding decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpooled.combine import Array
from unpooled.seeds import Streams
from unpooled.training.streams.source import Drawn, Flow, Size


@dataclass(frozen=True)
class Gaussian:
    """Normal features; the label is the sign of their sum plus noise."""

    inputs: int = 6
    label: str = "gaussian"

    def open(self, size: Size, streams: Streams) -> Flow:
        return _Gaussian(size, self.inputs, (), streams)


class _Gaussian(Drawn):
    def examples(self, concept: int, shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[Array, Array]:
        X = rng.normal(size=(*shape, self.width))
        return X, np.where(X.sum(axis=-1) + rng.normal(size=shape) > 0, 1.0, -1.0)
