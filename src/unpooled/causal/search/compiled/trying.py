"""The whole search: `delete_first.plain_delete_first`, compiled. It says what the steps are for."""

from __future__ import annotations

import numpy as np

from unpooled.causal.search.compiled.applying import INSERT, TURN, copied, delete, notice
from unpooled.causal.search.compiled.climbing import climb
from unpooled.causal.search.compiled.compiling import compiled, inside
from unpooled.causal.search.compiled.knowledge import agrees
from unpooled.causal.search.compiled.moves import deletions
from unpooled.causal.search.compiled.state import Graph, Ints, Known, Queue, Score
from unpooled.causal.search.found import ROUNDING as _ROUNDING

ROUNDING = _ROUNDING


@compiled
def search(g: Graph, s: Score, known: Known, queue: Queue, least: float, extended: bool) -> int:
    """Take the class to where the search ends; how many operators that took."""
    steps = climb(g, s, known, least, np.full(2, -1), queue)[1]
    succeeded = extended
    while succeeded:
        steps += _without_nodes(g, s, known, queue, least)
        more = _without_edges(g, s, known, queue, least)
        steps += more
        succeeded = more > 0
    return steps


@inside
def _without_nodes(g: Graph, s: Score, known: Known, queue: Queue, least: float) -> int:
    """Node after node, until all have failed one after the other; steps of those that succeeded."""
    m = len(g.a)
    clique = np.empty(m + 1, np.int64)
    steps, failed, v = 0, 0, 0
    while failed < m:
        trial, line = copied(g), _copy_queue(queue)
        gained, count = 0.0, 0
        while True:
            gains, found = [0.0], [np.zeros(3, np.int64)]
            for i in range(trial.degree[v]):
                deletions(trial, s, trial.near[v, i], v, gains, found)
                deletions(trial, s, v, trial.near[v, i], gains, found)
            best = 0
            for i in range(1, len(gains)):
                x, y = found[i][0], found[i][1]
                held = known.required[x, y] or known.required[y, x]
                if not held and (best == 0 or gains[i] > gains[best]):
                    best = i
            if best == 0:
                break
            gained += gains[best]
            _delete(trial, found[best], clique, line)
            count += 1
        failed += 1
        if count > 0 and (not known.some or agrees(trial, known)):
            more, climbed = climb(trial, s, known, least, np.full(2, -1), line)
            if gained + more > least + ROUNDING * abs(gained):
                _take(g, trial, queue, line)
                steps += count + climbed
                failed = 0
        v = (v + 1) % m
    return steps


@inside
def _without_edges(g: Graph, s: Score, known: Known, queue: Queue, least: float) -> int:
    """Edge after edge, the cheapest first; steps of those that succeeded."""
    m = len(g.a)
    clique = np.empty(m + 1, np.int64)
    gains, found = [0.0], [np.zeros(3, np.int64)]
    for y in range(m):
        for x in np.sort(g.near[y, : g.degree[y]]):
            deletions(g, s, x, y, gains, found)
    steps = 0
    for i in np.argsort(-np.array(gains[1:]), kind="mergesort"):
        deletion = found[1 + i]
        x, y = deletion[0], deletion[1]
        gain = _gain(g, s, deletion)
        if gain == -np.inf:
            continue
        trial, line = copied(g), _copy_queue(queue)
        _delete(trial, deletion, clique, line)
        if known.some and not agrees(trial, known):
            continue
        more, climbed = climb(trial, s, known, least, deletion[:2], line)
        if gain + more > least + ROUNDING * abs(gain):
            line.bound[TURN, y] = line.bound[INSERT, y] = np.inf
            _take(g, trial, queue, line)
            steps += 1 + climbed + climb(g, s, known, least, np.full(2, -1), queue)[1]
    return steps


@inside
def _gain(g: Graph, s: Score, deletion: Ints) -> float:
    """What the deletion gains now; minus infinity where it is no longer valid."""
    gains, found = [0.0], [np.zeros(3, np.int64)]
    deletions(g, s, deletion[0], deletion[1], gains, found)
    for i in range(1, len(gains)):
        if len(found[i]) == len(deletion) and (found[i] == deletion).all():
            return gains[i]
    return -np.inf


@inside
def _delete(g: Graph, deletion: Ints, clique: Ints, queue: Queue) -> None:
    size = deletion[2]
    clique[:size] = deletion[3:]
    clique[-1] = size
    old = g.a.copy()
    delete(g, deletion[0], deletion[1], clique)
    notice(g, old, deletion[0], deletion[1], queue)


@inside
def _copy_queue(queue: Queue) -> Queue:
    return Queue(queue.bound.copy(), queue.paths.copy(), queue.path.copy())


@inside
def _take(g: Graph, trial: Graph, queue: Queue, line: Queue) -> None:
    """Make the trial the class that is held."""
    g.a[:], g.near[:], g.degree[:] = trial.a, trial.near, trial.degree
    queue.bound[:], queue.paths[:], queue.path[:] = line.bound, line.paths, line.path
