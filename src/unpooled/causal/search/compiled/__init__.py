"""The delete-first search for Gaussian scores as machine code; the plain form is `search.delete_first`."""

from __future__ import annotations

from collections.abc import Sequence

from unpooled.causal.graphs.pdag import Adjacency
from unpooled.causal.scores.gaussian import Gaussian
from unpooled.causal.search.compiled import trying
from unpooled.causal.search.compiled.state import Known, graph_of, prepare, start


def search(
    parts: Sequence[Gaussian], adjacency: Adjacency, required: Adjacency, forbidden: Adjacency, extended: bool,
    least: float,
) -> tuple[Adjacency, int]:  # fmt: skip
    """The CPDAG's matrix (m, m) and the number of operators that led to it, from the class `adjacency` on.

    The score is the sum of the parts; required and forbidden arrows are matrices (m, m).
    """
    g = graph_of(adjacency)
    known = Known(required, forbidden, bool(required.any() or forbidden.any()))
    return trying.search(g, prepare(parts), known, start(g), least, extended)
