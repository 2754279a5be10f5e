"""Delete-first search whose values come from the sites: `causal.search.delete_first` over a climber.

Nazaret and Blei, "Extremely greedy equivalence search", UAI 2024, with the deviations that are told there. With the sum
over sites it finds what that search finds with the sum of their scores.
"""

from __future__ import annotations

from unpooled.causal.peri.climb import Climber
from unpooled.causal.peri.moves import Move, edge_moves
from unpooled.causal.search.found import GAIN, ROUNDING


def climb_deleting_first(climber: Climber) -> None:
    """Never insert while a deletion or a turn gains; then try to do without each node's edges, and without each edge,
    and keep what scores higher."""
    _climb(climber)
    succeeded = True
    while succeeded:
        _without_nodes(climber)
        succeeded = _without_edges(climber)


def _climb(climber: Climber, kept_out: tuple[int, int] | None = None) -> None:
    """XGES-0 from where the search stands. The arrow `kept_out` is neither inserted nor turned to."""
    while (
        found := climber.best("delete") or climber.best("turn", kept_out) or climber.best("insert", kept_out)
    ) is not None:
        climber.apply(*found)


def _without_nodes(climber: Climber) -> None:
    """Node after node without its edges, until all have failed one after the other."""
    node, failed = 0, 0
    while failed < len(climber.names):
        graph, path = climber.graph, climber.path
        climber.path = list(path)
        while (found := _cheapest_at(climber, node)) is not None:
            climber.apply(*found)
        failed += 1
        taken = len(climber.path)
        if taken > len(path):
            _climb(climber)
            if _regained(climber, len(path), taken):
                failed = 0
            else:
                climber.graph, climber.path = graph, path
        node = (node + 1) % len(climber.names)


def _cheapest_at(climber: Climber, node: int) -> tuple[Move, float] | None:
    """The deletion of one of the node's edges that costs least."""
    here = [
        m for m in edge_moves(climber.graph, "delete") if node in (m.operator.x, m.operator.y) and climber.allowed(m)
    ]
    gains = climber.gains_of(here)
    return (here[int(gains.argmax())], float(gains.max())) if here else None


def _without_edges(climber: Climber) -> bool:
    """Deletion after deletion, those that cost least first, and its arrow kept out; whether one succeeded."""
    listed = edge_moves(climber.graph, "delete")
    succeeded = False
    for i in (-climber.gains_of(listed)).argsort(kind="stable"):
        wanted = listed[i].operator
        move = next((m for m in edge_moves(climber.graph, "delete") if m.operator == wanted), None)
        if move is None or not climber.allowed(move):
            continue  # no longer valid
        graph, path = climber.graph, climber.path
        climber.path = list(path)
        climber.apply(move, float(climber.gains_of([move])[0]))
        _climb(climber, (wanted.x, wanted.y))
        if _regained(climber, len(path), len(path) + 1):
            _climb(climber)
            succeeded = True
        else:
            climber.graph, climber.path = graph, path
    return succeeded


def _regained(climber: Climber, start: int, taken: int) -> bool:
    """Whether the steps from number `taken` on gained more than those from `start` to there cost."""
    gains = [step.gain for step in climber.path]
    cost = sum(gains[start:taken])
    return cost + sum(gains[taken:]) > GAIN + ROUNDING * abs(cost)
