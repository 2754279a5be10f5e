"""The five levels of disclosure, and how each is opened: class, scores, and what the grouping may ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unpooled.causal.combined.cuts import Scores
from unpooled.causal.combined.grouping import Level
from unpooled.causal.combined.level_b import LevelB
from unpooled.causal.combined.level_c import LevelC
from unpooled.causal.combined.level_d import FromMoments, LevelD
from unpooled.causal.combined.level_e import LevelE
from unpooled.causal.combined.regrets import GAUSSIAN, FromRegrets
from unpooled.causal.graphs.background import Background
from unpooled.causal.graphs.pdag import PDAG
from unpooled.causal.peri.agreeing import agreed_columns
from unpooled.causal.search import delete_first
from unpooled.errors import Refused
from unpooled.sites.federation import Federation

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Opened:
    """The sites that take part, the class that the sum of their gains supports, their scores, and what answers for
    groups of sites (None at level A)."""

    sites: tuple[str, ...]
    graph: PDAG
    scores: Scores
    groups: Level | None


Open = Callable[[Federation, tuple[str, ...]], Level | None]
LEVELS: dict[str, Open] = {
    "A": lambda federation, columns: None,
    "B": LevelB,
    "C": LevelC,
    "D": LevelD.of,
    "E": LevelE,
}
"""What each level asks first, and what answers for groups then."""


def open_level(federation: Federation, level: str, drop: tuple[str, ...], background: Background) -> Opened:
    """Agree on the columns, ask what the level begins with, and search for the class.

    What the level needs is asked before the search, so that a refusal comes before any work: `Refused`.
    """
    columns = agreed_columns(federation, GAUSSIAN, drop)
    background.matrices(columns)  # refuses names that do not exist
    try:
        groups = LEVELS[level](federation, columns)
    except Refused as error:
        raise Refused(f"{error} Level {level} needs it: take another level, or leave the site out.") from error
    sites = tuple(federation.names)
    if isinstance(groups, LevelD):
        known = FromMoments(groups)
        return Opened(sites, delete_first(known, background=background).graph, known, groups)
    scores = FromRegrets(federation, columns)
    return Opened(sites, scores.search(background), scores, groups)


def told(federation: Federation) -> pd.DataFrame:
    """Messages and payload bytes that each site has sent so far, by `site` and `kind`."""
    frame = federation.traffic.frame().set_index(["site", "kind"])[["up_messages", "up_bytes"]]
    return frame.rename(columns={"up_messages": "messages", "up_bytes": "bytes"})


def told_since(federation: Federation, before: pd.DataFrame) -> pd.DataFrame:
    """What was sent since, columns `site`, `kind`, `messages`, `bytes`; kinds that sent nothing are left out."""
    since = told(federation).sub(before, fill_value=0).astype("int64")
    return since[since["messages"] > 0].reset_index()
