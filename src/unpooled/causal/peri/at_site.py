"""A site's part of PERI: the score of its own table, its own graph, and an account of every value it has told."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from unpooled.causal.graphs import PDAG, consistent_extension
from unpooled.causal.peri.noise import Noise, noise_for
from unpooled.causal.peri.questions import BASELINE, MASKS, Announce, Ready, Regrets, Told
from unpooled.causal.peri.together import Floats, Ints, local_scores
from unpooled.causal.scores.announced import Announced
from unpooled.causal.scores.base import LocalScore
from unpooled.causal.scores.gaussian import Gaussian
from unpooled.causal.search import delete_first, ges
from unpooled.causal.variables import LEVELS
from unpooled.errors import BadSetting, Refused, SiteFailed
from unpooled.seeds import Streams
from unpooled.sites import containers
from unpooled.sites.keeping import asked_again, saved
from unpooled.sites.questions import handles
from unpooled.sites.site import Site
from unpooled.sites.statistics import table_of

STATE = "regrets"
UNFIT = 1e7
"""What a parent set costs that fits any rows, whose score is minus infinity: a number, so that it can be summed."""
Key = tuple[int, ...]
"""Mask, node, parents ascending: a value."""


@dataclass(eq=False)
class Desk:
    """What a site has at hand in its session of this `number`; `told` are the values that have left in it, which it
    does not tell again. `before` is the epsilon that was spent before."""

    question: Announce
    score: LocalScore
    noise: Noise | None
    secret: Streams
    number: int
    before: float
    told: set[Key] = field(default_factory=set)

    @cached_property
    def own_class(self) -> PDAG:
        """The class that the site learns by itself; it never leaves."""
        if isinstance(self.score, Gaussian):
            return delete_first(self.score).graph
        return ges(self.score, phases=("insert", "delete")).graph

    @cached_property
    def baseline(self) -> list[tuple[int, ...]]:
        """Each node's parents in one graph of that class."""
        dag = consistent_extension(self.own_class)
        return [dag.parents(node) for node in range(len(dag.names))]


def table_for(site: Site, columns: tuple[str, ...], announced: Announced) -> pd.DataFrame:
    """The named columns of the site's table, as numbers or as texts; for a score of both, as the sites agreed on, or
    else as what they hold."""
    table = table_of(site)
    agreed: dict[str, tuple[str, ...]] = site.state.get(LEVELS, {})

    def numeric(name: str) -> bool:
        if announced.of_numbers or announced.of_categories:
            return announced.of_numbers
        return not agreed[name] if name in agreed else table.type_of(name) in ("integer", "number")

    cells = {name: table.numbers(name) if numeric(name) else table.texts(name) for name in columns}
    return pd.DataFrame(cells, columns=list(columns))


@handles(Announce)
def announce(site: Site, question: Announce) -> Ready:
    """Build the score, and the site's own graph where it is needed: once, here. What noise there is will be new."""
    number = site.state[STATE].number + 1 if STATE in site.state else 0
    noise = noise_of(question)
    if site.policy.limits.epsilon is not None and (noise is None or noise.clip is None):
        raise Refused(
            "its policy has a privacy budget, and these values have no noise or no bound: set noise with clip."
        )
    if question.missing not in ("refuse", "drop"):
        raise BadSetting(f"missing must be 'refuse' or 'drop', got {question.missing!r}.")
    announced = Announced(
        name=question.score,
        weight=question.weight,
        equivalent=question.equivalent,
        standardise=question.standardise,
        missing="drop" if question.missing == "drop" else "refuse",
    )
    score = announced.build(table_for(site, question.columns, announced))
    secret = site.state.get("noise", Streams(question.seed))
    desk = site.state[STATE] = Desk(question, score, noise, secret, number, site.spent)
    if question.local:
        _ = desk.baseline
    return Ready(unit=score.unit)


@handles(Regrets)
def regrets(site: Site, question: Regrets) -> Told:
    """The values, each for the first and last time."""
    return Told(values=values_of(site, question))


def values_of(site: Site, question: Regrets, parties: int = 1) -> Floats:
    """Shape (q,): what leaves, clipped and noised; `parties` is how many sites add their share of the noise."""
    desk = desk_of(site)
    asked = _Asked.of(question, len(desk.score.names))
    keys = asked.keys()
    repeated = desk.told.intersection(keys)
    if repeated or len(set(keys)) < len(keys):
        raise Refused("it was asked twice for one value: a value leaves once, and the coordinator has to keep it.")
    values = asked.values(desk)
    if desk.noise is not None:
        spent = desk.before + desk.noise.epsilon(len(desk.told) + len(keys))
        if desk.noise.budget is not None and spent > desk.noise.budget:
            raise Refused(
                f"it has told {len(desk.told)} values, and {len(keys)} more would spend epsilon {spent:.4g} of a "
                f"budget of {desk.noise.budget:g}: add more noise, or search fewer columns."
            )
        stream = noise_for(desk.secret, site.name, desk.number, len(desk.told))
        values = desk.noise.clipped(values) + desk.noise.share(stream, len(values), parties)
        site.spent = spent
    desk.told.update(keys)
    return values


def desk_of(site: Site) -> Desk:
    """What `announce` made; raises `SiteFailed` before that."""
    desk = site.state.get(STATE)
    if not isinstance(desk, Desk):
        raise SiteFailed("it was asked for regrets before a score was announced.")
    return desk


def noise_of(question: Announce) -> Noise | None:
    """The noise that was announced."""
    if not question.noise:
        return None
    return Noise(
        kind="gaussian" if question.noise == "gaussian" else "laplace",
        scale=question.scale,
        clip=question.clip,
        delta=question.delta,
        budget=question.budget,
    )


@dataclass(frozen=True)
class _Asked:
    """A question whose arrays fit each other and the columns; raises `BadSetting` otherwise."""

    nodes: list[int]
    sets: list[tuple[int, ...]]
    against: list[tuple[int, ...] | None]
    mask: str

    @classmethod
    def of(cls, question: Regrets, columns: int) -> _Asked:
        nodes = [int(n) for n in question.nodes.ravel()]
        sets = _unpacked(question.sizes, question.parents)
        against = _unpacked(question.from_sizes, question.from_parents)
        if not len(nodes) == len(sets) == len(against) or question.mask not in MASKS:
            raise BadSetting("a batch of regrets needs one node, one parent set and one set to measure against each.")
        every = [(node, *(found or ())) for node, found in zip(nodes, sets, strict=True)]
        every += [(node, *(other or ())) for node, other in zip(nodes, against, strict=True)]
        if any(len(set(e)) < len(e) or not all(0 <= n < columns for n in e) for e in every):
            raise BadSetting(f"a node of a batch is no column of {columns}, or is its own parent, or is named twice.")
        return cls(nodes, [s or () for s in sets], against, question.mask)

    def keys(self) -> list[Key]:
        mask = MASKS.index(self.mask)
        return [(mask, node, *sorted(found)) for node, found in zip(self.nodes, self.sets, strict=True)]

    def values(self, desk: Desk) -> Floats:
        sets, against = self.sets, self.against
        if (self.mask != "none" or None in against) and not desk.question.local:
            raise SiteFailed("it was told to learn no graph of its own, against which this could be measured.")
        if self.mask == "local":  # lines count as parents at both ends, as in I-PERI's released code
            into = [set(np.flatnonzero(column)) for column in desk.own_class.adjacency.T]
            sets = [tuple(p for p in s if p in into[n]) for n, s in zip(self.nodes, sets, strict=True)]
            measured = [tuple(sorted(int(p) for p in into[n])) for n in self.nodes]
        elif self.mask == "orientation":
            measured = [desk.own_class.parents(n) for n in self.nodes]
            sets = [tuple(p for p in own if p not in s) for own, s in zip(measured, sets, strict=True)]
        else:
            measured = [desk.baseline[n] if a is None else a for n, a in zip(self.nodes, against, strict=True)]
        wanted = _scores(desk.score, self.nodes, sets)
        found = _scores(desk.score, self.nodes, measured) - wanted
        return np.where(np.isneginf(wanted), UNFIT, found)


def _scores(score: LocalScore, nodes: list[int], sets: list[tuple[int, ...]]) -> Floats:
    sizes: Ints = np.array([len(s) for s in sets], np.int32)
    members: Ints = np.array([p for s in sets for p in sorted(s)], np.int32)
    return local_scores(score, np.array(nodes, np.int32), sizes, members)


def _unpacked(sizes: np.ndarray, members: np.ndarray) -> list[tuple[int, ...] | None]:
    if sizes.dtype.kind != "i" or members.dtype.kind != "i" or (sizes < BASELINE).any():
        raise BadSetting("sizes and members of parent sets are whole numbers.")
    taken = np.maximum(sizes, 0)
    if taken.sum() != members.size:
        raise BadSetting(f"{int(taken.sum())} members of parent sets were named, and {members.size} were sent.")
    ends = np.cumsum(taken)
    return [
        None if size == BASELINE else tuple(int(n) for n in members[end - size : end])
        for size, end in zip(sizes, ends, strict=True)
    ]


def save_told(site: Site) -> bytes | None:
    """The values that have left; None before a score was announced."""
    if STATE not in site.state:
        return None
    desk: Desk = site.state[STATE]
    keys = sorted(desk.told)
    sizes, members = np.array([len(key) for key in keys], np.int32), np.array([n for k in keys for n in k], np.int32)
    return containers.pack({"before": desk.before, "sizes": sizes, "members": members})


def restore_told(site: Site, data: bytes) -> None:
    """Remember them."""
    desk, kept = desk_of(site), containers.unpack(data)
    desk.before = kept["before"]
    desk.told = {key for key in _unpacked(kept["sizes"], kept["members"]) if key is not None}


asked_again(Announce)
saved("regrets", after=(Announce, Regrets), save=save_told, restore=restore_told)
