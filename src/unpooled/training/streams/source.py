"""Where examples come from, round by round: what every stream has, and how made ones are drawn.

A stream is opened for so many learners and rounds, and is then read in blocks of rounds. Labels are -1 and +1. A
learner that sees fewer examples a round than another has empty places there, with all features and the label 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from unpooled import errors
from unpooled.combine import Array
from unpooled.errors import BadSetting
from unpooled.seeds import Streams

Counts = np.ndarray[Any, np.dtype[np.int64]]
BLOCK = 256
"""Rounds that are drawn from one named random stream."""


@dataclass(frozen=True, eq=False)
class Size:
    """m learners for T rounds; `batches` (m,) is how many examples each sees in a round."""

    learners: int
    rounds: int
    batches: Counts

    @property
    def places(self) -> int:
        """B, the places a round has for each learner: the largest batch."""
        return int(self.batches.max())


def size(learners: int, rounds: int, batch: int | tuple[int, ...] = 1) -> Size:
    """A checked `Size`; `batch` is one number for all learners or one for each."""
    errors.positive(learners=learners, rounds=rounds)
    counts = (batch,) * learners if isinstance(batch, int) else tuple(batch)
    for count in counts:
        errors.positive(batch=count)
    if len(counts) != learners:
        raise BadSetting(
            f"batch lists {len(counts)} numbers for {learners} learners: give one number, or one a learner."
        )
    return Size(learners, rounds, np.array(counts, dtype=np.int64))


class Flow(Protocol):
    """A stream that was opened."""

    @property
    def size(self) -> Size:
        """Learners, rounds and batches."""
        ...

    @property
    def width(self) -> int:
        """d, the number of features."""
        ...

    @property
    def drifts(self) -> tuple[int, ...]:
        """The first rounds of new concepts."""
        ...

    def block(self, start: int, stop: int) -> tuple[Array, Array]:
        """Features (n, m, B, d) and labels (n, m, B) of rounds start .. stop-1, float64."""
        ...


class Source(Protocol):
    """Settings of a stream."""

    @property
    def label(self) -> str:
        """A short name for tables."""
        ...

    def open(self, size: Size, streams: Streams) -> Flow:
        """The stream, drawn from the named random streams of a run."""
        ...


@dataclass(eq=False)
class Drawn(ABC):
    """A made stream with drifts: its concepts, and each `BLOCK` of rounds, have random streams of their own.

    So the numbers of a round do not depend on how many rounds are read at once, nor on how long the run is. `changes`
    are the drifts up to the end of the last block.
    """

    size: Size
    width: int
    changes: tuple[int, ...]
    streams: Streams
    _kept: tuple[int, Array, Array] | None = field(default=None, repr=False)

    @property
    def drifts(self) -> tuple[int, ...]:
        """The first rounds of new concepts."""
        return tuple(t for t in self.changes if t < self.size.rounds)

    @abstractmethod
    def examples(self, concept: int, shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[Array, Array]:
        """Features (n, m, B, d) and labels (n, m, B) under concept number `concept`."""

    def block(self, start: int, stop: int) -> tuple[Array, Array]:
        parts = []
        for number in range(start // BLOCK, -(-stop // BLOCK)):
            X, y = self._drawn(number)
            inside = slice(max(start - number * BLOCK, 0), stop - number * BLOCK)
            parts.append((X[inside], y[inside]))
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([X for X, _ in parts]), np.concatenate([y for _, y in parts])

    def _drawn(self, number: int) -> tuple[Array, Array]:
        if self._kept is not None and self._kept[0] == number:
            return self._kept[1:]
        first, last = number * BLOCK, (number + 1) * BLOCK
        rng = self.streams.generator("stream", "examples", number)
        edges = [first, *(t for t in self.changes if first < t < last), last]
        parts = []
        for start, stop in pairwise(edges):
            concept = sum(t <= start for t in self.changes)
            parts.append(self.examples(concept, (stop - start, self.size.learners, self.size.places), rng))
        X, y = np.concatenate([X for X, _ in parts]), np.concatenate([y for _, y in parts])
        empty = np.arange(self.size.places) >= self.size.batches[:, None]
        X[:, empty], y[:, empty] = 0.0, 0.0
        self._kept = (number, X, y)
        return X, y


def drift_rounds(rounds: int, every: int | None, probability: float, streams: Streams) -> tuple[int, ...]:
    """Rounds at which the concept changes: every so many rounds, and in each other round with that probability.

    They reach to the end of the last `BLOCK`, so that a longer run begins like a shorter one.
    """
    rounds = -(-rounds // BLOCK) * BLOCK
    at = set() if every is None else set(range(every, rounds, every))
    if probability:
        drawn = streams.generator("stream", "drifts").random(rounds) < probability
        at |= {int(t) for t in np.flatnonzero(drawn) if t}
    return tuple(sorted(at))


class Serial:
    """The same examples as one learner would see them: round by round, in the order of the learners."""

    def __init__(self, flow: Flow) -> None:
        self.flow, self._m = flow, flow.size.learners
        self.size = Size(1, flow.size.rounds * self._m, np.array([flow.size.places]))
        self.width, self.drifts = flow.width, tuple(t * self._m for t in flow.drifts)

    def block(self, start: int, stop: int) -> tuple[Array, Array]:
        first, last = start // self._m, -(-stop // self._m)
        X, y = self.flow.block(first, last)
        inside = slice(start - first * self._m, stop - first * self._m)
        return X.reshape(-1, 1, *X.shape[2:])[inside], y.reshape(-1, 1, y.shape[2])[inside]
