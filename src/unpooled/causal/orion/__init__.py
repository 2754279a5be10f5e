"""ORION over a federation, and over tables in one process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from unpooled.causal.graphs.background import Background
from unpooled.causal.orion.environments import LocalSettings, ScoreName, Tables
from unpooled.causal.orion.questions import AtSites
from unpooled.causal.orion.search import NEEDED, ROUNDS, Orion, Target, search
from unpooled.causal.scores.tables import Missing
from unpooled.causal.search.found import NOTHING
from unpooled.errors import BadData
from unpooled.sites.federation import Federation

__all__ = ["Orion", "Target", "orion", "orion_of_tables"]


def orion(
    federation: Federation,
    *,
    environment: str | None = None,
    columns: Iterable[str] | None = None,
    score: ScoreName = "mdl",
    needed: float = NEEDED,
    rounds: int = ROUNDS,
    as_released: bool = False,
    missing: Missing = "refuse",
    background: Background = NOTHING,
) -> Orion:
    """One graph for all environments of a federation of raw tables, each environment's sub-graph, and its targets.

    Each site is an environment, or has one for each value of the column `environment`. `columns` are the variables
    (None: all). One direction of an edge has to save `needed` bits more than the other. `background` is what is known
    beforehand (see `search`). Sites answer `edge_tests` only,
    and the result is bit for bit that of `orion_of_tables`. Work grows linearly with the environments: 9 m (m - 1)
    regressions in each, and some 18 (m - 2) for each edge. Raises `BadData` for tables that do not fit together or
    hold no numbers, and what a site's refusal raises.
    """
    settings = LocalSettings(score=score, released=as_released, missing=missing)
    at_sites = AtSites(federation, settings, environment=environment, columns=columns)
    return search(at_sites, needed=needed, rounds=rounds, as_released=as_released, background=background)


def orion_of_tables(
    tables: Mapping[str, pd.DataFrame],
    *,
    score: ScoreName = "mdl",
    needed: float = NEEDED,
    rounds: int = ROUNDS,
    as_released: bool = False,
    missing: Missing = "refuse",
    background: Background = NOTHING,
) -> Orion:
    """ORION with all tables at hand, one an environment; the columns of the first are the variables.

    Raises `BadData` where there is no table, or one lacks a column.
    """
    if not tables:
        raise BadData("ORION needs at least one environment, got none.")
    first = next(iter(tables.values()))
    for name, table in tables.items():
        if set(table.columns) != set(first.columns):
            odd = sorted(str(c) for c in set(table.columns) ^ set(first.columns))[0]
            raise BadData(f"Environment '{name}' and the first one do not both have the column '{odd}'.")
    settings = LocalSettings(score=score, released=as_released, missing=missing)
    return search(
        Tables(tables, settings), needed=needed, rounds=rounds, as_released=as_released, background=background
    )
