"""An executor that keeps a site's secrets: what leaves through it is clipped, noised and put to the site's account.

It stands in for the site's own executor, so that questions asked one by one and all at once pass the same few lines,
and the door counts, and the ledger hashes, what was really sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unpooled.combine import Array
from unpooled.errors import Diverged, Refused, Unsupported
from unpooled.sites.site import Site
from unpooled.training.exchange import Layers
from unpooled.training.executors.base import Executor, Seats, positions
from unpooled.training.layout import Layout, numpy_rows, row_of
from unpooled.training.privacy.accountant import answers_within, epsilon
from unpooled.training.privacy.noise import clipped, gaussian
from unpooled.training.privacy.settings import Privacy
from unpooled.training.recipe import Recipe


class PrivateExecutor:
    """`inner` trains for `sites`; each has sent `sends` models so far, counted from the start of the run.

    The noise is drawn from the streams of the run, which makes a simulation repeatable; a site that has to keep a
    secret from the coordinator puts `Streams` of its own into `state["noise"]`. Raises `Unsupported` for recipes that
    send more than parameters.
    """

    def __init__(self, inner: Executor, recipe: Recipe, sites: Sequence[Site], setting: Privacy) -> None:
        _refuse_more_than_parameters(recipe, inner.layout)
        self.inner, self.setting, self._sites = inner, setting, sites
        self.name, self.layout, self.seats = inner.name, inner.layout, inner.seats
        self._streams = [site.state.get("noise", recipe.streams) for site in sites]
        start = numpy_rows(row_of(recipe.module, self.layout))
        self._received: Array = np.broadcast_to(start, (self.seats, len(start)))
        self._each = setting.rdp_of_sending()
        self._allowed = 2**31 if setting.budget is None else answers_within(setting.budget, self._each, setting.delta)
        self._epsilons: dict[int, float] = {}
        self.sends = np.zeros(self.seats, dtype=np.int64)
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
        self.inner.load(seats, rows, layers)

    def anchor(self, seats: Seats) -> None:
        """What was received is no secret of the site."""
        self.inner.anchor(seats)

    def distances(self, seats: Seats, layers: Layers = None) -> Array:
        """Refused: an exact bit about a model is an answer that noise does not cover."""
        raise Unsupported(
            "Whether a model has moved far is told exactly, without noise: train with FedDC or FedAvg, which send at "
            "fixed times, or without privacy."
        )

    def train(self, seats: Seats, step: int, steps: int) -> Array:
        """Local steps; raises `Diverged` here, because the losses must not leave the site."""
        losses = self.inner.train(seats, step, steps)
        if steps:
            self._just_sent[seats] = False
        if not np.isfinite(losses).all():
            place = positions(seats, self.seats)[int(np.flatnonzero(~np.isfinite(losses))[0])]
            span = f"local step {step + 1}" if steps == 1 else f"local steps {step + 1} to {step + steps}"
            raise Diverged(
                f"The training loss at site '{self._sites[place].name}' is no finite number in {span}: lower lr, or "
                "check the data there."
            )
        return losses

    def exhausted(self, seats: Seats) -> bool:
        """Whether one of these sites has no budget left for one more model."""
        return bool((self.sends[seats] >= self._allowed).any())

    def rows(self, seats: Seats, layers: Layers = None) -> Array:
        """Models as they may leave, counted as sent. Raises `Refused` where that would exceed a site's budget."""
        if self.exhausted(seats):
            place = next(i for i in positions(seats, self.seats) if self.sends[i] >= self._allowed)
            raise Refused(
                f"it has sent {self.sends[place]} models (epsilon {self.epsilon(place):.4g} at delta "
                f"{self.setting.delta:g}), and one more would exceed its budget of {self.setting.budget:g}: send less "
                "often, add more noise, or stop here."
            )
        own = self.inner.rows(seats, layers)
        if not np.isfinite(own).all():
            place = positions(seats, self.seats)[int(np.flatnonzero(~np.isfinite(own).all(axis=1))[0])]
            raise Diverged(f"The model at site '{self._sites[place].name}' has a number that is not finite: lower lr.")
        released = self._released(own, seats, layers, self.sends[seats])
        self.sends[seats] += 1
        self._just_sent[seats] = True
        for i in positions(seats, self.seats):
            self._sites[i].spent = self.epsilon(i)
        released.flags.writeable = False
        return released

    def models(self, seats: Seats) -> Array:
        """The sites' own models, which do not leave."""
        return self.inner.models(seats)

    def outgoing(self, seats: Seats) -> Array:
        """For the evaluation of a simulation: the models as they were just sent, or would be if they were sent now."""
        models = np.array(self.inner.models(seats))
        width = self.layout.width
        numbers = self.sends[seats] - self._just_sent[seats]
        models[:, :width] = self._released(models[:, :width], seats, None, numbers)
        return models

    def epsilon(self, seat: int) -> float:
        """What the answers of one site have spent together, at the setting's delta."""
        sends = int(self.sends[seat])
        if sends not in self._epsilons:
            self._epsilons[sends] = epsilon(sends * self._each, self.setting.delta) if sends else 0.0
        return self._epsilons[sends]

    def spent(self, seat: int) -> tuple[int, float, float]:
        """Models sent, epsilon and delta of one site."""
        return int(self.sends[seat]), self.epsilon(seat), self.setting.delta

    def _released(self, own: Array, seats: Seats, layers: Layers, numbers: Array) -> Array:
        chosen, columns = positions(seats, self.seats), self._columns(layers)
        out = clipped(own, self._received[seats][:, columns], self.setting.clip)
        if self.setting.noise:
            streams, names = [self._streams[i] for i in chosen], [self._sites[i].name for i in chosen]
            out += gaussian(streams, names, [int(n) for n in numbers], out.shape[1]) * (
                self.setting.noise * self.setting.clip
            )
        return out.astype(own.dtype)

    def _columns(self, layers: Layers) -> Any:
        parts = self.layout.layers
        chosen = parts if layers is None else layers
        return np.concatenate([np.arange(parts[n].start, parts[n].stop) for n in chosen])

    def state(self) -> dict[str, Any]:
        """The executor's state, and the site's account."""
        shared = self._received.strides[0] == 0
        return {
            "inner": self.inner.state(),
            "received": np.array(self._received[:1] if shared else self._received),
            "sends": self.sends.copy(),
            "just_sent": self._just_sent.copy(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.inner.restore(state["inner"])
        received = state["received"]
        shared = len(received) < self.seats
        self._received = np.broadcast_to(received, (self.seats, received.shape[1])) if shared else np.array(received)
        self.sends[:], self._just_sent[:] = state["sends"], state["just_sent"]


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
