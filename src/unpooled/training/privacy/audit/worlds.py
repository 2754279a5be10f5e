"""Many trainings of one protocol at once, each on another random half of every site's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unpooled.combine import Array, mean
from unpooled.errors import BadData, BadSetting
from unpooled.seeds import Streams
from unpooled.sites.site import Samples, Site
from unpooled.training.channel import Delivery, RoundChannel
from unpooled.training.exchange import Channel, Exchange, Facts, Layers, Memory, Pull, Sites


@dataclass(frozen=True)
class Halves:
    """`sites` of all worlds, world by world; `members` (worlds, rows) says who took part, rows site by site."""

    sites: list[Site]
    members: Array


def halves(sites: Sequence[Site], worlds: int, streams: Streams) -> Halves:
    """Random halves of each site, drawn in pairs: who is in one world is out in the next, so each is in half of them.

    Of an odd number of rows one sits out in both. Raises `BadData` for a site with one row.
    """
    made: list[Site] = []
    members = []
    for world in range(worlds):
        row = []
        for site in sites:
            data = site.require_train()
            if len(data) < 2:
                raise BadData(
                    f"Site '{site.name}' has one row, which cannot be halved: leave the site out of the audit."
                )
            order = streams.generator("audit", world // 2, site.name).permutation(len(data))
            half = len(data) // 2
            chosen = np.sort(order[:half] if world % 2 == 0 else order[half : 2 * half])
            made.append(Site(f"{world}/{site.name}", Samples(data.X[chosen], data.y[chosen]), policy=site.policy))
            row.append(np.isin(np.arange(len(data)), chosen))
        members.append(np.concatenate(row))
    return Halves(made, np.stack(members))


@dataclass(frozen=True)
class in_worlds:
    """`exchange` among the sites of each of `count` worlds by itself; worlds draw different random numbers."""

    count: int
    exchange: Exchange

    def _facts(self, world: int, facts: Facts) -> Facts:
        part = self._part(world, facts)
        batches = None if facts.batches is None else facts.batches[part]
        return replace(facts, names=tuple(facts.names[part]), sizes=facts.sizes[part], batches=batches)

    def _part(self, world: int, facts: Facts) -> slice:
        each = facts.sites // self.count
        return slice(world * each, (world + 1) * each)

    def init(self, facts: Facts) -> Memory:
        return [self.exchange.init(self._facts(world, facts)) for world in range(self.count)]

    def active(self, round: int, facts: Facts) -> Sites:
        if self.exchange.active(round, self._facts(0, facts)) is not None:
            raise BadSetting("An audit trains all sites in every step: use a protocol without a fraction of sites.")
        return None

    def pulls(self, round: int, facts: Facts) -> Pull | None:
        pull = self.exchange.pulls(round, self._facts(0, facts))
        if pull is not None and (pull.sites is not None or pull.poll is not None):
            raise BadSetting(
                "An audit needs a protocol in which all sites send at fixed times, such as FedDC or FedAvg."
            )
        return pull

    def preview(self, row: Array | None, rows: Array, round: int, memory: Memory, facts: Facts) -> Array | None:
        """None: there is a model for each world (`previews`), and no common one."""
        return None

    def previews(self, rows: Array, round: int, memory: Memory, facts: Facts) -> Array:
        """The model that each world would make of its sites' whole models now, rows (worlds, sites, width)."""
        made = []
        for world in range(self.count):
            inside = self._facts(world, facts)
            width = max(inside.layers[name].stop for name in inside.model_layers)
            row = self.exchange.preview(None, rows[world][:, :width], round, memory[world], inside)
            made.append(
                mean(rows[world]) if row is None else np.concatenate([row, rows[world][:, width:].mean(axis=0)])
            )
        return np.stack(made)

    def __call__(self, channel: Channel, memory: Memory, rng: np.random.Generator, facts: Facts) -> Memory:
        pull = self.exchange.pulls(channel.round, self._facts(0, facts))
        rows = None if pull is None else channel.pull(layers=pull.layers)
        memories, pushed = [], []
        for world in range(self.count):
            part, inside = self._part(world, facts), self._facts(world, facts)
            here = np.arange(facts.sites)[part]

            def fetch(sites: Sites, layers: Layers, here: Array = here) -> Array:
                return channel.pull(here if sites is None else here[sites], layers)

            inner = RoundChannel(channel.round, inside, pull, None if rows is None else rows[part], fetch)
            memories.append(self.exchange(inner, memory[world], rng, inside))
            pushed.append(inner.delivery())
        _hand_on(pushed, channel)
        return memories


def _hand_on(pushed: Sequence[Delivery | None], channel: Channel) -> None:
    """What every world's exchange pushed to all its sites, as one push."""
    out = [delivery for delivery in pushed if delivery is not None]
    if not out:
        return
    if len(out) < len(pushed) or any(d.sites is not None or d.layers != out[0].layers for d in out):
        raise BadSetting(
            "An audit needs a protocol in which all sites receive at fixed times, such as FedDC or FedAvg."
        )
    channel.push(np.concatenate([d.rows for d in out]), layers=out[0].layers, anchor=out[0].anchor)
