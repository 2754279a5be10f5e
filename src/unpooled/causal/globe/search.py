"""GLOBE, in the order of its paper: rank edges, forward search with flips, backward search.

Mian, Marx and Vreeken, "Discovering Fully Oriented Causal Networks", AAAI 2021; the steps follow the released code.
Names: delta(x -> y) is what x saves as a further parent of y; Psi = |delta(x -> y) - delta(y -> x)|.

Where we leave the released code, and `as_released` does not: lengths (see `scores.spline_mdl`); a child is turned into
a parent only if that saves more than the child then costs (the code takes the cost for 0), and only where no cycle
could follow. Always: an entry that is out of date is replaced, where the code leaves it in the queue and counts it
among the skips; at most m^2 edges are turned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np
import pandas as pd

from unpooled.causal.graphs.background import Background
from unpooled.causal.graphs.pdag import PDAG, topological_order
from unpooled.causal.scores.spline_mdl import SplineMDL
from unpooled.causal.scores.spline_mdl.score import Entered
from unpooled.causal.search.found import NOTHING
from unpooled.errors import fraction

Edge = tuple[int, int]
"""(from, to)."""


@dataclass(frozen=True, eq=False)
class Globe:
    """A DAG, minus its length in `unit`, in which form each parent entered, and what each edge still saves, in bits."""

    graph: PDAG
    score: float
    unit: str
    forms: Mapping[tuple[str, str], str]
    gains: Mapping[tuple[str, str], float]


def globe(
    table: pd.DataFrame,
    *,
    alpha: float = 1e-3,
    as_released: bool = False,
    background: Background = NOTHING,
    **settings: Any,
) -> Globe:
    """The DAG that GLOBE finds in a table of numbers, one row an observation.

    An edge has to save log2(1 / `alpha`) bits: by the no-hypercompression inequality, noise does so with a chance of at
    most alpha. Every edge gets a direction, whether the data says much about it or not. Arrows that the `background`
    requires are there from the beginning and stay; one that it forbids saves nothing. `settings` are those of
    `SplineMDL`. Costs 9 m (m - 1) regressions and some 9 m for each edge. Raises what `SplineMDL` raises.
    """
    fraction(alpha=alpha)
    search = _Search(SplineMDL(table, released=as_released, **settings), log2(1 / alpha), as_released, background)
    search.begin()
    search.rank()
    search.forward()
    search.backward()
    return search.result()


class _Search:
    """`entered[y]` are y's parents with their forms, `bits[y]` its length, `delta` and `key` hold the candidates."""

    def __init__(self, score: SplineMDL, needed: float, as_released: bool, background: Background) -> None:
        self.required, self.forbidden = background.matrices(score.names)
        self.score, self.needed, self.as_released = score, needed, as_released
        self.m = len(score.names)
        self.entered: list[Entered] = [()] * self.m
        self.bits = [score.length(y, ()).total for y in range(self.m)]
        self.delta: dict[Edge, float] = {}
        self.key: dict[Edge, float] = {}
        self.flips = 0

    def begin(self) -> None:
        """Add what is required."""
        for x, y in np.argwhere(self.required).tolist():
            self.add(x, y)

    # 1. Ranking

    def rank(self) -> None:
        """delta of all ordered pairs; the better direction is queued with -Psi, the other with +Psi, never taken."""
        for x in range(self.m):
            for y in range(self.m):
                if x != y and not self.adjacent(x, y):
                    self.delta[x, y] = self.saved(x, y)
        for x in range(self.m):
            for y in range(x):
                if not self.adjacent(x, y):
                    self.queue(x, y)

    def saved(self, x: int, y: int) -> float:
        """delta(x -> y): bits that x saves as a further parent of y, at least 0; 0 where that is forbidden."""
        if self.forbidden[x, y]:
            return 0.0
        return max(0.0, self.bits[y] - self.score.best_form(y, self.entered[y], x)[0].total)

    def queue(self, x: int, y: int) -> None:
        """Put both directions of a pair into the queue; a tie goes to y -> x, as in the released code."""
        psi = abs(self.delta[x, y] - self.delta[y, x])
        first = self.delta[x, y] > self.delta[y, x]
        self.key[x, y], self.key[y, x] = (-psi, psi) if first else (psi, -psi)

    # 2. Forward search

    def forward(self) -> None:
        """Add the best edge, re-score its child's other candidates, turn edges where that saves more."""
        skips, most = 0, max(20.0, 0.01 * self.m * (self.m - 1) / 2)
        while self.key and skips <= most:
            (x, y), key = min(self.key.items(), key=lambda item: (item[1], item[0]))
            if key > 0:
                break
            del self.key[x, y]
            if self.delta[x, y] < self.needed or self.cyclic(x, y):
                skips += 1
                continue
            skips = 0
            self.key.pop((y, x), None)
            self.add(x, y)
            for p in range(self.m):
                if p != y and not self.adjacent(p, y):
                    self.delta[p, y] = self.saved(p, y)
                    self.queue(p, y)
            for child in self.children(y):
                self.flip(y, child)

    def add(self, x: int, y: int) -> None:
        """x becomes a parent of y, in the form that is shortest now."""
        length, self.entered[y] = self.score.best_form(y, self.entered[y], x)
        self.bits[y] = length.total

    def flip(self, y: int, child: int) -> None:
        """Take y -> child out, and both directions into the queue, where child as a parent of y saves more bits."""
        gain = self.saved(child, y)
        cost = self.without(child, y) - self.bits[child]
        net = gain - (min(cost, 0.0) if self.as_released else cost)
        if gain <= 0.0 or net <= 0.0 or self.required[y, child] or self.flips >= self.m * self.m:
            return
        if not self.as_released and self.cyclic(child, y, without=(y, child)):
            return
        self.flips += 1
        self.remove(y, child)
        self.delta[child, y], self.delta[y, child] = gain, max(0.0, cost)
        self.queue(child, y)
        for p in range(self.m):
            if p not in (child, y) and not self.adjacent(p, child):
                self.delta[p, child] = self.saved(p, child)
                self.queue(p, child)

    # 3. Backward search

    def backward(self) -> None:
        """Drop, node by node, the parent without which the length is least, while that shortens it."""
        for y in range(self.m):
            while free := [p for p, _ in self.entered[y] if not self.required[p, y]]:
                shortest, parent = min((self.without(y, p), p) for p in free)
                if shortest >= self.bits[y]:
                    break
                self.remove(parent, y)

    # What the steps share

    def without(self, y: int, parent: int) -> float:
        """The length of y without one of its parents; the others keep their forms."""
        return self.score.length(y, tuple(e for e in self.entered[y] if e[0] != parent)).total

    def remove(self, x: int, y: int) -> None:
        """x is no parent of y any more."""
        self.bits[y] = self.without(y, x)
        self.entered[y] = tuple(e for e in self.entered[y] if e[0] != x)

    def children(self, x: int) -> list[int]:
        return [y for y in range(self.m) if any(p == x for p, _ in self.entered[y])]

    def adjacent(self, a: int, b: int) -> bool:
        return any(p == a for p, _ in self.entered[b]) or any(p == b for p, _ in self.entered[a])

    def cyclic(self, x: int, y: int, without: Edge | None = None) -> bool:
        """Whether x -> y would close a cycle (with `without` taken out first)."""
        arrows = self.arrows()
        if without is not None:
            arrows[without] = False
        arrows[x, y] = True
        return topological_order(arrows) is None

    def arrows(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        matrix = np.zeros((self.m, self.m), bool)
        for y, parents in enumerate(self.entered):
            for p, _ in parents:
                matrix[p, y] = True
        return matrix

    def result(self) -> Globe:
        """The graph with names."""
        names = self.score.names
        edges = [(p, y, form) for y, parents in enumerate(self.entered) for p, form in parents]
        return Globe(
            graph=PDAG(self.arrows(), names),
            score=-sum(self.bits),
            unit=self.score.unit,
            forms={(names[p], names[y]): form for p, y, form in edges},
            gains={(names[p], names[y]): self.without(y, p) - self.bits[y] for p, y, _ in edges},
        )
