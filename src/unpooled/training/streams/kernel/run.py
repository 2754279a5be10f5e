"""Kernel learners on streams: the loop of rounds, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from unpooled.combine import Array
from unpooled.errors import BadSetting
from unpooled.seeds import Streams
from unpooled.training.protocols import DynamicAveraging, Protocol
from unpooled.training.streams.kernel.expansion import Expansion, total
from unpooled.training.streams.kernel.links import Links
from unpooled.training.streams.kernel.norma import KernelLearner, Norma
from unpooled.training.streams.kernel.synchronise import KernelCoordinator, refuse
from unpooled.training.streams.result import POINTS, StreamComparison, StreamResult
from unpooled.training.streams.source import Source, size


@dataclass(frozen=True, eq=False, repr=False)
class KernelResult(StreamResult):
    """A `StreamResult` of kernel learners. `models` (m, n) are coefficients over the union of all support sets.

    `vectors` (n, p) is that union, `moved` (T,) the bytes that went through all links because of a round, `error` the
    sum of all distances that compression has moved models by. There is no common start to send (all begin with 0) and
    no output is collected at the end.
    """

    vectors: Array
    moved: Array
    error: float

    def curve(self, points: int = POINTS) -> pd.DataFrame:
        """As `StreamResult.curve`, with a column bytes."""
        curve = super().curve(points)
        return curve.assign(bytes=self.moved.cumsum()[curve["round"].to_numpy() - 1])

    def row(self) -> dict[str, Any]:
        """As `StreamResult.row`, with the key error."""
        return {**super().row(), "error": self.error}


def kernel_stream(
    source: Source,
    learner: Norma,
    protocol: Protocol,
    *,
    learners: int,
    rounds: int,
    seed: int = 0,
    look: Callable[[int, KernelCoordinator], None] | None = None,
) -> KernelResult:
    """Let kernel learners follow `source`, one example a round, under `Local`, `FedAvg(period)` or `DynamicAveraging`.

    The streams are those that `stream` gives linear learners under the same seed. `look` is called after each round.
    Raises `BadSetting` for other protocols.
    """
    refuse(protocol)
    streams, shape = Streams(seed), size(learners, rounds)
    flow = source.open(shape, streams)
    tracked = isinstance(protocol, DynamicAveraging)
    crowd = [KernelLearner(learner, i, flow.width, tracked=tracked) for i in range(learners)]
    links = Links(learners, flow.width)
    coordinator = KernelCoordinator(protocol, learner, crowd, links, streams)
    scores, labels = np.empty((rounds, learners)), np.empty((rounds, learners))
    sent, received = np.zeros(rounds, dtype=np.int64), np.zeros(rounds, dtype=np.int64)
    moved = np.zeros(rounds, dtype=np.int64)
    for t in range(rounds):
        X, y = (part[0, :, 0] for part in flow.block(t, t + 1))
        labels[t] = y
        for i, one in enumerate(crowd):
            scores[t, i] = one.learn(X[i], float(y[i]))
        known = len(links.log)
        sent[t], received[t] = coordinator.after(t)
        moved[t] = sum(entry.bytes for entry in links.log[known:])
        if look is not None:
            look(t, coordinator)
    union = total([one.f for one in crowd])
    return KernelResult(
        protocol.label,
        type(protocol).__name__,
        source.label,
        learner.label,
        seed,
        np.maximum(0.0, 1 - labels * scores),
        (labels * scores <= 0).astype(np.int64),
        sent,
        received,
        0,
        0,
        links.bytes,
        rounds * learners,
        flow.drifts,
        np.stack([_over(union, one.f) for one in crowd]),
        union.X,
        moved,
        coordinator.error + sum(one.error for one in crowd),
    )


def compare_kernels(
    source: Source,
    learner: Norma,
    protocols: Sequence[Protocol],
    *,
    learners: int,
    rounds: int,
    seeds: Iterable[int] = (0,),
) -> StreamComparison:
    """`kernel_stream` for each protocol and seed."""
    labels = [protocol.label for protocol in protocols]
    if not labels or len(set(labels)) < len(labels):
        raise BadSetting(f"compare_kernels needs different protocols, at least one; got {', '.join(labels) or 'none'}.")
    for protocol in protocols:
        refuse(protocol)
    chosen = list(seeds)
    if not chosen:
        raise BadSetting("compare_kernels needs at least one seed.")
    return StreamComparison(
        {
            protocol.label: {
                seed: kernel_stream(source, learner, protocol, learners=learners, rounds=rounds, seed=seed)
                for seed in chosen
            }
            for protocol in protocols
        }
    )


def _over(union: Expansion, f: Expansion) -> Array:
    """The coefficients of f over a larger support set."""
    out = np.zeros(len(union))
    out[np.searchsorted(union.ids, f.ids)] = f.a
    return out
