"""The methods by name: one row a method, and nothing else in the discovery branches on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf

import numpy as np

from unpooled.causal.combined import combined as compared
from unpooled.causal.discovery.agreement import Agreed
from unpooled.causal.discovery.pooling import one_table
from unpooled.causal.discovery.settings import Settings
from unpooled.causal.graphs.pdag import PDAG
from unpooled.causal.local_search import search_at
from unpooled.causal.orion import orion as global_and_local
from unpooled.causal.peri import Noise
from unpooled.causal.peri import peri as regrets_only
from unpooled.causal.scores.announced import Announced
from unpooled.sites.federation import Federation
from unpooled.sites.payload import Array


@dataclass(frozen=True)
class Target:
    """The mechanism of `variable` is another one at `site`: how (`type`), and how sure that is, in the score's unit."""

    site: str
    variable: str
    type: str
    confidence: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What a method found: the graph, the score of its members in `unit`, and what only some methods tell.

    `partitions` groups sites for each variable by equal mechanisms. `gains` by site, in the order of the graph's
    edges, are None where sites have yet to be asked. `notes` are sentences for the reader.
    """

    graph: PDAG
    score: float
    unit: str
    targets: tuple[Target, ...] = ()
    partitions: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    gains: Mapping[str, Array] | None = None
    notes: tuple[str, ...] = ()


Method = Callable[[Federation, Agreed, str, Settings], Outcome]


def ges(federation: Federation, agreed: Agreed, score: str, settings: Settings) -> Outcome:
    """Greedy equivalence search over one table: that of the only site, or all rows pooled."""
    table, name = one_table(federation, agreed, settings)
    found = search_at(table, name, score, settings.background)
    return Outcome(PDAG(found.adjacency, agreed.names), found.score, found.unit)


def globe(federation: Federation, agreed: Agreed, score: str, settings: Settings) -> Outcome:
    """A directed graph over one table by the shortest description."""
    table, name = one_table(federation, agreed, settings)
    found = search_at(table, name, score, settings.background)
    gains = None if found.gains is None else {name: found.gains}
    note = "Every edge of GLOBE has a direction, whether the data say much about it or not."
    return Outcome(PDAG(found.adjacency, agreed.names), found.score, found.unit, gains=gains, notes=(note,))


def orion(federation: Federation, agreed: Agreed, score: str, settings: Settings) -> Outcome:
    """A directed graph for all sites, and the edges that are missing at each of them."""
    found = global_and_local(federation, score="bic" if score == "bic" else "mdl", background=settings.background)
    graph = PDAG(found.graph.adjacency, agreed.names)
    gains = {
        site: np.array([found.gains[a, b][place] for a, _, b in graph.edges()], np.float64)
        for place, site in enumerate(found.local)
    }
    targets = tuple(
        Target(t.environment, t.variable, f"{t.kind}: without {', '.join(t.missing)}") for t in found.targets
    )
    return Outcome(graph, found.score, found.unit, targets=targets, gains=gains)


def combined(federation: Federation, agreed: Agreed, score: str, settings: Settings) -> Outcome:
    """One graph, directions by what stays the same, and which mechanism differs where."""
    found = compared(federation, settings.level, settings.reference, background=settings.background)
    graph = PDAG(found.graph.adjacency, agreed.names)
    gains = {
        site: np.array([_gain_at(found.gains, (a, b), site) for a, _, b in graph.edges()], np.float64)
        for site in federation.names
        if site not in found.absent
    }
    notes = [f"Site '{site}' stopped answering, and nothing it said counts." for site in found.absent]
    if found.cannot_tell:
        notes.append(
            f"Whether mechanisms differ cannot be told of {', '.join(found.cannot_tell)}: see the warnings of level "
            f"{found.level} in docs/combined.md."
        )
    return Outcome(
        graph,
        -found.score,
        found.unit,
        targets=tuple(Target(t.site, t.variable, t.type, t.confidence) for t in found.target_list),
        partitions={name: partition.groups for name, partition in found.partitions.items()},
        gains=gains,
        notes=(*found.warnings, *notes),
    )


def _gain_at(gains: Mapping[tuple[str, str], Mapping[str, float]], edge: tuple[str, str], site: str) -> float:
    """The edge's gain in the direction that the method took for it."""
    own = gains.get(edge) or gains[edge[::-1]]
    return own.get(site, np.nan)


def peri(federation: Federation, agreed: Agreed, score: str, settings: Settings) -> Outcome:
    """One class for all sites, from regrets alone."""
    noise = None
    if settings.noise is not None:
        noise = Noise(scale=settings.noise, clip=settings.clip)
    found = regrets_only(
        federation,
        Announced(name=score),
        settings.aggregate,
        rounds=settings.rounds,
        search=settings.search,
        participation=settings.participation,
        background=settings.background,
        noise=noise,
        secure=settings.secure,
        seed=settings.seed,
    )
    notes = [f"Site '{site}' stopped answering, and nothing it said later counts." for site in found.absent]
    if found.epsilon is not None and found.epsilon != inf:
        notes.append(f"The noise of all values told amounts to epsilon {found.epsilon:.4g}.")
    elif noise is not None:
        notes.append("The values were noised without a bound (clip), so no epsilon follows from the noise.")
    return Outcome(found.graph, found.score, found.unit, notes=tuple(notes))


METHODS: dict[str, Method] = {"peri": peri, "orion": orion, "combined": combined, "ges": ges, "globe": globe}
TELL_TARGETS = frozenset({"orion", "combined"})
"""The methods that compare mechanisms across sites."""
