"""A discovery from beginning to end: agree on variables, search, ask what edges are worth, repeat for support."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from unpooled.causal.discovery.agreement import Agreed, agree, prepare, release
from unpooled.causal.discovery.gains import edge_gains
from unpooled.causal.discovery.methods import METHODS, Outcome
from unpooled.causal.discovery.scores import choose
from unpooled.causal.discovery.settings import Settings
from unpooled.causal.discovery.support import DrawnSites, Support
from unpooled.causal.peri.leakage import SCALES, leakage
from unpooled.causal.scores.announced import GAUSSIAN
from unpooled.errors import BadSetting, did_you_mean
from unpooled.seeds import Streams
from unpooled.sites.federation import Federation
from unpooled.sites.payload import Array
from unpooled.sites.questions import KINDS
from unpooled.sites.transports.in_process import InProcess

Watch = Callable[[str, int, int], None]
"""Called with what is being done, and steps done and to do."""
PHASES = ("agreement", "search", "gains", "bootstrap")


@dataclass(frozen=True, eq=False)
class Discovered:
    """All that came out. `gains` by site, in the order of `outcome.graph.edges()`; empty where they were not asked.

    `disclosed` has one row a phase, site and kind of question, as counted at the door: `messages` and `bytes` that left
    the site, and in `tells` what such an answer holds. `leakage` is the table of
    `peri.leakage`, where it was asked for.
    """

    settings: Settings
    score: str
    agreed: Agreed
    outcome: Outcome
    gains: Mapping[str, Array]
    support: Support | None
    disclosed: pd.DataFrame
    leakage: pd.DataFrame | None = None


def run(federation: Federation, settings: Settings, watch: Watch | None = None) -> Discovered:
    """Discover over the sites of a federation.

    Raises `BadSetting` and `BadData` before any search for what does not fit, and what sites refuse.
    """
    told = watch or (lambda what, done, total: None)
    total = settings.bootstrap + 1
    counter = _Counter(federation)
    told("agreeing on the variables", 0, total)
    agreed = agree(
        federation,
        drop=settings.drop,
        categorical=settings.categorical,
        log=settings.log,
        missing=settings.missing,
        max_categories=settings.max_categories,
    )
    counter.close("agreement")
    try:
        score = choose(settings.score, agreed.type, settings.method)
        settings.background.matrices(agreed.names)  # refuses names that do not exist
        if settings.reference is not None and settings.reference not in federation.names:
            known = did_you_mean(settings.reference, federation.names)
            raise BadSetting(f"reference names '{settings.reference}', which is no site.{known}")
        if settings.bootstrap and settings.bootstrap_over == "sites" and len(federation.names) < 2:
            raise BadSetting("To draw sites anew there have to be several: use bootstrap_over='rows'.")
        if settings.leakage and not isinstance(federation, InProcess):
            raise BadSetting("leakage needs the truth to measure an attacker's error: run it on a simulation.")
        if settings.leakage and score not in GAUSSIAN:
            raise BadSetting(
                f"Correlations leak from Gaussian scores, and the score of {agreed.type} is {score!r}: leave leakage "
                "out, or take score='bic' for numbers."
            )
        told(f"searching ({settings.method})", 0, total)
        outcome = METHODS[settings.method](federation, agreed, score, settings)
        counter.close("search")
        gains = outcome.gains
        if gains is None:
            gains = edge_gains(federation, outcome.graph, score) if settings.gains and not settings.guarded else {}
        counter.close("gains")
        leaked = _leaked(federation, score, settings)
        support = _support(federation, agreed, score, settings, told)
        counter.close("bootstrap")
    finally:
        release(federation)
    told("done", total, total)
    return Discovered(settings, score, agreed, outcome, gains, support, counter.frame(), leaked)


def _leaked(federation: Federation, score: str, settings: Settings) -> pd.DataFrame | None:
    """What an attacker learns from the first round of regrets, at each way of telling less."""
    if not settings.leakage or not isinstance(federation, InProcess):
        return None
    scales = (*SCALES, settings.noise) if settings.noise is not None and settings.noise not in SCALES else SCALES
    return leakage(federation, score, scales=scales, clip=settings.clip, seed=settings.seed)


def _support(federation: Federation, agreed: Agreed, score: str, settings: Settings, told: Watch) -> Support | None:
    """The search again on rows drawn at each site, or on sites drawn."""
    if not settings.bootstrap:
        return None
    method, total, graphs = METHODS[settings.method], settings.bootstrap + 1, []
    alone = replace(settings, gains=False, bootstrap=0)
    rng = Streams(settings.seed).generator("bootstrap", "sites")
    for number in range(settings.bootstrap):
        told(f"repeating on drawn {settings.bootstrap_over}", number + 1, total)
        drawn: Federation = federation
        if settings.bootstrap_over == "rows":
            prepare(federation, agreed.variables, agreed.missing, draw=number, seed=settings.seed)
        else:
            drawn = DrawnSites(federation, rng.choice(list(federation.names), size=len(federation.names)).tolist())
        graphs.append(method(drawn, agreed, score, replace(alone, seed=settings.seed + number + 1)).graph)
    return Support.of(graphs)


class _Counter:
    """What left each site in each phase: differences of the door's own counts."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        self._before = self._now()
        self._rows: list[tuple[str, str, str, int, int, str]] = []

    def _now(self) -> dict[tuple[str, str], tuple[int, int]]:
        frame = self._federation.traffic.frame()
        columns = zip(frame["site"], frame["kind"], frame["up_messages"], frame["up_bytes"], strict=True)
        return {(str(site), str(kind)): (int(messages), int(size)) for site, kind, messages, size in columns}

    def close(self, phase: str) -> None:
        """All since the last call belongs to this phase."""
        now = self._now()
        for (site, kind), (messages, size) in now.items():
            before = self._before.get((site, kind), (0, 0))
            if messages > before[0]:
                tells = KINDS[kind].tells if kind in KINDS else "All rows of the agreed variables."
                self._rows.append((phase, site, kind, messages - before[0], size - before[1], tells))
        self._before = now

    def frame(self) -> pd.DataFrame:
        """All phases."""
        return pd.DataFrame(self._rows, columns=["phase", "site", "kind", "messages", "bytes", "tells"])
