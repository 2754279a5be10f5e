"""DAGs, CPDAGs and what lies between: completion, background knowledge, operators, formats and distances."""

from __future__ import annotations

from unpooled.causal.graphs.background import Background, orient
from unpooled.causal.graphs.completion import class_of, complete, consistent_extension
from unpooled.causal.graphs.formats import from_networkx, to_dot, to_graphml, to_networkx
from unpooled.causal.graphs.pdag import PDAG

__all__ = [
    "PDAG",
    "Background",
    "class_of",
    "complete",
    "consistent_extension",
    "from_networkx",
    "orient",
    "to_dot",
    "to_graphml",
    "to_networkx",
]
