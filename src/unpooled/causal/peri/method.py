"""PERI: one graph for many sites, from regrets alone.

O. Mian, D. Kaltenpoth, M. Kamp and J. Vreeken, "Nothing but Regrets: Privacy-Preserving Federated Causal Discovery",
AISTATS 2023 (PMLR 206:8263-8278). paper -> here: environments sites, L score, R_k regret of site k, s participation.

What is taken otherwise than in the paper or its released code, and why, is in docs/peri.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from unpooled.causal.graphs import PDAG, Background, orient
from unpooled.causal.peri.agreeing import agreed_columns
from unpooled.causal.peri.climb import Climber, Step
from unpooled.causal.peri.delete_first import climb_deleting_first
from unpooled.causal.peri.noise import Noise
from unpooled.causal.peri.orientation import oriented
from unpooled.causal.peri.questions import Announce, Ready, Regrets
from unpooled.causal.peri.rules import Max, MaxPerNode, Rule, Sum, Trimmed
from unpooled.causal.peri.secure import MaskedRegrets, SummedValues
from unpooled.causal.peri.values import Floats, Key, Values
from unpooled.causal.scores.announced import Announced
from unpooled.causal.search.found import NOTHING
from unpooled.errors import BadSetting, did_you_mean, fraction, positive
from unpooled.sites.federation import Federation, ask_all

Aggregate = Literal["sum", "trimmed", "max", "max_per_node", "iperi"]
AGGREGATES = ("sum", "trimmed", "max", "max_per_node", "iperi")


@dataclass(frozen=True)
class Peri:
    """A graph that several sites agree on, and what it took.

    `graph` is a CPDAG (with "iperi" or a background, one whose lines were directed further). `score` is, in `unit`,
    what the graph gains over the one without edges: summed over sites, or off the largest regret. `disclosed` counts
    the numbers that each site told, from the traffic at the door, `epsilon` what they spent (None without noise).
    `rounds` are batches of questions, `path` the operators that were applied, `absent` the sites that were missing at
    the end. `heard` are all values that the coordinator knows: an array (sites,), or the sum (1,), for each (node,
    parents as bits).
    """

    graph: PDAG
    score: float
    unit: str
    aggregate: str
    disclosed: Mapping[str, int]
    epsilon: float | None
    rounds: int
    path: tuple[Step, ...]
    absent: tuple[str, ...] = ()
    heard: Mapping[Key, Floats] = field(default_factory=dict, repr=False)


def peri(
    federation: Federation,
    score: str | Announced = "bic",
    aggregate: Aggregate = "sum",
    *,
    rounds: int = 2,
    participation: float = 1.0,
    noise: Noise | float | None = None,
    secure: bool = False,
    search: Literal["ges", "delete_first"] = "ges",
    trim: float = 0.2,
    background: Background = NOTHING,
    drop: Iterable[str] = (),
    seed: int = 0,
) -> Peri:
    """The class of graphs that the sites' tables support together; no row leaves a site.

    `score` is named to the sites (`Announced` has its settings). `aggregate`: "sum" of the sites' gains (IMaGES;
    default), "trimmed" sum without the share `trim` at both ends, "max" is the paper's largest regret of a graph,
    "max_per_node" that of its released code, "iperi" Baldo and Assaad's method. `rounds` 2 repeats the search with the
    graph found as every site's own, which changes the max rules only. `participation` is the share of sites asked for
    an operator. `noise` is added at the sites (a number is the scale of Laplace noise). `secure` sums under masks, so
    that nobody sees a single site's values. `search` "delete_first" is that of XGES. The search starts from the arrows
    that the `background` requires, and never leaves the classes that have a DAG which agrees with it. Columns in `drop`
    are left out.

    Raises `BadSetting` for settings that do not go together, `BadData` where columns or types of the sites differ or
    cells are missing, and what a site refused.
    """
    announced = score if isinstance(score, Announced) else Announced(name=score)
    rule = _rule(aggregate, trim, len(federation.names), participation)
    positive(rounds=rounds)
    fraction(participation=participation)
    _refuse(aggregate, secure=secure, search=search, participation=participation)
    if isinstance(noise, (int, float)):
        noise = Noise(scale=float(noise))
    columns = agreed_columns(federation, announced, tuple(drop))
    announce(federation, announced, columns, noise, local=not rule.differences, seed=seed)
    told = _told(federation)
    alike = announced.same_for_a_class
    values: Values = SummedValues(federation, symmetric=alike)
    if not secure:
        mask = "local" if aggregate == "iperi" else "none"
        values = Values(federation, differences=rule.differences, symmetric=alike, mask=mask)
    climber = Climber(values, rule, columns, participation, seed, background)
    if search == "delete_first":
        climb_deleting_first(climber)
    else:
        climber.climb()
    for _ in range(1, rounds if aggregate in ("max", "max_per_node") else 1):
        climber.rebase()
        climber.restart()
        climber.climb()
    graph = orient(climber.graph, background)
    if aggregate == "iperi":
        graph = oriented(federation, graph, noise)
    disclosed = {name: count - told[name] for name, count in _told(federation).items()}
    most = max(disclosed.values())
    return Peri(
        graph=graph,
        score=climber.begun + sum(step.gain for step in climber.path),
        unit=announced.unit,
        aggregate=aggregate,
        disclosed=disclosed,
        epsilon=None if noise is None else noise.epsilon(most),
        rounds=values.rounds,
        path=tuple(climber.path),
        absent=values.absent,
        heard=values.heard(),
    )


def announce(
    federation: Federation,
    announced: Announced,
    columns: tuple[str, ...],
    noise: Noise | None,
    *,
    local: bool,
    seed: int,
) -> None:
    """Begin a session at every site."""
    question = Announce(
        columns=columns,
        score=announced.name,
        weight=announced.weight,
        equivalent=announced.equivalent,
        standardise=announced.standardise,
        missing=announced.missing,
        local=local,
        noise="" if noise is None else noise.kind,
        scale=0.0 if noise is None else noise.scale,
        clip=None if noise is None else noise.clip,
        delta=1e-5 if noise is None else noise.delta,
        budget=None if noise is None else noise.budget,
        seed=seed,
    )
    for name, ready in ask_all(federation, question, Ready).items():
        if ready.unit != announced.unit:
            raise BadSetting(
                f"Site '{name}' scores in {ready.unit}, not in {announced.unit}: install one release everywhere."
            )
    begun = getattr(federation, "begun", None)
    if begun is not None:
        begun()


def _told(federation: Federation) -> dict[str, int]:
    """Numbers that each site has told so far: its answers hold nothing else, 8 bytes each."""
    table = federation.traffic.table((Regrets.kind, MaskedRegrets.kind))
    return {name: int(row[1]) // 8 for name, row in zip(federation.traffic.names, table, strict=True)}


def _rule(aggregate: str, trim: float, sites: int, participation: float) -> Rule:
    if aggregate not in AGGREGATES:
        raise BadSetting(
            f"There is no aggregate {aggregate!r}.{did_you_mean(str(aggregate), AGGREGATES)} There are "
            f"{', '.join(AGGREGATES)}."
        )
    if aggregate == "trimmed":
        return Trimmed(trim)
    rules: dict[str, Rule] = {"sum": Sum(), "max": Max()}
    return rules.get(aggregate, MaxPerNode())


def _refuse(aggregate: str, *, secure: bool, search: str, participation: float) -> None:
    if search not in ("ges", "delete_first"):
        raise BadSetting(f"search is 'ges' or 'delete_first', got {search!r}.")
    if aggregate != "sum" and (secure or search == "delete_first"):
        what = "secure" if secure else "search='delete_first'"
        raise BadSetting(
            f"{what} is for aggregate='sum', got {aggregate!r}: others need single values, or have no turns."
        )
    if secure and participation < 1.0:
        raise BadSetting("A secure sum is over all sites: leave participation at 1, or secure out.")
