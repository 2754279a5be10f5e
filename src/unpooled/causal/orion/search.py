"""ORION: one graph for many environments, and which variables were intervened on in each.

Mian, Kamp and Vreeken, "Information-Theoretic Causal Discovery and Intervention Detection over Multiple Environments",
AAAI 2023, after the authors' released code. One global DAG; in each environment a variable has all of its global
parents, some (a soft intervention) or none (a hard one). Each environment fits functions of its own; nothing is pooled.
Names: delta(x -> y) is the change of the whole length in bits when x becomes a parent of y, at most 0; phi = delta(x ->
y) - delta(y -> x).

Where we leave the released code, and `as_released` does not: the change of S3 is the difference of what S3 is (the code
uses another formula), edges are deleted where that pays (the code's deletion calls a method that does not exist, so
`as_released` deletes none), and lengths are as in `scores.spline_mdl`. Sums over environments are correctly rounded, so
that they do not depend on who adds them up, or in what order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import fsum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unpooled.causal.graphs.background import Background
from unpooled.causal.graphs.pdag import PDAG, topological_order
from unpooled.causal.orion.codes import parents_bits, released_targets_change, targets_change
from unpooled.causal.orion.environments import EdgeTest, Environments, Parents
from unpooled.causal.search.found import NOTHING
from unpooled.errors import not_negative, positive

NEEDED = 10.0
"""Bits that one direction has to save more than the other, about a chance of 0.001 for noise."""
ROUNDS = 1000
"""Forward and backward searches of "Orion++", at most."""
Edge = tuple[int, int]


@dataclass(frozen=True)
class Target:
    """A variable that lacks `missing` parents in an environment: "hard" if these are all that it has, else "soft"."""

    environment: str
    variable: str
    kind: Literal["hard", "soft"]
    missing: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Orion:
    """The global DAG, the bits it saves against the graph without edges, each environment's sub-DAG and its targets.

    `gains[a, b]` are the bits that the edge saved in each environment (in the order of `local`) when it was accepted; 0
    where the environment voted against it.
    """

    graph: PDAG
    score: float
    unit: str
    local: Mapping[str, PDAG]
    targets: tuple[Target, ...]
    gains: Mapping[tuple[str, str], tuple[float, ...]]


def search(
    environments: Environments,
    *,
    needed: float = NEEDED,
    rounds: int = ROUNDS,
    as_released: bool = False,
    background: Background = NOTHING,
) -> Orion:
    """The graph that ORION finds; `rounds` = 1 is the single pass, more are "Orion++", until nothing changes.

    Arrows that the `background` requires are there from the beginning, in every environment that votes for them; what
    it forbids saves nothing, so that the other direction has to win against 0.
    """
    not_negative(needed=needed)
    positive(rounds=rounds)
    state = _Search(environments, needed, as_released, background)
    state.begin()
    for _ in range(rounds):
        added = state.forward()
        dropped = False if as_released else state.backward()
        if not (added or dropped):
            break
    return state.result()


class _Search:
    """`network` is the global graph, `local[k][y]` the parents of y in environment k in the order of acceptance."""

    def __init__(self, environments: Environments, needed: float, as_released: bool, background: Background) -> None:
        self.required, self.forbidden = background.matrices(environments.variables)
        self.environments, self.needed, self.as_released = environments, needed, as_released
        self.m, self.k = len(environments.variables), len(environments.names)
        self.network = np.zeros((self.m, self.m), bool)
        self.local: list[dict[int, Parents]] = [{} for _ in range(self.k)]
        self.known: dict[tuple[EdgeTest, tuple[Parents, ...]], NDArray[np.float64]] = {}
        self.changes: list[float] = []
        self.gained: dict[Edge, tuple[float, ...]] = {}

    # What an edge changes

    def ask(self, tests: Iterable[EdgeTest]) -> None:
        """Have the gains of all tests; each is asked once for the same local parents."""
        new = [test for test in dict.fromkeys(tests) if self.asked(test) not in self.known]
        if new:
            answers = self.environments.gains(new, self.local)
            self.known.update((self.asked(test), answers[:, i]) for i, test in enumerate(new))

    def asked(self, test: EdgeTest) -> tuple[EdgeTest, tuple[Parents, ...]]:
        return test, tuple(local.get(test.y, ()) for local in self.local)

    def delta(self, test: EdgeTest) -> float:
        """S2 + S3 + S4 + S5 after minus before, at most 0; 0 for a new edge that no environment votes for."""
        gains = self.known[self.asked(test)]
        if not test.dropped and (self.forbidden[test.x, test.y] or not (gains > 0).any()):
            return 0.0
        p = int(self.network[:, test.y].sum())
        after = p - 1 if test.dropped else p + 1
        coded = parents_bits(self.m, after, released=self.as_released) - parents_bits(
            self.m, p, released=self.as_released
        )
        change = released_targets_change if self.as_released else targets_change
        targets = [
            change(
                self.m, len(self.targets(k)), (p, c := self.missing(k, test.y)), (after, c + self.turns(k, test, gains))
            )
            for k in range(self.k)
        ]
        return min(0.0, fsum([coded, *targets, *(-gains).tolist()]))

    def turns(self, k: int, test: EdgeTest, gains: NDArray[np.float64]) -> int:
        """By how much the parents that y lacks in environment k change."""
        if test.dropped:
            return -int(test.x not in self.local[k].get(test.y, ()))
        return int(gains[k] <= 0)

    def missing(self, k: int, y: int) -> int:
        """How many global parents of y environment k lacks."""
        return int(self.network[:, y].sum()) - len(self.local[k].get(y, ()))

    def targets(self, k: int) -> list[int]:
        """I_k."""
        return [y for y in range(self.m) if self.missing(k, y)]

    # Searching

    def begin(self) -> None:
        """Accept what is required, parents before their children."""
        for y in topological_order(self.required) or ():
            for x in np.flatnonzero(self.required[:, y]).tolist():
                self.ask([EdgeTest(x, y)])
                self.accept(EdgeTest(x, y))

    def forward(self) -> bool:
        """Add the pair with the most negative phi while it is at most -`needed`; whether any was added."""
        phi: dict[Edge, float] = {}
        self.rank([(x, y) for x in range(self.m) for y in range(x + 1, self.m) if not self.adjacent(x, y)], phi)
        added = False
        while phi:
            x, y = min(phi, key=lambda edge: (phi[edge], edge))
            if phi.pop((x, y)) > -self.needed:
                break
            if self.cyclic(x, y):
                continue
            self.accept(EdgeTest(x, y))
            phi.pop((y, x), None)
            added = True
            self.rank([(p, y) for p in range(self.m) if p != y and not self.adjacent(p, y)], phi)
        return added

    def rank(self, pairs: list[Edge], phi: dict[Edge, float]) -> None:
        """phi of both directions."""
        self.ask(test for x, y in pairs for test in (EdgeTest(x, y), EdgeTest(y, x)))
        for x, y in pairs:
            phi[x, y] = self.delta(EdgeTest(x, y)) - self.delta(EdgeTest(y, x))
            phi[y, x] = -phi[x, y]

    def accept(self, test: EdgeTest) -> None:
        """The edge goes into the global graph, and into the local graphs that voted for it."""
        gains = self.known[self.asked(test)]
        self.changes.append(self.delta(test))
        self.gained[test.x, test.y] = tuple(gains.tolist())
        self.network[test.x, test.y] = True
        for k in np.flatnonzero(gains > 0):
            self.local[k][test.y] = (*self.local[k].get(test.y, ()), test.x)

    def backward(self) -> bool:
        """Drop the edge without which the length falls most, everywhere, while by at least `needed`."""
        dropped = False
        while True:
            tests = [EdgeTest(int(x), int(y), dropped=True) for x, y in np.argwhere(self.network & ~self.required)]
            self.ask(tests)
            changes = {test: self.delta(test) for test in tests}
            best = min(tests, key=lambda test: (changes[test], test.x, test.y), default=None)
            if best is None or changes[best] > -self.needed:
                return dropped
            self.changes.append(changes[best])
            del self.gained[best.x, best.y]
            self.network[best.x, best.y] = False
            for local in self.local:
                local[best.y] = tuple(p for p in local.get(best.y, ()) if p != best.x)
            dropped = True

    def adjacent(self, a: int, b: int) -> bool:
        return bool(self.network[a, b] or self.network[b, a])

    def cyclic(self, x: int, y: int) -> bool:
        arrows = self.network.copy()
        arrows[x, y] = True
        return topological_order(arrows) is None

    def result(self) -> Orion:
        """With names."""
        names = self.environments.variables
        local, targets = {}, []
        for k, environment in enumerate(self.environments.names):
            arrows = np.zeros_like(self.network)
            for y, parents in self.local[k].items():
                arrows[list(parents), y] = True
            local[environment] = PDAG(arrows, names)
            for y in self.targets(k):
                missing = tuple(names[p] for p in np.flatnonzero(self.network[:, y] & ~arrows[:, y]))
                kind: Literal["hard", "soft"] = "soft" if arrows[:, y].any() else "hard"
                targets.append(Target(environment, names[y], kind, missing))
        return Orion(
            graph=PDAG(self.network, names),
            score=-fsum(self.changes),
            unit="bits",
            local=local,
            targets=tuple(targets),
            gains={(names[x], names[y]): gains for (x, y), gains in self.gained.items()},
        )
