"""Some of the sites: client sampling."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unpooled import errors
from unpooled.combine import Array
from unpooled.training.channel import RoundChannel
from unpooled.training.exchange import Channel, Exchange, Facts, Layers, Memory, Pull, Sites


@dataclass(frozen=True)
class subset:
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

    def _following(self, round: int, now: Sites, facts: Facts) -> Sites:
        """Who starts from what this step's sites, `now`, hand on."""
        period_ends = round % self.period == self.period - 1 and round != facts.steps - 1
        return self.active(round + 1, facts) if period_ends else now

    def _facts(self, round: int, facts: Facts) -> Facts:
        now = self.active(round, facts)
        assert now is not None
        names = tuple(facts.names[i] for i in now)
        batches = None if facts.batches is None else facts.batches[now]
        counted = None if facts.counted is None else facts.counted[now]
        return replace(facts, names=names, sizes=facts.sizes[now], batches=batches, counted=counted)

    def init(self, facts: Facts) -> Memory:
        return self.exchange.init(self._facts(0, facts))

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        now = self.active(round, facts)
        inner = self.exchange.pulls(round, self._facts(round, facts))
        if inner is None:
            return None
        recipients = inner.recipients
        if recipients is not None:
            recipients = _pick(self._following(round, now, facts), recipients)
        return Pull(_pick(now, inner.sites), inner.layers, inner.poll, recipients=recipients)

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        return self.exchange.preview(row, rows, round, memory, self._facts(round, facts))

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        t = channel.round
        now, inside = self.active(t, facts), self._facts(t, facts)
        following = self._following(t, now, facts)
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
