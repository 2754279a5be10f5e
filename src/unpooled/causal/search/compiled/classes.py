"""Completion of a PDAG in time that grows with its edges: `graphs.completion`, compiled.

Neighbours are lists: `near[x, :degree[x]]` are the nodes adjacent to x. Dor and Tarsi, 1992; Meek, UAI 1995.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unpooled.causal.graphs.pdag import Adjacency
from unpooled.causal.search.compiled.compiling import compiled

Ints = NDArray[np.int32]


@compiled
def link(near: Ints, degree: Ints, x: int, y: int) -> None:
    """Make two nodes neighbours."""
    near[x, degree[x]] = y
    near[y, degree[y]] = x
    degree[x] += 1
    degree[y] += 1


@compiled
def unlink(near: Ints, degree: Ints, x: int, y: int) -> None:
    """Undo `link`."""
    for a, b in ((x, y), (y, x)):
        for i in range(degree[a]):
            if near[a, i] == b:
                near[a, i] = near[a, degree[a] - 1]
                break
        degree[a] -= 1


@compiled
def complete(a: Adjacency, near: Ints, degree: Ints) -> bool:
    """Turn the PDAG `a`, in place, into the CPDAG of its extensions; False where there is none."""
    m = len(a)
    dag = np.zeros((m, m), np.bool_)
    if not _extend(a, near, degree, dag):
        return False
    for x in range(m):
        for i in range(degree[x]):
            a[x, near[x, i]] = True
    arrows = np.empty((degree.sum() // 2 + 1, 2), np.int32)
    waiting = 0
    for y in range(m):  # v-structures
        for i in range(degree[y]):
            x = near[y, i]
            for j in range(i):
                z = near[y, j]
                if dag[x, y] and dag[z, y] and not (a[x, z] or a[z, x]):
                    waiting = _direct(a, arrows, waiting, x, y)
                    waiting = _direct(a, arrows, waiting, z, y)
    while waiting > 0:
        waiting -= 1
        waiting = _consequences(a, near, degree, arrows, waiting, arrows[waiting, 0], arrows[waiting, 1])
    return True


@compiled
def _extend(a: Adjacency, near: Ints, degree: Ints, dag: Adjacency) -> bool:
    """Dor and Tarsi: take a node that can be last, direct its lines to it, remove it; look again at its neighbours."""
    m = len(a)
    left = np.ones(m, np.bool_)
    queued = np.ones(m, np.bool_)
    queue = np.empty(m, np.int32)
    for x in range(m):
        queue[x] = m - 1 - x
    length, taken = m, 0
    while length > 0:
        length -= 1
        x = queue[length]
        queued[x] = False
        if not left[x] or not _can_be_last(a, near, degree, left, x):
            continue
        left[x] = False
        taken += 1
        for i in range(degree[x]):
            y = near[x, i]
            if left[y]:
                dag[y, x] = True
                if not queued[y]:
                    queued[y] = True
                    queue[length] = y
                    length += 1
    return taken == m


@compiled
def _can_be_last(a: Adjacency, near: Ints, degree: Ints, left: Adjacency, x: int) -> bool:
    for i in range(degree[x]):
        y = near[x, i]
        if left[y] and a[x, y]:
            if not a[y, x]:
                return False
            for j in range(degree[x]):
                z = near[x, j]
                if z != y and left[z] and not (a[y, z] or a[z, y]):
                    return False
    return True


@compiled
def _direct(a: Adjacency, arrows: Ints, waiting: int, x: int, y: int) -> int:
    """x - y becomes x -> y, and waits for its consequences; nothing where it is an arrow already."""
    if a[y, x]:
        a[y, x] = False
        arrows[waiting, 0], arrows[waiting, 1] = x, y
        waiting += 1
    return waiting


@compiled
def _consequences(a: Adjacency, near: Ints, degree: Ints, arrows: Ints, waiting: int, x: int, y: int) -> int:
    """What Meek's rules R1, R2 and R3 direct because of the arrow x -> y."""
    for i in range(degree[y]):
        z = near[y, i]
        if z == x:
            continue
        beside = a[x, z] or a[z, x]
        if a[y, z] and a[z, y] and not beside:  # R1
            waiting = _direct(a, arrows, waiting, y, z)
        elif a[y, z] and not a[z, y] and a[x, z] and a[z, x]:  # R2: x -> y -> z, x - z
            waiting = _direct(a, arrows, waiting, x, z)
        elif a[z, y] and a[y, z] and a[z, x] and not a[x, z]:  # R2: z -> x -> y, z - y
            waiting = _direct(a, arrows, waiting, z, y)
        elif a[z, y] and not a[y, z] and not beside:  # R3: w - x -> y, w - z -> y, w - y
            for j in range(degree[y]):
                w = near[y, j]
                if a[w, y] and a[y, w] and a[w, x] and a[x, w] and a[w, z] and a[z, w]:
                    waiting = _direct(a, arrows, waiting, w, y)
    return waiting
