"""Distributed mini-batch: sites share gradients of one common model, and all take the same step.

O. Dekel, R. Gilad-Bachrach, O. Shamir, L. Xiao, "Optimal Distributed Online Prediction Using Mini-Batches", JMLR 13
(2012), section 3. paper -> here: b, the mini-batch of all nodes together, is the sum of the sites' batches.

    g <- sum_i B_i g_i / sum_i B_i;   w <- w - eta_t g.

This is serial gradient descent on the union of the batches, whatever the number of sites.
Choices: the coordinator takes the step and sends the model (the paper: every node adds up and steps by itself, which
gives the same); losses are means over a batch, so gradients are weighted by the batches' sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unpooled.combine import Array, mean
from unpooled.errors import BadSetting
from unpooled.training.exchange import Channel, Exchange, Facts, Memory, Pull
from unpooled.training.operators.base import Stateless
from unpooled.training.protocols.base import Protocol
from unpooled.training.recipe import Recipe


@dataclass(frozen=True)
class share_gradients(Stateless):
    """After each local step the common model moves along the mean gradient of all sites' batches."""

    def init(self, facts: Facts) -> Memory:
        return np.array(facts.start)

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        return Pull(gradients=True)

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        model = self._stepped(channel.combined(mean, facts.batches), channel.round, memory, facts)
        channel.push(model, layers=facts.model_only, anchor=True)
        return model

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        return self._stepped(mean(rows, facts.batches), round, memory, facts)

    def _stepped(self, gradient: Array, round: int, model: Array, facts: Facts) -> Array:
        assert facts.rate is not None
        return np.asarray((model - facts.rate(round) * gradient.astype(np.float64)).astype(gradient.dtype))


@dataclass(frozen=True)
class MiniBatch(Protocol):
    """Every local step is one step of gradient descent on the batches of all sites together."""

    plain_descent_only: ClassVar[bool] = True
    summary: ClassVar[str] = "gradients are averaged after each step, and all sites take the same one"
    tolerates_absence: ClassVar[bool] = False

    def check(self, recipe: Recipe) -> None:
        super().check(recipe)
        if any(b.dtype.is_floating_point for b in recipe.module.buffers()):
            raise BadSetting(
                "MiniBatch shares gradients alone, so running statistics would differ from site to site: use GroupNorm "
                "or FedAvg(1)."
            )

    def exchange(self) -> Exchange:
        return share_gradients()
