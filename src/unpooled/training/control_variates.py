"""The exchange of SCAFFOLD: models become their mean, and every site gets a correction for its gradients.

S. P. Karimireddy, S. Kale, M. Mohri, S. Reddi, S. Stich, A. T. Suresh, "SCAFFOLD: Stochastic Controlled Averaging for
Federated Learning", ICML 2020, Algorithm 1 with option II. paper -> here: x model, y_i a site's model, c control, c_i
controls, K the local steps since the last aggregation, eta_l the local rates, eta_g server_rate, S the active sites.

    y_i <- y_i - eta_l (g_i(y_i) - c_i + c);   c_i+ = c_i - c + (x - y_i) / (K eta_l);
    x <- x + eta_g mean(y_i - x);   c <- c + (|S| / m) mean over S of (c_i+ - c_i).

Choices: the period counts local steps; where the rate changes, K eta_l is the sum of the rates. c_i+ follows from x,
y_i and c, which the coordinator knows, so it keeps the controls and sends c - c_i with the model: a site sends one
vector (in the paper two) and receives two, and nothing leaves it that the paper's message would not tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unpooled.combine import Array, mean
from unpooled.training.exchange import ALL, Channel, Facts, Memory, Pull, Sites
from unpooled.training.operators import Nothing, subset


@dataclass(frozen=True)
class control_variates:
    """Aggregate every `period` local steps and after the last, among a `fraction` of the sites drawn anew each time."""

    period: int
    server_rate: float = 1.0
    fraction: float = 1.0

    def init(self, facts: Facts) -> Memory:
        assert facts.start is not None
        width = _width(facts)
        # Of all sites a matrix; where some are drawn, only of those that took part.
        controls: Any = np.zeros((facts.sites, width)) if self.fraction == 1.0 else {}
        return {"model": np.array(facts.start), "control": np.zeros(width), "controls": controls, "since": 0}

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        due = round % self.period == self.period - 1 or round == facts.steps - 1
        return Pull(self.active(round, facts), facts.model_only) if due else None

    def active(self, round: int, facts: Facts) -> Sites:
        if self.fraction == 1.0:
            return ALL
        return subset(self.fraction, Nothing(), self.period).active(round, facts)

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        return self._model(rows, memory)

    def _model(self, rows: Array, memory: Memory) -> Array:
        """x + eta_g mean(y_i - x)."""
        model, average = memory["model"], mean(rows).astype(np.float64)
        return np.asarray((model + self.server_rate * (average - model)).astype(rows.dtype))

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        t = channel.round
        now, width = self.active(t, facts), _width(facts)
        rows = channel.pull(now, facts.model_only)
        assert facts.rate is not None
        pace = sum(facts.rate(s) for s in range(memory["since"], t + 1))
        control = memory["control"]
        new = memory["model"][:width].astype(np.float64) - rows[:, :width]  # a big matrix, which becomes c_i+ in place
        new /= pace
        new -= control
        change = new.sum(axis=0)
        new += _of(memory["controls"], now, width)
        memory = {
            "model": self._model(rows, memory),
            "control": control + change / facts.sites,
            "controls": new if now is None else {**memory["controls"], **dict(zip(now.tolist(), new, strict=True))},
            "since": t + 1,
        }
        following = self.active(min(t + 1, facts.steps - 1), facts)
        channel.push(self._told(memory, following, facts, rows.dtype), following, anchor=True)
        return memory

    def _told(self, memory: Memory, sites: Sites, facts: Facts, dtype: np.dtype[np.floating]) -> Array:
        """What each site continues from: the model, and c - c_i."""
        width, model = _width(facts), memory["model"]
        told = np.empty((facts.sites if sites is None else len(sites), len(model) + width), dtype=dtype)
        told[:, : len(model)] = model
        controls = _of(memory["controls"], sites, width)
        np.subtract(memory["control"], controls, out=told[:, len(model) :], casting="same_kind")
        return told


def _of(controls: Array | dict[int, Array], sites: Sites, width: int) -> Array:
    """The controls of those sites, (k, width): 0 for a site that never took part."""
    if not isinstance(controls, dict):
        return controls
    assert sites is not None
    return np.array([controls.get(i, np.zeros(width)) for i in sites.tolist()])


def _width(facts: Facts) -> int:
    """Number of parameters, which come before buffers in a row."""
    part = facts.layers["correction"]
    return int(part.stop - part.start)
