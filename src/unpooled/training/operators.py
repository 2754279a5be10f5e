"""Parts of exchanges, and operators that make new exchanges of them.

`permute` and `aggregate` do something each time they are called; `every`, `chain`, `first`, `only` and `subset` say
when, in which order, on which layers and among which sites. Kamp, Fischer and Vreeken, ICLR 2023, use the
first two; the frame is that of Kamp et al., "Efficient decentralized deep learning by dynamic model averaging", 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from unpooled import errors
from unpooled.combine import Array, Combine, mean
from unpooled.errors import BadSetting, did_you_mean
from unpooled.training.channel import RoundChannel
from unpooled.training.exchange import (
    ALL,
    Channel,
    Exchange,
    Facts,
    Layers,
    Memory,
    Poll,
    Pull,
    Sites,
    columns_of,
    union,
)


class _Stateless:
    """An exchange that remembers nothing, is always due and keeps all sites active."""

    def init(self, facts: Facts) -> Memory:
        return None

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        return Pull()

    def active(self, round: int, facts: Facts) -> Sites:
        return ALL


@dataclass(frozen=True)
class Nothing(_Stateless):
    """Never due: isolated training."""

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        return None

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        return memory


@dataclass(frozen=True)
class permute(_Stateless):
    """Daisy-chaining: site pi(i) receives the model of site i, pi uniform over all m! permutations.

    A model stays where it is with probability 1/m, and each call draws afresh (FedDC, Algorithm 1).
    """

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        rows = channel.pull()
        channel.push(rows[rng.permutation(len(rows))])
        return memory


@dataclass(frozen=True)
class aggregate(_Stateless):
    """All sites continue from one combined model; optimizer state that travels is left alone.

    `weighted` weights each site by its number of training samples (McMahan et al., AISTATS 2017).
    """

    combine: Combine = mean
    weighted: bool = False

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        return Pull(layers=facts.model_only)

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        rows = channel.pull(layers=facts.model_only)
        combined = self.combine(rows, facts.sizes if self.weighted else None)
        channel.push(combined, layers=facts.model_only, anchor=True)
        return memory


@dataclass(frozen=True)
class every(_Stateless):
    """Do `exchange` after local steps period-1, 2*period-1, ... (t mod period = period-1).

    With `last`, also after the run's very last step, so that the output is an aggregate.
    """

    period: int
    exchange: Exchange
    last: bool = False

    def __post_init__(self) -> None:
        errors.positive(period=self.period)

    def init(self, facts: Facts) -> Memory:
        return self.exchange.init(facts)

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        due = round % self.period == self.period - 1 or (self.last and round == facts.steps - 1)
        return self.exchange.pulls(round, facts) if due else None

    def active(self, round: int, facts: Facts) -> Sites:
        return self.exchange.active(round, facts)

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        return self.exchange(channel, memory, rng, facts)


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


class chain(_Several):
    """Do each exchange that is due, in this order; each sees what the one before it pushed."""

    def __init__(self, *exchanges: Exchange) -> None:
        self.exchanges = exchanges

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        return union([e.pulls(round, facts) for e in self.exchanges], facts)

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

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        i = self._due(channel.round, facts)
        if i is None:
            return memory
        return [
            e(channel, m, rng, facts) if j == i else m
            for j, (e, m) in enumerate(zip(self.exchanges, memory, strict=True))
        ]


@dataclass(frozen=True)
class only(_Stateless):
    """Do `exchange` on some layers of the row alone; the rest of each model stays at its site.

    `layers` are names of parameters ("0.weight"), prefixes of them ("0"), or a function of a name.
    """

    layers: tuple[str, ...] | Callable[[str], bool]
    exchange: Exchange

    def chosen(self, facts: Facts) -> tuple[str, ...]:
        """The full names; raises `BadSetting` for a name that fits no layer."""
        if callable(self.layers):
            names = tuple(n for n in facts.layers if self.layers(n))
        else:
            for wanted in self.layers:
                if not any(_fits(n, wanted) for n in facts.layers):
                    hint = did_you_mean(wanted, facts.layers)
                    raise BadSetting(f"No layer is called '{wanted}'; there are {', '.join(facts.layers)}.{hint}")
            names = tuple(n for n in facts.layers if any(_fits(n, w) for w in self.layers))
        if not names:
            raise BadSetting(f"only(...) chose none of the layers {', '.join(facts.layers)}.")
        return names

    def _facts(self, facts: Facts) -> Facts:
        names, start, layers = self.chosen(facts), 0, {}
        for name in names:
            width = facts.layers[name].stop - facts.layers[name].start
            layers[name] = slice(start, start + width)
            start += width
        model = tuple(n for n in facts.model_layers if n in layers)
        begun = None if facts.start is None else facts.start[columns_of(model, facts)]
        return replace(facts, layers=layers, model_layers=model, start=begun)

    def init(self, facts: Facts) -> Memory:
        return self.exchange.init(self._facts(facts))

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        inner = self.exchange.pulls(round, self._facts(facts))
        if inner is None:
            return None
        poll = inner.poll and Poll(inner.poll.threshold, inner.poll.layers or self.chosen(facts))
        return Pull(inner.sites, inner.layers or self.chosen(facts), poll)

    def active(self, round: int, facts: Facts) -> Sites:
        return self.exchange.active(round, facts)

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        view = _LayerView(channel, self.chosen(facts))
        return self.exchange(view, memory, rng, self._facts(facts))


def _fits(name: str, wanted: str) -> bool:
    return name == wanted or name.startswith(wanted + ".")


@dataclass
class _LayerView:
    """A channel on which a row is only those layers."""

    channel: Channel
    layers: tuple[str, ...]

    def __post_init__(self) -> None:
        self.sites, self.round = self.channel.sites, self.channel.round

    def pull(self, sites: Sites = ALL, layers: Layers = None) -> Array:
        return self.channel.pull(sites, layers or self.layers)

    def push(self, rows: Array, sites: Sites = ALL, layers: Layers = None, *, anchor: bool = False) -> None:
        self.channel.push(rows, sites, layers or self.layers, anchor=anchor)

    def poll(self) -> Array:
        return self.channel.poll()

    def secure_mean(self, sites: Sites = ALL, layers: Layers = None, *, weighted: bool = False) -> Array:
        return self.channel.secure_mean(sites, layers or self.layers, weighted=weighted)


@dataclass(frozen=True)
class subset(_Stateless):
    """Train and exchange only among max(1, round(fraction * m)) sites, drawn anew every `period` local steps.

    What the active sites hand on in a period's last step is what the next period's sites start from; sites that
    are not active are frozen and not asked. Weighted aggregation weights by the active sites' sizes.
    """

    fraction: float
    exchange: Exchange
    period: int

    def __post_init__(self) -> None:
        errors.fraction(fraction=self.fraction)
        errors.positive(period=self.period)

    def active(self, round: int, facts: Facts) -> Sites:
        count = max(1, int(np.floor(self.fraction * facts.sites + 0.5)))
        rng = facts.streams.generator("subset", round // self.period)
        return np.sort(rng.choice(facts.sites, size=count, replace=False)).astype(np.int64)

    def _facts(self, round: int, facts: Facts) -> Facts:
        now = self.active(round, facts)
        assert now is not None
        names = tuple(facts.names[i] for i in now)
        batches = None if facts.batches is None else facts.batches[now]
        return replace(facts, names=names, sizes=facts.sizes[now], batches=batches)

    def init(self, facts: Facts) -> Memory:
        return self.exchange.init(self._facts(0, facts))

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        now = self.active(round, facts)
        inner = self.exchange.pulls(round, self._facts(round, facts))
        return None if inner is None else Pull(_pick(now, inner.sites), inner.layers, inner.poll)

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        t = channel.round
        now, inside = self.active(t, facts), self._facts(t, facts)
        period_ends = t % self.period == self.period - 1 and t != facts.steps - 1
        following = self.active(t + 1, facts) if period_ends else now
        pull = self.exchange.pulls(t, inside)
        nothing = pull is None or (pull.sites is not None and not len(pull.sites))
        held = None if pull is None or nothing else channel.pull(_pick(now, pull.sites), pull.layers)
        polled = None if pull is None or pull.poll is None else channel.poll()[now]

        def mean(sites: Sites, layers: Layers, weighted: bool) -> Array:
            return channel.secure_mean(_pick(now, sites), layers, weighted=weighted)

        inner = RoundChannel(t, inside, pull, held, lambda s, layers: channel.pull(_pick(now, s), layers), polled, mean)
        memory = self.exchange(inner, memory, rng, inside)
        out = inner.delivery()
        if out is not None:
            channel.push(out.rows, _pick(following, out.sites), out.layers, anchor=out.anchor)
        return memory


def _pick(sites: Sites, positions: Sites) -> Sites:
    """Positions among `sites` as positions among all."""
    return sites if positions is None or sites is None else sites[positions]
