"""Online learning over many streams under one protocol, judged prequentially: predict, suffer, learn.

The frame of M. Kamp, M. Boley, D. Keren, A. Schuster, I. Sharfman, ECML PKDD 2014: in each round every learner sees a
batch, suffers the loss of its current model and updates it; then the protocol may synchronise the models. Coordinator,
exchanges, door and traffic are those of all training; only the executor differs (`StreamExecutor`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from unpooled.combine import Array
from unpooled.errors import BadSetting
from unpooled.seeds import Streams
from unpooled.sites.site import Site
from unpooled.training.coordinator import Coordinator
from unpooled.training.observation import executors_of, models_of
from unpooled.training.protocols import Local, Protocol
from unpooled.training.questions import install
from unpooled.training.streams import source as flows
from unpooled.training.streams.door import CountingDoor
from unpooled.training.streams.executor import StreamExecutor
from unpooled.training.streams.learners import Learner
from unpooled.training.streams.result import StreamComparison, StreamResult
from unpooled.training.streams.serial import Serial
from unpooled.training.streams.source import Source
from unpooled.training.streams.task import StreamTask

Watcher = Callable[[int, int], None]
"""Called with rounds done and rounds in all."""
TELL_EVERY = 50
"""A watcher is told of so many parts of a run."""


class Prequential:
    """One run in progress; `advance` takes it to the next exchange."""

    def __init__(
        self,
        source: Source,
        learner: Learner,
        protocol: Protocol,
        *,
        learners: int,
        rounds: int,
        batch: int | tuple[int, ...] = 1,
        seed: int = 0,
        start: Array | None = None,
    ) -> None:
        refuse_unfit(protocol)
        self.source, self.learner, self.protocol, self.seed = source, learner, protocol, seed
        streams = Streams(seed)
        opened = source.open(flows.size(learners, rounds, batch), streams)
        self.size, self.drifts, self.serial = opened.size, opened.drifts, isinstance(protocol, Serial)
        if self.serial and not (self.size.batches == self.size.places).all():
            raise BadSetting("A serial learner needs batches of one size; give one number for batch.")
        self.flow = flows.Serial(opened) if self.serial else opened
        m = 1 if self.serial else learners
        names = tuple(f"learner-{i:0{len(str(m - 1))}d}" for i in range(m))
        task = StreamTask(learner, self.flow, streams, names, start)
        self.federation = CountingDoor([Site(name) for name in names])
        install(list(self.federation), task)
        steps = self.flow.size.rounds
        self.coordinator = Coordinator(
            self.federation,
            task,
            protocol.exchange(),
            steps=steps,
            look_every=max(1, steps // TELL_EVERY),
            anchored=protocol.anchored,
        )
        self.sent, self.received = np.zeros(steps, dtype=np.int64), np.zeros(steps, dtype=np.int64)
        self.final = 0

    @property
    def executor(self) -> StreamExecutor:
        """The executor that all learners of this process share."""
        (executor,) = executors_of(self.federation)
        assert isinstance(executor, StreamExecutor)
        return executor

    @property
    def done(self) -> bool:
        """Whether all rounds are over."""
        return self.coordinator.done

    def advance(self) -> None:
        """The rounds up to the next exchange, and the exchange."""
        before = self.coordinator.step
        self.coordinator.local_phase()
        up, down = self.federation.taken()
        last = self.coordinator.step - 1
        self.sent[last] += up
        if before:
            self.received[before - 1] += down
        self.coordinator.exchange_models()
        self._count(last)
        if self.done:
            self.coordinator.finish()
            self._count(last)
            self._close(last)

    def _count(self, round: int) -> None:
        up, down = self.federation.taken()
        self.sent[round] += up
        self.received[round] += down

    def _close(self, last: int) -> None:
        """An exchange that is due only because the run ends makes the output: not part of the protocol's transfers."""
        self.executor.watch()
        facts = self.coordinator.facts
        longer = replace(facts, steps=facts.steps + 1)
        if self.protocol.exchange().pulls(last, longer) is None:
            self.final = int(self.sent[last] + self.received[last])
            self.sent[last] = self.received[last] = 0

    def result(self) -> StreamResult:
        """The finished run."""
        losses, mistakes = self.executor.losses, self.executor.mistakes
        examples = int(self.size.batches.sum()) * self.size.rounds
        moved = self.federation.traffic.total_bytes()
        sent, received = self.sent, self.received
        if self.serial:
            shape = (self.size.rounds, self.size.learners)
            losses, mistakes = losses.reshape(shape), mistakes.reshape(shape)
            sent = received = np.zeros(self.size.rounds, dtype=np.int64)
            moved = examples * (self.flow.width + 1) * 8
        return StreamResult(
            self.protocol.label,
            type(self.protocol).__name__,
            self.source.label,
            self.learner.label,
            self.seed,
            losses,
            mistakes,
            sent,
            received,
            self.federation.first,
            self.final,
            moved,
            examples,
            self.drifts,
            np.array(models_of(self.federation)),
        )


def stream(
    source: Source,
    learner: Learner,
    protocol: Protocol,
    *,
    learners: int,
    rounds: int,
    batch: int | tuple[int, ...] = 1,
    seed: int = 0,
    start: Array | None = None,
    progress: Watcher | None = None,
) -> StreamResult:
    """Let `learners` learners follow `source` for `rounds` rounds under `protocol`.

    Any protocol of the library will do, `Local()` for none and `Serial()` for one learner that sees all examples;
    periods count rounds. `batch` is how many examples a learner sees in a round, one number or one for each. `start`
    (d,) is the common first model, zeros by default. Raises `BadSetting` or `BadData` before work starts, and
    `Diverged` for a loss that is no number.
    """
    run = Prequential(source, learner, protocol, learners=learners, rounds=rounds, batch=batch, seed=seed, start=start)
    while not run.done:
        run.advance()
        if progress is not None:
            progress(rounds * run.coordinator.step // run.coordinator.steps, rounds)
    return run.result()


def suggest_threshold(
    source: Source,
    learner: Learner,
    *,
    learners: int,
    period: int,
    batch: int | tuple[int, ...] = 1,
    seed: int = 0,
    start: Array | None = None,
) -> float:
    """A threshold for `DynamicAveraging` to begin a search with: the median of |f - r|^2 after `period` rounds alone.

    With it half of the learners would violate their condition at the first check. It looks at the first rounds of the
    stream, and depends on the scale of models and steps. Raises `BadSetting` where no learner moves in that time.
    """
    alone = stream(
        source, learner, Local(), learners=learners, rounds=period, batch=batch, seed=seed, start=start
    ).models
    away = ((alone - (0.0 if start is None else start)) ** 2).sum(axis=1)
    found = float(np.median(away))
    if not found:
        raise BadSetting(f"Half of the learners did not move in {period} rounds: take a longer period.")
    return found


def compare_streams(
    source: Source,
    learner: Learner,
    protocols: Sequence[Protocol],
    *,
    learners: int,
    rounds: int,
    batch: int | tuple[int, ...] = 1,
    seeds: Iterable[int] = (0,),
    start: Array | None = None,
    progress: Callable[[str, int, int, int], None] | None = None,
) -> StreamComparison:
    """`stream` for each protocol and seed; `progress` is called with label, seed, rounds done and rounds in all."""
    labels = [protocol.label for protocol in protocols]
    if not labels or len(set(labels)) < len(labels):
        raise BadSetting(f"compare_streams needs different protocols, at least one; got {', '.join(labels) or 'none'}.")
    for protocol in protocols:
        refuse_unfit(protocol)
    results: dict[str, dict[int, StreamResult]] = {label: {} for label in labels}
    for seed in seeds:
        for protocol in protocols:
            results[protocol.label][seed] = stream(
                source,
                learner,
                protocol,
                learners=learners,
                rounds=rounds,
                batch=batch,
                seed=seed,
                start=start,
                progress=None if progress is None else _told(progress, protocol.label, seed),
            )
    if not results[labels[0]]:
        raise BadSetting("compare_streams needs at least one seed.")
    return StreamComparison(results)


def _told(progress: Callable[[str, int, int, int], None], label: str, seed: int) -> Watcher:
    return lambda done, total: progress(label, seed, done, total)


def refuse_unfit(protocol: Protocol) -> None:
    """Raise `BadSetting` for a protocol that changes the local update or needs all rows in one place."""
    if protocol.mu:
        raise BadSetting(f"{protocol.label} adds a proximal term, which online learners have none of: use FedAvg.")
    if protocol.simulation_only and not isinstance(protocol, Serial):
        raise BadSetting(f"{protocol.label} pools rows, which a stream has none of: compare with Serial() instead.")
