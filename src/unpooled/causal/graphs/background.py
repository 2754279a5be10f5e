"""What is known before the data: edges that must or must not be, and tiers of time.

Meek, "Causal inference and causal explanation with background knowledge", UAI 1995.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from unpooled.causal.graphs.completion import close, consistent_extension
from unpooled.causal.graphs.pdag import PDAG, Adjacency, topological_order
from unpooled.errors import BadData, BadSetting, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Background:
    """`required` and `forbidden` arrows (from, to), and `tiers`: a number for a name; no arrow into a lower number.

    Names without a tier are free. Raises `BadSetting` where the parts contradict one another.
    """

    required: Sequence[tuple[str, str]] = ()
    forbidden: Sequence[tuple[str, str]] = ()
    tiers: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        clash = set(self.required) & set(self.forbidden)
        if clash:
            raise BadSetting(f"{sorted(clash)[0]} is both required and forbidden: remove one of the two.")
        for a, b in self.required:
            if a in self.tiers and b in self.tiers and self.tiers[a] > self.tiers[b]:
                raise BadSetting(
                    f"{a} -> {b} is required, but {a} has tier {self.tiers[a]} and {b} tier {self.tiers[b]}: "
                    "arrows point to the same tier or a higher one."
                )

    @property
    def empty(self) -> bool:
        """Whether nothing is known."""
        return not (self.required or self.forbidden or self.tiers)

    def matrices(self, names: Sequence[str]) -> tuple[Adjacency, Adjacency]:
        """Required and forbidden arrows as two matrices (m, m); raises `BadSetting` for unknown names or a cycle."""
        index = {name: i for i, name in enumerate(names)}
        for name in {n for pair in (*self.required, *self.forbidden) for n in pair} | set(self.tiers):
            if name not in index:
                raise BadSetting(f"Background knowledge names {name!r}, which is no column.{did_you_mean(name, index)}")
        required, forbidden = (np.zeros((len(names), len(names)), bool) for _ in range(2))
        for pairs, matrix in ((self.required, required), (self.forbidden, forbidden)):
            for a, b in pairs:
                matrix[index[a], index[b]] = True
        for a, tier_a in self.tiers.items():
            for b, tier_b in self.tiers.items():
                forbidden[index[a], index[b]] |= tier_a > tier_b
        if topological_order(required) is None:
            raise BadSetting("The required arrows form a cycle: remove one of them.")
        return required, forbidden


def allows(cpdag: PDAG, background: Background) -> bool:
    """Whether some DAG of the class agrees with what is known; raises `BadSetting` as `Background.matrices`."""
    if background.empty:
        return True
    background.matrices(cpdag.names)
    try:
        orient(cpdag, background)
    except BadData:
        return False
    return True


def orient(cpdag: PDAG, background: Background) -> PDAG:
    """The DAGs of the class that agree with what is known, as one maximally directed PDAG (Meek's rules R1 to R4).

    Raises `BadData` where an arrow of the class is forbidden, a required arrow has no edge or points the other way, or
    no DAG of the class agrees. A line that is forbidden one way becomes an arrow; one that is forbidden both ways is
    refused, as the class has that edge.
    """
    required, forbidden = background.matrices(cpdag.names)
    result, names = cpdag.adjacency.copy(), cpdag.names
    for i, j in zip(*np.nonzero(required), strict=True):
        if not result[i, j]:
            found = "the class has the opposite arrow" if result[j, i] else "the class has no edge between them"
            raise BadData(f"{names[i]} -> {names[j]} is required, but {found}.")
        result[j, i] = False
    for i, j in zip(*np.nonzero(forbidden & result), strict=True):
        if not result[j, i]:
            raise BadData(f"{names[i]} -> {names[j]} is forbidden, but the class or a requirement directs it so.")
        result[i, j] = False
    closed = PDAG(close(result), names)
    try:
        dag = consistent_extension(closed)
    except BadData as error:
        raise BadData("No DAG of the class agrees with all that is known: leave out some of it.") from error
    if _colliders(dag.adjacency, cpdag.skeleton) != _colliders(cpdag.directed, cpdag.skeleton):
        raise BadData("What is known would add a v-structure that the class does not have: leave out some of it.")
    return closed


def _colliders(arrows: Adjacency, skeleton: Adjacency) -> set[tuple[int, int, int]]:
    """All a -> node <- b with a < b not adjacent, neither by an arrow nor by a line."""
    return {
        (int(a), node, int(b))
        for node in range(len(arrows))
        for a in np.flatnonzero(arrows[:, node])
        for b in np.flatnonzero(arrows[:, node])
        if a < b and not skeleton[a, b]
    }
