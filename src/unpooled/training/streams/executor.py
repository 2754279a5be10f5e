"""All online learners of a process at once: predict, suffer, then learn (prequential).

A learner that is not asked to train goes on predicting with the model it has: its losses count like any other. They are
entered when it trains again, or when `watch` is called at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unpooled.combine import Array
from unpooled.errors import SiteFailed, Unsupported
from unpooled.training.exchange import Layers
from unpooled.training.executors.base import Seats, positions
from unpooled.training.layout import Layout
from unpooled.training.streams.learners import Learner
from unpooled.training.streams.source import Flow

CHUNK = 256
"""Rounds that are read at once."""


def linear_layout(width: int) -> Layout:
    """A row that is one weight vector of float64."""
    return Layout({"weight": (width,)}, {}, {}, torch.float64)


class StreamExecutor:
    """Seat i is learner `learners[i]` of the stream; `losses` and `mistakes`, (T, seats), are what they suffered."""

    name = "stream"

    def __init__(self, learner: Learner, flow: Flow, learners: Array) -> None:
        self.learner, self.flow, self.seats = learner, flow, len(learners)
        self.layout = linear_layout(flow.width)
        self._learners = learners
        self._batches = flow.size.batches[learners]
        self._share = 1.0 / self._batches[:, None] if learner.reduction == "mean" else np.ones((self.seats, 1))
        shape = (self.seats, flow.width)
        self.stack, self._watching, self._anchor = np.zeros(shape), np.zeros(shape), np.full(shape, np.nan)
        self._clock = np.zeros(self.seats, dtype=np.int64)
        self.losses = np.zeros((flow.size.rounds, self.seats))
        self.mistakes = np.zeros((flow.size.rounds, self.seats), dtype=np.int64)

    def load(self, seats: Seats, rows: Array, layers: Layers = None) -> None:
        if layers is None or layers:
            self.stack[seats] = rows

    def anchor(self, seats: Seats) -> None:
        self._anchor[seats] = self.stack[seats]

    def distances(self, seats: Seats, layers: Layers = None) -> Array:
        """Squared distances to the last model delivered as an anchor, (k,); `SiteFailed` where there was none."""
        if layers is not None and not layers:
            return np.zeros(len(positions(seats, self.seats)))
        away = self.stack[seats] - self._anchor[seats]
        found = np.einsum("kd,kd->k", away, away)
        if np.isnan(found).any():
            raise SiteFailed("it has no reference to measure the distance to: deliver an aggregate first.")
        return np.asarray(found)

    def train(self, seats: Seats, step: int, steps: int) -> Array:
        if not steps:
            return np.zeros(len(positions(seats, self.seats)))
        self._watch(seats, step)
        models = self.stack[seats]
        losses = self._learn(models, seats, step, steps)
        self.stack[seats], self._watching[seats], self._clock[seats] = models, models, step + steps
        return np.asarray(losses / (steps * self._batches[seats]))

    def _learn(self, models: Array, seats: Seats, step: int, steps: int) -> Array:
        """Train `models` (k, d) in place; the sum of each learner's losses."""
        share, total = self._share[seats], np.zeros(len(models))
        for start in range(step, step + steps, CHUNK):
            X, y, square = self._read(seats, start, min(start + CHUNK, step + steps))
            scores = np.empty(y.shape)
            for n in range(len(X)):
                t, x = start + n, X[n]
                scores[n] = score = np.einsum("kbd,kd->kb", x, models)
                c = self.learner.coefficient(score, y[n], square[n], t) * share
                shrink = self.learner.shrink(t)
                if shrink != 1.0:
                    models *= shrink
                if c.any():
                    models += np.einsum("kb,kbd->kd", c, x)
            total += self._enter(seats, start, scores, y)
        return total

    def _watch(self, seats: Seats, until: int) -> None:
        """Predict without learning in the rounds that each learner has not seen before round `until`."""
        who = np.arange(self.seats)[seats]
        for clock in np.unique(self._clock[who][self._clock[who] < until]):
            late = who[self._clock[who] == clock]
            for start in range(int(clock), until, CHUNK):
                X, y, _ = self._read(late, start, min(start + CHUNK, until))
                self._enter(late, start, np.einsum("nkbd,kd->nkb", X, self._watching[late]), y)
            self._clock[late] = until

    def watch(self) -> None:
        """Enter the losses of learners that were not asked to train up to the stream's end."""
        self._watch(slice(None), self.flow.size.rounds)

    def _read(self, seats: Seats, start: int, stop: int) -> tuple[Array, Array, Array]:
        """Features (n, k, B, d), labels (n, k, B) and squared norms (n, k, B) of these learners."""
        X, y = self.flow.block(start, stop)
        mine = self._learners[seats]
        if not np.array_equal(mine, np.arange(X.shape[1])):
            X, y = X[:, mine], y[:, mine]
        return X, y, np.einsum("nkbd,nkbd->nkb", X, X)

    def _enter(self, seats: Seats, start: int, scores: Array, y: Array) -> Array:
        """Write down what the scores (n, k, B) cost; the sum of each learner's losses."""
        there = y != 0
        losses = np.where(there, self.learner.loss(scores, y), 0.0).sum(axis=2)
        rounds = np.arange(start, start + len(y))
        where: Any = (slice(start, start + len(y)), seats) if isinstance(seats, slice) else np.ix_(rounds, seats)
        self.losses[where] = losses
        self.mistakes[where] = (there & (y * scores <= 0)).sum(axis=2)
        return np.asarray(losses.sum(axis=0))

    def gradients(self, seats: Seats, step: int) -> tuple[Array, Array]:
        """Refused: learners on streams update by rules that need not be gradients."""
        raise Unsupported("Learners on streams share models, not gradients: average every step with FedAvg(1) instead.")

    def rows(self, seats: Seats, layers: Layers = None) -> Array:
        rows = self.stack[seats] if layers is None or layers else np.zeros((len(positions(seats, self.seats)), 0))
        rows = rows.view()
        rows.flags.writeable = False
        return rows

    def models(self, seats: Seats) -> Array:
        return self.rows(seats)

    def state(self) -> dict[str, Any]:
        return {
            "stack": self.stack, "watching": self._watching, "anchor": self._anchor, "clock": self._clock,
            "losses": self.losses, "mistakes": self.mistakes,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        self.stack, self._watching, self._anchor = state["stack"], state["watching"], state["anchor"]
        self._clock, self.losses, self.mistakes = state["clock"], state["losses"], state["mistakes"]
