"""When exchanges happen, and in which order: `every`, `at_end`, `chain`, `first`, and the cycle of FedDC."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from unpooled import errors
from unpooled.combine import Array
from unpooled.errors import BadSetting
from unpooled.training.exchange import ALL, Channel, Exchange, Facts, Memory, Pull, Sites, union
from unpooled.training.operators.subset import subset


class _One:
    """An exchange that is another one at certain times."""

    exchange: Exchange

    def init(self, facts: Facts) -> Memory:
        return self.exchange.init(facts)

    def active(self, round: int, facts: Facts) -> Sites:
        return self.exchange.active(round, facts)

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        return self.exchange.preview(row, rows, round, memory, facts)

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        return self.exchange(channel, memory, rng, facts)


@dataclass(frozen=True)
class every(_One):
    """Do `exchange` after local steps period-1, 2*period-1, ... (t mod period = period-1).

    With `last`, also after the run's very last step, so that the output is an aggregate.
    """

    period: int
    exchange: Exchange
    last: bool = False

    def __post_init__(self) -> None:
        errors.positive(period=self.period)

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        due = round % self.period == self.period - 1 or (self.last and round == facts.steps - 1)
        return self.exchange.pulls(round, facts) if due else None


@dataclass(frozen=True)
class at_end(_One):
    """Do `exchange` once, after the run's very last step."""

    exchange: Exchange

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        return self.exchange.pulls(round, facts) if round == facts.steps - 1 else None


class _Several:
    """Several exchanges with one memory each; all must agree who is active."""

    exchanges: tuple[Exchange, ...]

    def init(self, facts: Facts) -> Memory:
        return [e.init(facts) for e in self.exchanges]

    def active(self, round: int, facts: Facts) -> Sites:
        chosen = [e.active(round, facts) for e in self.exchanges]
        partial = [c for c in chosen if c is not None]
        if len(partial) not in (0, len(chosen)) or any(not np.array_equal(c, partial[0]) for c in partial):
            raise BadSetting("Exchanges in one chain disagree about who is active: put subset(...) around the chain.")
        return partial[0] if partial else ALL

    def _preview(
        self, order: Iterable[int], row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts
    ) -> Array | None:
        for i in order:
            row = self.exchanges[i].preview(row, rows, round, memory[i], facts)
        return row


class chain(_Several):
    """Do each exchange that is due, in this order; each sees what the one before it pushed."""

    def __init__(self, *exchanges: Exchange) -> None:
        self.exchanges = exchanges

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        return union([e.pulls(round, facts) for e in self.exchanges], facts)

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        return self._preview(range(len(self.exchanges)), row, rows, round, memory, facts)

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        due = [e.pulls(channel.round, facts) is not None for e in self.exchanges]
        return [e(channel, m, rng, facts) if d else m for e, m, d in zip(self.exchanges, memory, due, strict=True)]


class first(_Several):
    """Do only the first exchange that is due: the earlier one has priority."""

    def __init__(self, *exchanges: Exchange) -> None:
        self.exchanges = exchanges

    def _due(self, round: int, facts: Facts) -> int | None:
        return next((i for i, e in enumerate(self.exchanges) if e.pulls(round, facts) is not None), None)

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        i = self._due(round, facts)
        return None if i is None else self.exchanges[i].pulls(round, facts)

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        return self._preview(reversed(range(len(self.exchanges))), row, rows, round, memory, facts)

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        i = self._due(channel.round, facts)
        if i is None:
            return memory
        return [
            e(channel, m, rng, facts) if j == i else m
            for j, (e, m) in enumerate(zip(self.exchanges, memory, strict=True))
        ]


def cycle(
    aggregation: Exchange,
    aggregate_period: int,
    *,
    daisy_period: int | None = None,
    hop: Exchange | None = None,
    fraction: float = 1.0,
) -> Exchange:
    """The schedule of FedDC: `aggregation` every `aggregate_period` and at the end, `hop` every `daisy_period` else.

    With `fraction` below 1 a set of sites is drawn anew for each aggregation period; only they train and exchange.
    """
    program: Exchange = every(aggregate_period, aggregation, last=True)
    if daisy_period is not None and hop is not None:
        program = first(program, every(daisy_period, hop))
    return program if fraction == 1.0 else subset(fraction, program, aggregate_period)
