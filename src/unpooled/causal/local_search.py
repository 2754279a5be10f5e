"""A search at one site, over its own rows: only the class that it finds leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unpooled.causal.graphs.background import Background
from unpooled.causal.scores.announced import Announced
from unpooled.causal.search import delete_first
from unpooled.causal.variables import frame_at
from unpooled.errors import SiteFailed
from unpooled.sites.federation import Federation
from unpooled.sites.payload import Array
from unpooled.sites.questions import Answer, Question, handles, raise_failures
from unpooled.sites.site import Site


@dataclass(frozen=True, kw_only=True)
class LocalGraph(Answer):
    """The graph as a matrix of 0 and 1, shape (m, m), uint8 (see `PDAG`), its score in `unit`, and the steps.

    GLOBE also tells the `gains` of its edges, in the order of `PDAG.edges`.
    """

    adjacency: Array
    score: float
    unit: str
    steps: int
    gains: Array | None = None


@dataclass(frozen=True, kw_only=True)
class LocalSearch(Question):
    """Search your own rows with the score of that name, "mdl" by GLOBE. Tells the graph found, its score, and what
    GLOBE's edges save. `required`, `forbidden` and `tiers` are those of `Background`."""

    kind: ClassVar[str] = "local_search"
    tells: ClassVar[str] = "The causal graph that the site's own rows support, and its score."
    answer: ClassVar[type[Answer]] = LocalGraph
    score: str
    required: tuple[tuple[str, str], ...] = ()
    forbidden: tuple[tuple[str, str], ...] = ()
    tiers: tuple[tuple[str, int], ...] = ()


@handles(LocalSearch)
def answer_local_search(site: Site, question: LocalSearch) -> LocalGraph:
    """Delete-first equivalence search, or GLOBE."""
    known = Background(required=question.required, forbidden=question.forbidden, tiers=dict(question.tiers))
    if question.score == "mdl":
        return _globe(site, known)
    found = delete_first(Announced(name=question.score).build(frame_at(site)), background=known)
    return LocalGraph(
        adjacency=found.graph.adjacency.astype(np.uint8), score=found.score, unit=found.unit, steps=found.steps
    )


def _globe(site: Site, known: Background) -> LocalGraph:
    from unpooled.causal.globe import globe

    found = globe(frame_at(site), background=known)
    return LocalGraph(
        adjacency=found.graph.adjacency.astype(np.uint8),
        score=found.score,
        unit=found.unit,
        steps=len(found.gains),
        gains=np.array([found.gains[a, b] for a, _, b in found.graph.edges()], np.float64),
    )


def search_at(federation: Federation, site: str, score: str, known: Background) -> LocalGraph:
    """What one site finds in its own rows."""
    question = LocalSearch(
        score=score,
        required=tuple((a, b) for a, b in known.required),
        forbidden=tuple((a, b) for a, b in known.forbidden),
        tiers=tuple(known.tiers.items()),
    )
    answers = federation.ask({site: question})
    raise_failures(answers)
    answer = answers[site]
    if not isinstance(answer, LocalGraph):
        raise SiteFailed(f"Site '{site}' answered {type(answer).__name__} where LocalGraph was due.")
    return answer
