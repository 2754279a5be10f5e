"""PERI and ORION combined: one graph for sites whose mechanisms differ, and which mechanism differs where.

The combination that the two papers' group announced and did not publish, as derived in spec 3. The steps, in order:
skeleton and class from the sum of the sites' gains; votes of the sites on each edge; groups of sites for each variable;
orientation by invariance; intervention targets with type. What is asked of sites for the last three depends on `level`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import log

import numpy as np
import pandas as pd

from unpooled.causal.combined.asking import Gone, Part
from unpooled.causal.combined.cuts import Floats, Pair, edges_that_pay, votes
from unpooled.causal.combined.disclosure import LEVELS, Opened, open_level, told, told_since
from unpooled.causal.combined.grouping import Grouping, Known, Merge, checked
from unpooled.causal.combined.invariance import Invariance
from unpooled.causal.combined.orientation import Oriented, orient_by_invariance
from unpooled.causal.combined.result import Combined, Target, VariablePartition
from unpooled.causal.combined.targets import TOO_MANY, confidence, separated, targets_of, tells, voted_targets
from unpooled.causal.graphs.background import Background, orient
from unpooled.causal.graphs.completion import class_of, consistent_extension
from unpooled.causal.graphs.pdag import PDAG
from unpooled.causal.search.found import NOTHING
from unpooled.errors import BadSetting, SiteFailed, did_you_mean
from unpooled.sites.federation import Federation


def combined(
    federation: Federation,
    level: str = "C",
    reference: str | None = None,
    *,
    alpha: float = 0.05,
    merge: Merge = "bic",
    within_class: bool = False,
    background: Background = NOTHING,
    drop: Iterable[str] = (),
) -> Combined:
    """One causal graph for sites that need not share their mechanisms, and which mechanism differs where.

    `level` says what sites tell for the grouping (docs/combined.md): "A" nothing beyond gains of edges, "B" regrets in
    each other's sealed parameters, "C" sums of moments under masks, "D" their moments, "E" sums of gradients under
    masks. `reference` is the site that nobody intervened on; without it the largest group stands for that. An arrow
    that costs less than log(1 / `alpha`) nats to turn is a line. `merge` is "bic", or the level of the test that keeps
    two groups apart. `within_class` keeps to the class that the sum of gains supports. Every graph on the way
    agrees with the `background`. Columns in `drop` are left out.

    Linear-Gaussian, columns of numbers in units that all sites share. Raises `BadSetting` for an unknown level or
    reference, `BadData` for columns that differ or are no numbers, and `Refused`, naming site and level, where a policy
    does not allow what the level asks.
    """
    if level not in LEVELS:
        raise BadSetting(f"level is one of {', '.join(LEVELS)}, got {level!r}.")
    if not 0.0 < alpha < 1.0:
        raise BadSetting(f"alpha must lie between 0 and 1, got {alpha!r}.")
    if reference is not None and reference not in federation.names:
        hint = did_you_mean(reference, federation.names)
        raise BadSetting(f"reference names {reference!r}, which is no site.{hint}")
    if len(federation.names) < 2:
        raise BadSetting("Sites are compared with each other: two at least are needed, got one. Use method 'ges'.")
    checked(merge)
    how = _How(level, reference, alpha, merge, within_class, background, tuple(drop), told(federation))
    absent: tuple[str, ...] = ()
    while True:
        names = [name for name in federation.names if name not in absent]
        try:
            if len(names) < 2 or (reference is not None and reference in absent):
                raise SiteFailed(f"Sites {', '.join(absent)} are absent, and the others are not enough: try again.")
            return _run(Part(federation, names) if absent else federation, how, absent)
        except Gone as gone:
            absent = (*absent, *gone.names)


@dataclass(frozen=True)
class _How:
    """The settings of a call, and what had been told before it."""

    level: str
    reference: str | None
    alpha: float
    merge: Merge
    within_class: bool
    background: Background
    drop: tuple[str, ...]
    before: pd.DataFrame


def _run(federation: Federation, how: _How, absent: tuple[str, ...]) -> Combined:
    """All steps over sites that have to stay to the end; raises `Gone` where one does not."""
    opened = open_level(federation, how.level, how.drop, how.background)
    required, _ = how.background.matrices(opened.graph.names)
    start = edges_that_pay(opened.scores, consistent_extension(opened.graph), len(opened.sites), required)
    if opened.groups is None:
        return replace(
            _from_votes(opened, start, how.background), disclosed=told_since(federation, how.before), absent=absent
        )
    costs = Invariance(Known(opened.groups), opened.scores, how.merge)
    oriented = orient_by_invariance(costs, start, background=how.background, within_class=how.within_class)
    names, sites = start.names, opened.sites
    place = None if how.reference is None else sites.index(how.reference)
    groupings = {pair: costs.grouping(pair) for pair in ((n, oriented.dag.parents(n)) for n in range(len(names)))}
    gains = votes(opened.scores, oriented.dag.adjacency)
    undecided, warnings = _undecided(groupings, len(sites), place, names)
    found = tuple(
        Target(sites[site], names[pair[0]], kind, confidence(gain), gain)
        for pair, grouping in groupings.items()
        if names[pair[0]] not in undecided
        for site, kind, gain in targets_of(costs.known, pair, grouping, gains, place, costs.merge)
    )
    return Combined(
        graph=orient(class_of(oriented.dag), how.background)
        if len(undecided) == len(names)
        else oriented.decided(log(1 / how.alpha)),
        dag=oriented.dag,
        score=oriented.cost,
        unit="nats",
        level=how.level,
        margins={(names[x], names[y]): margin for (x, y), margin in oriented.margins.items()},
        gains=_named_gains(gains, sites, names),
        partitions={names[pair[0]]: _named(grouping, sites) for pair, grouping in groupings.items()},
        target_list=found,
        cannot_tell=undecided,
        disclosed=told_since(federation, how.before),
        warnings=(*warnings, *_partly_seen(oriented)),
        absent=absent,
    )


def _from_votes(opened: Opened, dag: PDAG, background: Background) -> Combined:
    """Level A: the class and the cuts, nothing about mechanisms."""
    gains = votes(opened.scores, dag.adjacency)
    pairs = [(node, dag.parents(node)) for node in range(len(dag.names))]
    opened.scores.fetch(pairs)
    return Combined(
        graph=orient(class_of(dag), background),
        dag=dag,
        score=float(sum(opened.scores.lengths(pair).sum() for pair in pairs)),
        unit="nats",
        level="A",
        margins={},
        gains=_named_gains(gains, opened.sites, dag.names),
        partitions={},
        target_list=tuple(
            Target(opened.sites[site], dag.names[node], kind, confidence(gain), gain)
            for site, node, kind, gain in voted_targets(dag, gains, len(opened.sites))
        ),
        cannot_tell=tuple(dag.names[node] for node, parents in pairs if not parents),
        disclosed=pd.DataFrame(),
        warnings=(
            "Level A sees edges that are cut, and no other change: directions come from the class alone, and a "
            "variable without parents can be no target.",
        ),
    )


def _undecided(
    groupings: Mapping[Pair, Grouping], sites: int, reference: int | None, names: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Variables whose partition tells nothing, and what to say about it."""
    share = float(np.mean([separated(g.groups, sites) for g in groupings.values()]))
    if sites > 2 and share > TOO_MANY:
        return names, (
            f"Nearly every site stands alone at nearly every variable ({share:.0%} of the way from one group to "
            "singletons): who deviates from whom cannot be told, and directions are those of the class. The sites may "
            "differ in something that is not in the table, or in how they measure; larger sites differ the more.",
        )
    told_not = tuple(names[y] for (y, _), g in groupings.items() if not tells(g.groups, sites, reference))
    if not told_not:
        return (), ()
    why = (
        "two sites differ there, and without a reference nobody can say which was changed: name one"
        if sites == 2
        else "nearly every site stands alone there, so who deviates from whom cannot be told"
    )
    return told_not, (f"{', '.join(told_not)}: {why}.",)


def _partly_seen(oriented: Oriented) -> tuple[str, ...]:
    if oriented.whole_class:
        return ()
    return ("The class has more members than were looked at: an arrow may be less sure than its margin says.",)


def _named(grouping: Grouping, sites: tuple[str, ...]) -> VariablePartition:
    return VariablePartition(
        groups=tuple(tuple(sites[k] for k in group) for group in grouping.groups),
        over_together=grouping.together - grouping.cost,
        over_apart=grouping.apart - grouping.cost,
    )


def _named_gains(
    gains: Mapping[tuple[int, int], Floats], sites: tuple[str, ...], names: tuple[str, ...]
) -> Mapping[tuple[str, str], Mapping[str, float]]:
    return {(names[x], names[y]): dict(zip(sites, map(float, gain), strict=True)) for (x, y), gain in gains.items()}
