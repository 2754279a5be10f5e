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
        row = channel.combined(self.combine, facts.sizes if self.weighted else None, facts.model_only)
        channel.push(row, layers=facts.model_only, anchor=True)
        return memory

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        return self.combine(rows, facts.sizes if self.weighted else None)


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
        weights = facts.sizes if self.weighted else None
        memory = self.moved(channel.combined(self.combine, weights, facts.model_only), memory, facts)
        channel.push(memory["model"], layers=facts.model_only, anchor=True)
        return memory

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        combined = self.combine(rows, facts.sizes if self.weighted else None)
        return np.asarray(self.moved(combined, memory, facts)["model"])

    def moved(self, combined: Array, memory: Memory, facts: Facts) -> Memory:
        """The memory after one step towards `combined`, shape (model width,)."""
        delta = combined.astype(np.float64) - memory["model"]
        step, moments = self.optimizer.step(delta, memory["moments"])
        model = (memory["model"] + step).astype(combined.dtype)
        buffers = columns_of(facts.buffers, facts)
        model[buffers] = combined[buffers]
        return {"model": model, "moments": moments}


def averaging(combine: Combine, weighted: bool, server_lr: float) -> Exchange:
    """r <- r + server_lr (combined - r), r being the server's model; `aggregate` itself for a `server_lr` of 1."""
    if server_lr == 1.0:
        return aggregate(combine, weighted)
    return server(Momentum(server_lr), combine, weighted)
