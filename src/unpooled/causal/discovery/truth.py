"""How far what a discovery found is from the graph and the targets that the data were drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Set
from contextlib import suppress

import numpy as np

from unpooled.causal.discovery.methods import TELL_TARGETS, Outcome
from unpooled.causal.generators import Environments
from unpooled.causal.graphs.completion import class_of, complete, consistent_extension
from unpooled.causal.graphs.metrics import Retrieval, adjacencies, arrows, shd, shd_of_entries
from unpooled.causal.graphs.pdag import PDAG
from unpooled.errors import BadData

MEASURES: Mapping[str, str] = {
    "shd": "SHD of classes: pairs of nodes with another edge",
    "normalised_shd": "SHD of classes, divided by the number of pairs",
    "shd_of_entries": "entries of the classes' matrices that differ: a turned arrow counts 2",
    "edge_f1": "F1 of edges, whatever their direction",
    "arrow_f1": "F1 of the classes' arrows; lines count on neither side",
    "entry_f1": "F1 of entries of the classes' matrices: a line counts as an arrow each way",
    "dag_shd": "SHD to the DAG of the graph found, or of a member of its class",
    "dag_arrow_f1": "F1 of arrows, of the graph found to the DAG",
    "target_f1": "F1 of targets: pairs of site and variable",
    "typed_target_f1": "F1 of targets whose type is told right as well",
}
"""What each measure is; SHD counts a pair once (Tsamardinos et al., 2006)."""
LESS_IS_BETTER = frozenset({"shd", "normalised_shd", "shd_of_entries", "dag_shd"})


def measured(made: Environments, found: Outcome, method: str) -> dict[str, float]:
    """Every measure of `MEASURES`; those of targets for methods that tell them.

    Classes are those of the DAGs that extend a graph; a graph that no DAG extends, as I-PERI's may be, is compared as
    it is.
    """
    true, graph = made.graph, PDAG(found.graph.adjacency, made.graph.names)
    true_class, own_class, member = class_of(true), graph, graph
    with suppress(BadData):
        own_class, member = complete(graph), consistent_extension(graph)
    pairs = len(true.names) * (len(true.names) - 1) / 2
    numbers: dict[str, float] = {
        "shd": shd(true_class, own_class),
        "normalised_shd": shd(true_class, own_class) / pairs,
        "shd_of_entries": shd_of_entries(true_class, own_class),
        "edge_f1": adjacencies(true, graph).f1,
        "arrow_f1": arrows(true_class, own_class).f1,
        "entry_f1": _entries(true_class, own_class).f1,
        "dag_shd": shd(true, member),
        "dag_arrow_f1": arrows(true, graph).f1,
    }
    if method in TELL_TARGETS:
        real = {(t.site, t.variable, t.type) for t in made.targets}
        told = {(t.site, t.variable, t.type.split(":")[0]) for t in found.targets}
        numbers["target_f1"] = _targets({t[:2] for t in real}, {t[:2] for t in told})
        numbers["typed_target_f1"] = _targets(real, told)
    return numbers


def _entries(true: PDAG, guess: PDAG) -> Retrieval:
    t, g = true.adjacency, guess.adjacency
    return Retrieval(int(np.sum(t & g)), int(g.sum()), int(t.sum()))


def _targets(real: Set[tuple[str, ...]], told: Set[tuple[str, ...]]) -> float:
    return Retrieval(len(real & told), len(told), len(real)).f1
