"""Clip and noise on what is sent (`unpooled.training.privacy.settings.ClipAndNoise` has the paper and the formula)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unpooled.combine import Array
from unpooled.errors import Unsupported
from unpooled.sites.site import Site
from unpooled.training.exchange import Layers
from unpooled.training.executors.base import Executor, Seats, positions
from unpooled.training.layout import Layout, numpy_rows, row_of
from unpooled.training.privacy.account import Account
from unpooled.training.privacy.executor import AccountedExecutor
from unpooled.training.privacy.noise import clipped, gaussian
from unpooled.training.privacy.settings import ClipAndNoise
from unpooled.training.recipe import Recipe


class ClippingExecutor(AccountedExecutor):
    """Remembers what each site last received, and sends that, the clipped change, and noise.

    The noise is drawn from the streams of the run, which makes a simulation repeatable; a site that has to keep a
    secret from the coordinator puts `Streams` of its own into `state["noise"]`. Raises `Unsupported` for recipes that
    send more than parameters.
    """

    def __init__(self, inner: Executor, recipe: Recipe, sites: Sequence[Site], setting: ClipAndNoise) -> None:
        _refuse_more_than_parameters(recipe, inner.layout)
        rates = [1.0] * len(sites)
        super().__init__(inner, sites, Account(sites, setting.multiplier, rates, setting.delta, setting.budget))
        self.setting = setting
        self._streams = [site.state.get("noise", recipe.streams) for site in sites]
        model = numpy_rows(row_of(recipe.module, self.layout))
        start = np.zeros(self.layout.width, dtype=model.dtype)  # what else a row carries begins at 0
        start[: len(model)] = model
        self._received: Array = np.broadcast_to(start, (self.seats, len(start)))
        self._just_sent = np.zeros(self.seats, dtype=bool)

    def load(self, seats: Seats, rows: Array, layers: Layers = None) -> None:
        """Continue from `rows`, and remember them: the next change is measured from there."""
        if isinstance(seats, slice) and layers is None:
            shared = rows.strides[0] == 0
            self._received = np.broadcast_to(rows[0].copy(), rows.shape) if shared else np.array(rows)
        else:
            if not self._received.flags.writeable:
                self._received = np.array(self._received)
            self._received[np.ix_(positions(seats, self.seats), self._columns(layers))] = rows
        self._just_sent[seats] = False
        super().load(seats, rows, layers)

    def train(self, seats: Seats, step: int, steps: int) -> Array:
        """Local steps, which cost nothing until something is sent."""
        if steps:
            self._just_sent[seats] = False
        return super().train(seats, step, steps)

    def charges(self, seats: Seats, steps: int) -> Array:
        """Each model sent is one noisy answer."""
        return np.asarray(self.account.sends[seats] + 1)

    def rows(self, seats: Seats, layers: Layers = None) -> Array:
        """Models as they may leave: clipped, noised, counted."""
        own = np.asarray(self.inner.rows(seats, layers))
        self._must_be_finite(seats, own, "model")
        numbers = self.account.sends[seats].copy()
        self.account.send(seats, self.charges(seats, 0))
        released = self._released(own, seats, layers, numbers)
        self._just_sent[seats] = True
        released.flags.writeable = False
        return released

    def outgoing(self, seats: Seats) -> Array:
        """With the noise of the answer that was just given, or else of the next one."""
        models = np.array(self.inner.models(seats))
        width = self.layout.model_width
        numbers = self.account.sends[seats] - self._just_sent[seats]
        models[:, :width] = self._released(models[:, :width], seats, self.layout.model_layers, numbers)
        return models

    def _released(self, own: Array, seats: Seats, layers: Layers, numbers: Array) -> Array:
        chosen, columns = positions(seats, self.seats), self._columns(layers)
        out = clipped(own, self._received[seats][:, columns], self.setting.clip)
        if self.setting.noise:
            streams, names = [self._streams[i] for i in chosen], [self._sites[i].name for i in chosen]
            noise = gaussian(streams, names, [int(n) for n in numbers], out.shape[1])
            out += self.setting.noise * self.setting.clip * noise
        return out.astype(own.dtype)

    def _columns(self, layers: Layers) -> Any:
        parts = self.layout.layers
        chosen = parts if layers is None else layers
        return np.concatenate([np.arange(parts[n].start, parts[n].stop) for n in chosen])

    def state(self) -> dict[str, Any]:
        """Also what was received; one row for all sites is kept as one row."""
        shared = self._received.strides[0] == 0
        received = np.array(self._received[:1] if shared else self._received)
        return {**super().state(), "received": received, "just_sent": self._just_sent.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        super().restore(state)
        received = state["received"]
        shared = len(received) < self.seats
        self._received = np.broadcast_to(received, (self.seats, received.shape[1])) if shared else np.array(received)
        self._just_sent[:] = state["just_sent"]


def _refuse_more_than_parameters(recipe: Recipe, layout: Layout) -> None:
    if recipe.optimizer_state == "travel":
        raise Unsupported(
            "optimizer_state = 'travel' sends numbers that clip and noise do not cover: use 'reset' or 'stay'."
        )
    if layout.buffers:
        raise Unsupported(
            f"Buffer '{next(iter(layout.buffers))}' would leave the site unprotected, as clip and noise cover "
            "trainable parameters: use buffers='stay', or GroupNorm instead of running statistics."
        )
