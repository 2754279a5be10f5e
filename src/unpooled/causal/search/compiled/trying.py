"""The whole search: `delete_first.plain_delete_first`, compiled. It says what the steps are for."""

from __future__ import annotations

import numpy as np

from unpooled.causal.compiling import compiled, inside
from unpooled.causal.graphs.pdag import Adjacency
from unpooled.causal.search.compiled.applying import DELETE, INSERT, TURN, apply, copied, notice
from unpooled.causal.search.compiled.climbing import climb
from unpooled.causal.search.compiled.knowledge import agrees
from unpooled.causal.search.compiled.listing import deletions, gain_now
from unpooled.causal.search.compiled.moves import best_delete_of
from unpooled.causal.search.compiled.state import Graph, Ints, Known, Queue, Score
from unpooled.causal.search.found import ROUNDING as _ROUNDING

ROUNDING = _ROUNDING


@compiled
def search(g: Graph, s: Score, known: Known, queue: Queue, least: float, extended: bool) -> tuple[Adjacency, int]:
    """Where the search from a class ends, and how many operators that took."""
    clique, kept, out = np.empty(len(g.a) + 1, np.int64), np.empty(len(g.a) + 1, np.int64), np.empty(2, np.int64)
    out[0] = -1
    steps = climb(g, s, known, least, out, queue)[1]
    rounds = 1 if extended else 0
    while rounds > 0:
        rounds = 0
        # node after node without its edges, until all have failed one after the other
        failed = 0
        while failed < len(g.a):
            for v in range(len(g.a)):
                if failed == len(g.a):
                    break
                trial, line = copied(g), _copied(queue)
                gained, count = _isolate(trial, s, known, v, clique, kept, line)
                failed += 1
                if count > 0:
                    out[0] = -1
                    more, climbed = climb(trial, s, known, least, out, line)
                    if gained + more > least + ROUNDING * abs(gained):
                        g, queue, failed = trial, line, 0
                        steps += count + climbed
        # edge after edge, the cheapest first
        listed = deletions(g, s)
        for i in range(len(listed)):
            x, y = listed[i, 0], listed[i, 1]
            gain = gain_now(g, s, listed[i], clique)
            if gain == -np.inf:
                continue
            trial, line = copied(g), _copied(queue)
            _apply(trial, x, y, clique, line)
            if known.some and not agrees(trial, known):
                continue
            out[0], out[1] = x, y
            more, climbed = climb(trial, s, known, least, out, line)
            if gain + more > least + ROUNDING * abs(gain):
                line.bound[TURN, y] = line.bound[INSERT, y] = np.inf
                g, queue, rounds = trial, line, 1
                out[0] = -1
                steps += 1 + climbed + climb(g, s, known, least, out, queue)[1]
    return g.a, steps


@inside
def _isolate(g: Graph, s: Score, known: Known, v: int, clique: Ints, kept: Ints, queue: Queue) -> tuple[float, int]:
    """Take the node's edges away, the cheapest first: what was gained, and how many operators were applied."""
    gained, count = 0.0, 0
    while True:
        most, x, y = -np.inf, v, v
        for i in range(g.degree[v]):
            w = g.near[v, i]
            if g.a[w, v]:
                gain = best_delete_of(g, s, known, w, v, most, clique, kept)[0]
                if gain > most:
                    most, x, y = gain, w, v
            if g.a[v, w]:
                gain = best_delete_of(g, s, known, v, w, most, clique, kept)[0]
                if gain > most:
                    most, x, y = gain, v, w
        if x == y:
            return gained, count
        gained += most
        count += 1
        _apply(g, x, y, clique, queue)


@inside
def _apply(g: Graph, x: int, y: int, clique: Ints, queue: Queue) -> None:
    old = g.a.copy()
    apply(g, DELETE, x, y, clique)
    notice(g, old, x, y, queue)


@inside
def _copied(queue: Queue) -> Queue:
    return Queue(queue.bound.copy(), queue.paths.copy(), queue.path.copy())
