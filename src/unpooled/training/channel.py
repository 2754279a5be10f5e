"""The channel of one round, as the coordinator keeps it: what was pulled, what is to be delivered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unpooled.combine import Array, Combine
from unpooled.errors import BadSetting
from unpooled.training.exchange import Facts, Layers, Pull, Sites, columns_of
from unpooled.training.unwritten import Unwritten, combined


@dataclass(frozen=True, eq=False)
class Delivery:
    """Rows of shape (k, width) for `sites`, not yet sent; `anchor` marks an aggregate, `initial` the first model.

    `sealed` rows are letters of bytes, which only the site that each is delivered to can open.
    """

    rows: Array
    sites: Sites
    layers: Layers
    anchor: bool = False
    initial: bool = False
    sealed: bool = False


def rows_of(delivery: Delivery, which: Array) -> Array:
    """The rows at those places (a mask); one row for all stays one row in memory."""
    if len(delivery.rows) and delivery.rows.strides[0] == 0:
        return np.broadcast_to(delivery.rows[0], (int(np.count_nonzero(which)), delivery.rows.shape[1]))
    return delivery.rows[which]


def repeated(row: Array, count: int) -> Array:
    """One row `count` times, read-only and one in memory: `np.broadcast_to`, at a third of its cost."""
    row = np.ascontiguousarray(row)
    rows: Array = np.ndarray((count, len(row)), row.dtype, row, strides=(0, row.itemsize))
    rows.flags.writeable = False
    return rows


class RoundChannel:
    """`held` are the announced rows, `polled` the answers (m,) to a poll; `fetch` and `mean` ask for more."""

    def __init__(
        self,
        round: int,
        facts: Facts,
        pull: Pull | None,
        held: Array | Unwritten | None,
        fetch: Callable[[Sites, Layers], Array],
        polled: Array | None = None,
        mean: Callable[[Sites, Layers, bool], Array] | None = None,
    ) -> None:
        self.sites, self.round = facts.sites, round
        self._facts, self._fetch, self._polled, self._mean = facts, fetch, polled, mean
        self._known: list[Delivery] = []
        self._sealed = pull is not None and pull.recipients is not None
        self._pushed: list[Delivery] = []
        self._touched = np.zeros(facts.sites, dtype=bool)
        self._unwritten: tuple[Pull, Unwritten] | None = None
        if pull is not None and isinstance(held, Unwritten):
            self._unwritten = pull, held
        elif pull is not None and held is not None:
            self._learn(np.asarray(held), pull)

    def pull(self, sites: Sites = None, layers: Layers = None) -> Array:
        """Rows as they now stand: what the sites sent, overlaid with what was pushed in this round."""
        self._write()
        newest = self._known[-1] if self._known else None
        if newest is not None and newest.layers == layers and same_sites(newest.sites, sites):
            return newest.rows
        who = slice(None) if sites is None else sites
        if not self._touched[who].any():
            rows = self._fetch(sites, layers)
            self._known.insert(0, Delivery(rows, sites, layers))
            self._touched[who] = True
            return rows
        view, covered = self._overlay(sites, layers)
        if not covered.all():
            self._known.insert(0, Delivery(self._fetch(sites, layers), sites, layers))
            self._touched[who] = True
            view, covered = self._overlay(sites, layers)
        view.flags.writeable = False
        return view

    def combined(self, combine: Combine, weights: Array | None = None, layers: Layers = None) -> Array:
        """`combine(pull(layers=layers), weights)`; where that is possible, without writing out rows."""
        if self._unwritten is not None and not self._pushed:
            pull, rows = self._unwritten
            if pull.sites is None and pull.layers == layers:
                return combined(combine, rows, weights)
        return combine(self.pull(layers=layers), weights)

    def push(self, rows: Array, sites: Sites = None, layers: Layers = None, *, anchor: bool = False) -> None:
        """Rows (k, width) for those sites; one row (width,) goes to each of them."""
        width = self._known[0].rows.shape[1] if self._sealed else _width(layers, self._facts)
        count = self.sites if sites is None else len(sites)
        if rows.shape not in ((count, width), (width,)):
            raise BadSetting(f"An exchange pushed rows of shape {rows.shape}; {count} sites need ({count}, {width}).")
        view = repeated(rows, count) if rows.ndim == 1 else np.broadcast_to(rows, (count, width))
        delivery = Delivery(view, sites, layers, anchor, sealed=self._sealed)
        self._pushed.append(delivery)
        self._known.append(delivery)
        self._touched[slice(None) if sites is None else sites] = True

    def poll(self) -> Array:
        """The answers to the announced poll. Raises `BadSetting` when none was announced."""
        if self._polled is None:
            raise BadSetting("An exchange asked for the answers to a poll that its pulls(...) did not announce.")
        return self._polled

    def secure_mean(self, sites: Sites = None, layers: Layers = None, *, weighted: bool = False) -> Array:
        """The mean of those sites' rows as their masks let it be seen; raises `BadSetting` where none can be asked."""
        if self._mean is None:
            raise BadSetting("This channel has no sites behind it that could be asked for a secure sum.")
        return self._mean(sites, layers, weighted)

    def delivery(self) -> Delivery | None:
        """All that was pushed, as one delivery; None when nothing was."""
        if not self._pushed:
            return None
        last = self._pushed[-1]
        if all(p.layers == last.layers and same_sites(p.sites, last.sites) for p in self._pushed):
            return last
        everyone = any(p.sites is None for p in self._pushed)
        sites = None if everyone else np.unique(np.concatenate([p.sites for p in self._pushed if p.sites is not None]))
        names = {n for p in self._pushed for n in (p.layers or self._facts.layers)}
        layers = None if len(names) == len(self._facts.layers) else tuple(n for n in self._facts.layers if n in names)
        return Delivery(self.pull(sites, layers), sites, layers, any(p.anchor for p in self._pushed))

    def _learn(self, held: Array, pull: Pull) -> None:
        """What was announced lies below all that came later."""
        self._known.insert(0, Delivery(held, pull.sites, pull.layers))
        self._touched[slice(None) if pull.sites is None else pull.sites] = True

    def _write(self) -> None:
        """Somebody looks."""
        if self._unwritten is not None:
            pull, rows = self._unwritten
            self._unwritten = None
            self._learn(np.asarray(rows), pull)

    def _overlay(self, sites: Sites, layers: Layers) -> tuple[Array, Array]:
        """The wanted rectangle filled from all that is known, oldest first, and which cells were filled."""
        facts = self._facts
        dtype = self._known[0].rows.dtype if self._known else np.dtype(np.float32)
        whole = np.zeros((self.sites, facts.width), dtype=dtype)
        filled = np.zeros(whole.shape, dtype=bool)
        for known in self._known:
            where = _grid(known.sites, columns_of(known.layers, facts), self.sites, facts.width)
            whole[where], filled[where] = known.rows, True
        where = _grid(sites, columns_of(layers, facts), self.sites, facts.width)
        return whole[where], filled[where]


def _grid(sites: Sites, columns: Any, count: int, total: int) -> Any:
    return np.ix_(np.arange(count) if sites is None else sites, np.arange(total)[columns])


def _width(layers: Layers, facts: Facts) -> int:
    return facts.width if layers is None else sum(s.stop - s.start for n, s in facts.layers.items() if n in layers)


def same_sites(a: Sites, b: Sites) -> bool:
    """Whether both name the same sites in the same order."""
    return a is b or (a is not None and b is not None and np.array_equal(a, b))
