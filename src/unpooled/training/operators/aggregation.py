"""Many models become one: by a combiner, or by a step of the server towards what a combiner gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpooled.combine import Array, Combine, mean
from unpooled.errors import BadSetting
from unpooled.training.exchange import Channel, Exchange, Facts, Memory, Pull, columns_of
from unpooled.training.operators.base import Stateless
from unpooled.training.server_optimizers import Momentum, ServerOptimizer


@dataclass(frozen=True)
class aggregate(Stateless):
    """All sites continue from one combined model; optimizer state that travels is left alone.

    `weighted` weights each site by its number of training samples (McMahan et al., AISTATS 2017).
    """

    combine: Combine = mean
    weighted: bool = False

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        return Pull(layers=facts.model_only)

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        row = _pulled(channel, self.combine, self.weighted, facts)
        channel.push(row, layers=facts.model_only, anchor=True)
        return memory

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        return _combined(rows, self.combine, self.weighted, facts)


@dataclass(frozen=True)
class server(Stateless):
    """All sites continue from the server's model x, which `optimizer` moves by its step for Delta = combined - x.

    x is what the server sent last; before the first aggregation, the model that all sites begin with. Running
    statistics and other buffers are no parameters: the server takes over what the combiner gives for them.
    """

    optimizer: ServerOptimizer
    combine: Combine = mean
    weighted: bool = False

    def init(self, facts: Facts) -> Memory:
        if facts.start is None:
            raise BadSetting("A server optimizer has to know the model that all sites begin with: give Facts a start.")
        return {"model": np.array(facts.start), "moments": self.optimizer.init(len(facts.start))}

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        return Pull(layers=facts.model_only)

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        memory = self.moved(_pulled(channel, self.combine, self.weighted, facts), memory, facts)
        channel.push(memory["model"], layers=facts.model_only, anchor=True)
        return memory

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        combined = _combined(rows, self.combine, self.weighted, facts)
        return np.asarray(self.moved(combined, memory, facts)["model"])

    def moved(self, combined: Array, memory: Memory, facts: Facts) -> Memory:
        """The memory after one step towards `combined`, shape (model width,)."""
        delta = combined.astype(np.float64) - memory["model"]
        step, moments = self.optimizer.step(delta, memory["moments"])
        model = (memory["model"] + step).astype(combined.dtype)
        buffers = columns_of(facts.buffers, facts)
        model[buffers] = combined[buffers]
        return {"model": model, "moments": moments}


def _pulled(channel: Channel, combine: Combine, weighted: bool, facts: Facts) -> Array:
    """One model of those that the channel gives."""
    if facts.counted is None:
        return channel.combined(combine, facts.sizes if weighted else None, facts.model_only)
    return _combined(channel.pull(layers=facts.model_only), combine, weighted, facts)


def _combined(rows: Array, combine: Combine, weighted: bool, facts: Facts) -> Array:
    """One model of the rows (m, width) that count; of all, where none does."""
    counted = facts.counted
    if counted is None or counted.all() or not counted.any():
        return combine(rows, facts.sizes if weighted else None)
    return combine(rows[counted], facts.sizes[counted] if weighted else None)


def averaging(combine: Combine, weighted: bool, server_lr: float) -> Exchange:
    """r <- r + server_lr (combined - r), r being the server's model; `aggregate` itself for a `server_lr` of 1."""
    if server_lr == 1.0:
        return aggregate(combine, weighted)
    return server(Momentum(server_lr), combine, weighted)
