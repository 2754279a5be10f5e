"""How far a learned graph is from the true one.

SHD of DAGs: Tsamardinos, Brown and Aliferis, Machine Learning 65, 2006, one for each pair of nodes with another edge.
Adjustment distances: Henckel, Würtzen and Weichwald, "Adjustment identification distance", UAI 2024; structural
intervention distance: Peters and Bühlmann, Neural Computation 27, 2015. The last two are computed by gadjid, their
authors' package, which is loaded when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unpooled.causal.graphs.completion import complete
from unpooled.causal.graphs.pdag import PDAG
from unpooled.errors import BadData, BadSetting


def shd(true: PDAG, guess: PDAG) -> int:
    """Pairs of nodes whose edges differ (missing, extra, turned, or line instead of arrow), each counted once.

    Both graphs as they are: two DAGs of one class may be far apart, `shd_of_classes` takes their classes. Some tools
    count a turned arrow twice; `shd_of_entries` does.
    """
    _same_nodes(true, guess)
    differs = true.adjacency != guess.adjacency
    return int(np.triu(differs | differs.T).sum())


def shd_of_entries(true: PDAG, guess: PDAG) -> int:
    """Entries of the adjacency matrix that differ: a turned arrow and a missing line count 2, all else 1.

    The count in PERI's released code.
    """
    _same_nodes(true, guess)
    return int((true.adjacency != guess.adjacency).sum())


def shd_of_classes(true: PDAG, guess: PDAG) -> int:
    """`shd` between the CPDAGs of two graphs; 0 for two DAGs that no data can tell apart."""
    return shd(complete(true), complete(guess))


@dataclass(frozen=True)
class Retrieval:
    """Of the guessed edges, how many are true (`precision`), and of the true ones, how many were guessed (`recall`)."""

    correct: int
    guessed: int
    true: int

    @property
    def precision(self) -> float:
        """In [0, 1]; 1 where nothing is guessed."""
        return self.correct / self.guessed if self.guessed else 1.0

    @property
    def recall(self) -> float:
        """In [0, 1]; 1 where there is nothing to find."""
        return self.correct / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of the two, in [0, 1]; 1 where there are no edges at all."""
        both = self.guessed + self.true
        return 2 * self.correct / both if both else 1.0


def adjacencies(true: PDAG, guess: PDAG) -> Retrieval:
    """Precision and recall of edges whatever their direction."""
    _same_nodes(true, guess)
    t, g = np.triu(true.skeleton), np.triu(guess.skeleton)
    return Retrieval(int((t & g).sum()), int(g.sum()), int(t.sum()))


def arrows(true: PDAG, guess: PDAG) -> Retrieval:
    """Precision and recall of arrows; lines count on neither side."""
    _same_nodes(true, guess)
    t, g = true.directed, guess.directed
    return Retrieval(int((t & g).sum()), int(g.sum()), int(t.sum()))


Adjustment = Literal["ancestor", "parent", "oset"]


def adjustment_distance(true: PDAG, guess: PDAG, adjustment: Adjustment = "ancestor") -> tuple[float, int]:
    """Share and number of ordered pairs whose effect the guess identifies wrongly; DAGs or CPDAGs on either side.

    Raises `BadSetting` for another adjustment, `BadData` for a PDAG that is neither DAG nor CPDAG.
    """
    import gadjid

    known: dict[str, Callable[..., tuple[float, int]]] = {
        "ancestor": gadjid.ancestor_aid,
        "parent": gadjid.parent_aid,
        "oset": gadjid.oset_aid,
    }
    if adjustment not in known:
        raise BadSetting(f"adjustment must be one of {', '.join(known)}, got {adjustment!r}.")
    _same_nodes(true, guess)
    share, number = known[adjustment](_coded(true), _coded(guess), edge_direction="from row to column")
    return float(share), int(number)


def sid(true: PDAG, guess: PDAG) -> tuple[float, int]:
    """Structural intervention distance between two DAGs: share and number of ordered pairs; `BadData` for a CPDAG."""
    import gadjid

    _same_nodes(true, guess)
    for graph in (true, guess):
        if not graph.is_dag:
            raise BadData("The structural intervention distance is between two DAGs; for CPDAGs: adjustment_distance.")
    share, number = gadjid.sid(_coded(true), _coded(guess), edge_direction="from row to column")
    return float(share), int(number)


def _coded(graph: PDAG) -> NDArray[np.int8]:
    """gadjid's matrix: 1 for an arrow, 2 for a line."""
    if not graph.is_dag and complete(graph) != graph:
        raise BadData("Adjustment distances are between DAGs and CPDAGs; complete() makes a CPDAG of this graph.")
    return graph.directed.astype(np.int8) + 2 * np.triu(graph.undirected).astype(np.int8)


def _same_nodes(true: PDAG, guess: PDAG) -> None:
    if true.names != guess.names:
        raise BadData(f"Graphs over the same nodes in the same order are needed, got {true.names} and {guess.names}.")
