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
        return {"model": np.array(facts.start), "control": np.zeros(_width(facts)), "controls": {}, "since": 0}

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
        now, width = _numbers(self.active(t, facts), facts), _width(facts)
        rows = channel.pull(self.active(t, facts), facts.model_only)
        assert facts.rate is not None
        pace = sum(facts.rate(s) for s in range(memory["since"], t + 1))
        control, controls = memory["control"], dict(memory["controls"])
        change = np.zeros(width)
        for i, row in zip(now, rows, strict=True):
            old = controls.get(i, 0.0)
            controls[i] = old - control + (memory["model"][:width].astype(np.float64) - row[:width]) / pace
            change += controls[i] - old
        memory = {
            "model": self._model(rows, memory),
            "control": control + change / facts.sites,
            "controls": controls,
            "since": t + 1,
        }
        following = self.active(min(t + 1, facts.steps - 1), facts)
        channel.push(self._told(memory, _numbers(following, facts), rows.dtype), following, anchor=True)
        return memory

    def _told(self, memory: Memory, sites: list[int], dtype: np.dtype[np.floating]) -> Array:
        """What each site continues from: the model, and c - c_i."""
        corrections = [memory["control"] - memory["controls"].get(i, 0.0) for i in sites]
        models = np.broadcast_to(memory["model"], (len(sites), len(memory["model"])))
        return np.concatenate([models, np.array(corrections)], axis=1).astype(dtype)


def _width(facts: Facts) -> int:
    """Number of parameters, which come before buffers in a row."""
    part = facts.layers["correction"]
    return int(part.stop - part.start)


def _numbers(sites: Sites, facts: Facts) -> list[int]:
    return list(range(facts.sites)) if sites is None else [int(i) for i in sites]
