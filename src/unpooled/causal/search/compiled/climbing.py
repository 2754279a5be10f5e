"""XGES-0 with a queue that is kept: after a step, only nodes near the change are looked at again.

For each kind of operator and each node y the queue has the largest gain that an operator into y could have if no path
were in the way (`bound`). Far from a change it stays what it was: local scores, cliques and common neighbours there are
the same, only paths may have opened or closed. The node with the largest bound is looked at, until the best operator
found gains at least every bound that is left: the operator that the plain form takes. Where all that would gain is
invalid for a path, these paths are kept, and the node is not looked at before one of them is interrupted.
"""

from __future__ import annotations

import numpy as np

from unpooled.causal.compiling import inside
from unpooled.causal.search.compiled.applying import DELETE, INSERT, TURN, apply, notice
from unpooled.causal.search.compiled.moves import best_delete, best_insert, best_turn
from unpooled.causal.search.compiled.state import Floats, Graph, Ints, Known, Queue, Score


@inside
def climb(g: Graph, s: Score, known: Known, least: float, out: Ints, queue: Queue) -> tuple[float, int]:
    """Apply operators until none gains more than `least`; what was gained, and in how many steps.

    The arrow `out`, shape (2,), is kept out: it is neither inserted nor turned to.
    """
    clique, kept = np.empty(len(g.a) + 1, np.int64), np.empty(len(g.a) + 1, np.int64)
    gained, steps, kind = 0.0, 0, DELETE
    bound = queue.bound
    now = bound.copy()  # the gain where it is known for this graph, else the bound
    _rule_out(g, queue, now, least)
    while kind <= INSERT:
        y = _highest(now[kind])
        if now[kind, y] <= least:
            kind += 1
            continue
        if kind == DELETE:
            x, gain, most = best_delete(g, s, known, y, least, clique, kept)
        elif kind == TURN:
            x, gain, most = best_turn(g, s, known, y, least, out, clique, kept, queue)
        else:
            x, gain, most = best_insert(g, s, known, y, least, out, clique, kept, queue)
        now[kind, y], bound[kind, y] = gain, most
        if x >= 0 or known.some:
            queue.paths[kind, y] = -1
        if x >= 0 and gain >= now[kind, _highest(now[kind])]:
            gained += gain
            steps += 1
            old = g.a.copy()
            apply(g, kind, x, y, clique)
            notice(g, old, x, y, queue)
            now = bound.copy()
            _rule_out(g, queue, now, least)
            kind = DELETE
    return gained, steps


@inside
def _highest(values: Floats) -> int:
    """Where the highest value is, the first of equals."""
    at = 0
    for i in range(len(values)):
        if values[i] > values[at]:
            at = i
    return at


@inside
def _rule_out(g: Graph, queue: Queue, now: Floats, least: float) -> None:
    """Nothing is to be gained where the paths that were in the way still are."""
    for kind in (TURN, INSERT):
        for y in range(len(g.a)):
            count = queue.paths[kind, y]
            if least < now[kind, y] < np.inf and count > 0:
                walkable = True
                for t in range(count):
                    if not g.a[queue.path[kind, y, t, 0], queue.path[kind, y, t, 1]]:
                        walkable = False
                        break
                if walkable:
                    now[kind, y] = least
