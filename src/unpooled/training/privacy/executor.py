"""What stands before a site's own executor where privacy is asked for: it counts what leaves, and keeps the rest back.

Questions asked one by one and all at once pass the same few lines here, and what the door counts and the ledger hashes
is what was really sent.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np

from unpooled.combine import Array
from unpooled.errors import Diverged, Unsupported
from unpooled.sites.site import Site
from unpooled.training.exchange import Layers
from unpooled.training.executors.base import Executor, Seats, positions
from unpooled.training.privacy.account import Account
from unpooled.training.unwritten import Unwritten


class PrivateExecutor(abc.ABC):
    """`inner` trains for `sites`; no training loss leaves through it."""

    def __init__(self, inner: Executor, sites: Sequence[Site]) -> None:
        self.inner, self._sites = inner, sites
        self.name, self.layout, self.seats = inner.name, inner.layout, inner.seats

    @property
    def hides_loss(self) -> bool:
        """Whether training losses stay at the site."""
        return True

    @abc.abstractmethod
    def refuses(self, seats: Seats, steps: int) -> bool:
        """Whether one of these sites would refuse to send its model after `steps` more local steps."""

    @abc.abstractmethod
    def rows(self, seats: Seats, layers: Layers = None) -> Array | Unwritten:
        """Models as they may leave. Raises `Refused`."""

    def shown(self, seats: Seats, layers: Layers = None) -> Array | Unwritten:
        """Models as they may be looked at between two exchanges. Raises `Refused`."""
        return self.rows(seats, layers)

    @abc.abstractmethod
    def outgoing(self, seats: Seats) -> Array:
        """For the evaluation of a simulation: the models as they were just sent, or would be if they were sent now."""

    @abc.abstractmethod
    def spent(self, seat: int) -> tuple[int, float, float] | None:
        """Models sent, epsilon and delta of one site; None where there is no account."""

    def load(self, seats: Seats, rows: Array, layers: Layers = None) -> None:
        """Continue from `rows`."""
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

    def gradients(self, seats: Seats, step: int) -> tuple[Array, Array | Unwritten]:
        """Refused: gradients would leave without noise."""
        raise Unsupported(
            "Gradients are sent as they are, without noise: train with FedDC or FedAvg, or without privacy."
        )

    def train(self, seats: Seats, step: int, steps: int) -> Array:
        """Local steps; raises `Diverged` here, because the losses must not leave the site."""
        losses = self.inner.train(seats, step, steps)
        self._must_be_finite(seats, losses, "training loss", step, steps)
        return losses

    def _must_be_finite(self, seats: Seats, values: Array, what: str, step: int = 0, steps: int = 0) -> None:
        bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
        if len(bad):
            name = self._sites[positions(seats, self.seats)[int(bad[0])]].name
            span = {0: "", 1: f" in local step {step + 1}"}.get(steps, f" in local steps {step + 1} to {step + steps}")
            raise Diverged(f"The {what} at site '{name}' is not finite{span}: lower lr, or check the data there.")

    def models(self, seats: Seats) -> Array:
        """The sites' own models, which do not leave."""
        return self.inner.models(seats)

    def state(self) -> dict[str, Any]:
        """The state of the executor within."""
        return {"inner": self.inner.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.inner.restore(state["inner"])


class AccountedExecutor(PrivateExecutor):
    """`account` has what the sites have spent since the start of the run."""

    def __init__(self, inner: Executor, sites: Sequence[Site], account: Account) -> None:
        super().__init__(inner, sites)
        self.account = account

    @abc.abstractmethod
    def charges(self, seats: Seats, steps: int) -> Array:
        """The noisy answers that models sent after `steps` more local steps would rest on."""

    def refuses(self, seats: Seats, steps: int) -> bool:
        """Whether a site's budget would be exceeded."""
        return self.account.beyond(seats, self.charges(seats, steps))

    def spent(self, seat: int) -> tuple[int, float, float] | None:
        """What the account says."""
        return self.account.spent(seat)

    def state(self) -> dict[str, Any]:
        """Also the account."""
        return {**super().state(), "account": self.account.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        super().restore(state)
        self.account.restore(state["account"])
