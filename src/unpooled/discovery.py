"""`up.discover`: a causal graph over sites in one call, and what it returns. Works without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from unpooled.causal.discovery import Discovered, GraphComparison, Settings, Support, compare_graphs, open_sites, run
from unpooled.causal.discovery.discover import Watch
from unpooled.causal.discovery.tables import edges_frame, targets_frame
from unpooled.causal.graphs import PDAG, Background
from unpooled.causal.peri.method import Aggregate

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def discover(
    sites: Any,
    method: str = "peri",
    score: str = "auto",
    *,
    site: str | None = None,
    environment: str | None = None,
    pooled: bool = False,
    reference: str | None = None,
    required: Sequence[tuple[str, str]] = (),
    forbidden: Sequence[tuple[str, str]] = (),
    tiers: Mapping[str, int] | None = None,
    bootstrap: int = 0,
    bootstrap_over: Literal["rows", "sites"] = "rows",
    gains: bool = True,
    aggregate: Aggregate = "sum",
    search: Literal["ges", "delete_first"] = "ges",
    rounds: int = 2,
    participation: float = 1.0,
    noise: float | None = None,
    clip: float | None = None,
    secure: bool = False,
    level: str = "C",
    leakage: bool = False,
    seed: int = 0,
    drop: Iterable[str] = (),
    categorical: Iterable[str] = (),
    log: Iterable[str] | bool = (),
    missing: Literal["refuse", "drop"] = "refuse",
    max_categories: int = 100,
    progress: Watch | None = None,
) -> CausalResult:
    """One causal graph over `sites`, whose rows stay where they are.

    `sites` is a folder with one table a site, one table (file or DataFrame) whose column `site` names the site of each
    row, a dict from name to DataFrame, `Site`s, or a federation; `environment` names a column that tells environments
    apart inside a site.

    `method` "peri" asks sites for regrets only; "ges" is of one table, and with several sites needs `pooled`, which
    puts all rows in one place. `score` is "bic" (numbers, categories, or both), "aic" (numbers), "bdeu" (categories),
    "mdl" (numbers, by splines) or "auto". `aggregate`, `search`, `rounds`, `participation`, `noise`, `clip` and
    `secure` are those of `unpooled.causal.peri.peri`. "combined" also says which mechanism differs at which site;
    `level` is how much sites tell for it. "orion" says at which sites edges are missing, and "globe" directs one table.

    `required` and `forbidden` are arrows (from, to), `tiers` a number for a name: no arrow into a lower one; every
    method keeps to them while it searches. `reference` is the site
    without interventions. `bootstrap` repeats the search that often, on `bootstrap_over` drawn rows or sites. Without
    `gains` no site is asked what each edge is worth there. `drop`, `categorical`, `log`, `missing`, `max_categories`:
    see `unpooled.causal.discovery.agreement.agree`. Raises `BadSetting` and `BadData` before any search, and `Refused`
    where a site's policy does not allow what the method asks.
    """
    settings = Settings(
        method=method,
        score=score,
        pooled=pooled,
        reference=reference,
        background=Background(required=tuple(required), forbidden=tuple(forbidden), tiers=dict(tiers or {})),
        bootstrap=bootstrap,
        bootstrap_over=bootstrap_over,
        gains=gains,
        aggregate=aggregate,
        search=search,
        rounds=rounds,
        participation=participation,
        noise=noise,
        clip=clip,
        secure=secure,
        level=level,
        leakage=leakage,
        seed=seed,
        drop=tuple(drop),
        categorical=tuple(categorical),
        log=log if isinstance(log, bool) else tuple(log),
        missing=missing,
        max_categories=max_categories,
    )
    federation = open_sites(sites, site=site, environment=environment, pooled=pooled)
    return CausalResult(run(federation, settings, progress))


class CausalResult:
    """What a discovery found. `found` holds everything; the attributes are its parts.

    `graph` is a `PDAG`; `edges` has one row an edge: from, mark ("->" or "--"), to, `support` (the share of repetitions
    with any edge there; missing without `bootstrap`), `direction` (the share with this mark), `gain` over all sites,
    and "gain at SITE", in the score's `unit`. `targets` has a row for each site and variable whose mechanism differs
    there. `partitions` groups the sites by mechanism for each variable. `disclosed` is what left each site, counted at
    the door.
    """

    def __init__(self, found: Discovered) -> None:
        self.found = found

    @property
    def graph(self) -> PDAG:
        """The graph: arrows where the direction is known, lines where the data leave it open."""
        return self.found.outcome.graph

    @property
    def unit(self) -> str:
        """What a gain or a score of 1 is."""
        return self.found.outcome.unit

    @property
    def score(self) -> float:
        """The graph's score, higher is better."""
        return self.found.outcome.score

    @cached_property
    def edges(self) -> pd.DataFrame:
        """One row an edge."""
        return edges_frame(self.found)

    @cached_property
    def targets(self) -> pd.DataFrame:
        """Columns site, variable, type, confidence."""
        return targets_frame(self.found.outcome)

    @property
    def partitions(self) -> Mapping[str, tuple[tuple[str, ...], ...]]:
        """Sites of equal mechanisms, for each variable; empty for methods that do not compare mechanisms."""
        return self.found.outcome.partitions

    @property
    def disclosed(self) -> pd.DataFrame:
        """Columns phase, site, kind, messages, bytes, tells."""
        return self.found.disclosed

    @property
    def leakage(self) -> pd.DataFrame | None:
        """With `leakage`: an attacker's error about correlations, by disclosure and site; see `peri.leakage`."""
        return self.found.leakage

    @property
    def support(self) -> Support | None:
        """Shares over the bootstrap's repetitions; `support.stable(0.8)` is the graph of the edges found so often."""
        return self.found.support

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader should know about the data and the method."""
        return (*self.found.agreed.warnings, *self.found.outcome.notes)

    def compare(self, reference: PDAG) -> GraphComparison:
        """This graph beside another one over the same variables, which is taken for the truth."""
        return compare_graphs(reference, self.graph)

    def figure(self, width: float = 9.6) -> Figure:
        """The graph in layers: arrows and lines, width by support, marked nodes where mechanisms differ; inches."""
        from unpooled.figures.causal import causal_graph

        shares = {(a, b): float(s) for a, b, s in self.edges[["from", "to", "support"]].itertuples(index=False)}
        support = None if self.support is None else shares
        counts = Counter(target.variable for target in self.found.outcome.targets)
        return causal_graph(self.graph, support=support, targets=counts, width=width)

    def report(self, path: str | Path, title: str = "A causal graph") -> Path:
        """Write the page that says what was found, how sure it is, and what each site disclosed, as one HTML file."""
        from unpooled.report.causal import write_causal_report
        from unpooled.runs.discovery import result_of

        return write_causal_report(result_of(self.found, title), Path(path))

    def __repr__(self) -> str:
        lines = int(self.graph.undirected.sum()) // 2
        arrows = int(self.graph.directed.sum())
        score = f"{self.found.score} {self.score:.6g} {self.unit}"
        return f"<{self.found.settings.method}: {arrows} arrows, {lines} lines, {score}>"
