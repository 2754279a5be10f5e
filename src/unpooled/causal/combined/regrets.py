"""Levels A, B, C and E: class, scores and votes from the regrets of PERI, each value asked for once.

The sum of the sites' gains is PERI's `aggregate="sum"`. What the sites tell for it, L_k(y | S) - L_k(y | S') for single
sets of parents, is what every level discloses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unpooled.causal.combined.asking import Gone
from unpooled.causal.combined.cuts import Floats, Pair
from unpooled.causal.graphs.background import Background, orient
from unpooled.causal.graphs.pdag import PDAG
from unpooled.causal.peri.climb import Climber
from unpooled.causal.peri.method import announce
from unpooled.causal.peri.rules import Sum
from unpooled.causal.peri.values import Key, Values, bits
from unpooled.causal.scores.announced import Announced
from unpooled.sites.federation import Federation

GAUSSIAN = Announced(name="bic")


class FromRegrets:
    """Code lengths by site, asked over the door; raises `Gone` where a site is absent."""

    def __init__(self, federation: Federation, columns: tuple[str, ...]) -> None:
        announce(federation, GAUSSIAN, columns, None, local=False, seed=0)
        self._columns = columns
        self._values = Values(federation, differences=True)

    def search(self, background: Background) -> PDAG:
        """The class that the sum of gains supports, with the directions that follow from what is known."""
        climber = Climber(self._values, Sum(), self._columns, participation=1.0, seed=0, background=background)
        climber.climb()
        self._all_present()
        return orient(climber.graph, background)

    def fetch(self, pairs: Sequence[Pair]) -> None:
        """One batch for what is not known."""
        wanted: dict[Key, Key | None] = {(y, bits(parents)): (y, 0) for y, parents in pairs if parents}
        self._values.ask({key: against for key, against in wanted.items() if self._values.place(key) < 0})
        self._all_present()

    def lengths(self, pair: Pair) -> Floats:
        """L_k(y | S) - L_k(y | nothing) in nats, shape (sites,)."""
        self.fetch([pair])
        return np.array(self._values.rows[self._values.place((pair[0], bits(pair[1])))], np.float64)

    def _all_present(self) -> None:
        if not self._values.present.all():
            raise Gone([n for n, here in zip(self._values.names, self._values.present, strict=True) if not here])
