"""Completion of a PDAG in time that grows with its edges: `graphs.completion`, compiled.

Neighbours are lists: `near[x, :degree[x]]` are the nodes adjacent to x. Meek, UAI 1995.
"""

from __future__ import annotations

import numpy as np

from unpooled.causal.compiling import inside
from unpooled.causal.graphs.pdag import Adjacency
from unpooled.causal.search.compiled.state import Ints


@inside
def link(near: Ints, degree: Ints, x: int, y: int) -> None:
    """Make two nodes neighbours."""
    near[x, degree[x]] = y
    near[y, degree[y]] = x
    degree[x] += 1
    degree[y] += 1


@inside
def unlink(near: Ints, degree: Ints, x: int, y: int) -> None:
    """Undo `link`."""
    for a, b in ((x, y), (y, x)):
        for i in range(degree[a]):
            if near[a, i] == b:
                near[a, i] = near[a, degree[a] - 1]
                break
        degree[a] -= 1


@inside
def edges(degree: Ints) -> int:
    """How many edges there are."""
    ends = 0
    for x in range(len(degree)):
        ends += degree[x]
    return ends // 2


@inside
def complete(a: Adjacency, near: Ints, degree: Ints) -> None:
    """Turn the PDAG `a`, in place, into the CPDAG of its extensions, of which there must be one.

    An extension has the skeleton and the v-structures of the PDAG, so that none has to be made.
    """
    arrows = np.empty((edges(degree) + 1, 2), np.int64)
    found = 0
    for y in range(len(a)):
        for i in range(degree[y]):
            x = near[y, i]
            if a[x, y] and not a[y, x]:
                for j in range(degree[y]):
                    z = near[y, j]
                    if z != x and a[z, y] and not a[y, z] and not (a[x, z] or a[z, x]):  # x -> y <- z
                        arrows[found, 0], arrows[found, 1] = x, y
                        found += 1
                        break
    lines = degree.copy()
    for x in range(len(a)):
        for i in range(degree[x]):
            a[x, near[x, i]] = True
    for i in range(found):
        x, y = arrows[i, 0], arrows[i, 1]
        a[y, x] = False
        lines[x] -= 1
        lines[y] -= 1
    waiting = found
    while waiting > 0:
        waiting -= 1
        x, y = arrows[waiting, 0], arrows[waiting, 1]
        if lines[x] > 0 or lines[y] > 0:
            before = waiting
            waiting = consequences(a, near, degree, arrows, waiting, x, y)
            for i in range(before, waiting):
                lines[arrows[i, 0]] -= 1
                lines[arrows[i, 1]] -= 1


@inside
def direct(a: Adjacency, arrows: Ints, waiting: int, x: int, y: int) -> int:
    """x - y becomes x -> y, and waits for its consequences; nothing where it is an arrow already."""
    if a[y, x]:
        a[y, x] = False
        arrows[waiting, 0], arrows[waiting, 1] = x, y
        waiting += 1
    return waiting


@inside
def consequences(a: Adjacency, near: Ints, degree: Ints, arrows: Ints, waiting: int, x: int, y: int) -> int:
    """What Meek's rules R1, R2 and R3 direct because of the arrow x -> y."""
    for i in range(degree[y]):
        z = near[y, i]
        if z == x:
            continue
        beside = a[x, z] or a[z, x]
        if a[y, z] and a[z, y] and not beside:  # R1
            waiting = direct(a, arrows, waiting, y, z)
        elif a[y, z] and not a[z, y] and a[x, z] and a[z, x]:  # R2: x -> y -> z, x - z
            waiting = direct(a, arrows, waiting, x, z)
        elif a[z, y] and a[y, z] and a[z, x] and not a[x, z]:  # R2: z -> x -> y, z - y
            waiting = direct(a, arrows, waiting, z, y)
        elif a[z, y] and not a[y, z] and not beside:  # R3: w - x -> y, w - z -> y, w - y
            for j in range(degree[y]):
                w = near[y, j]
                if a[w, y] and a[y, w] and a[w, x] and a[x, w] and a[w, z] and a[z, w]:
                    waiting = direct(a, arrows, waiting, w, y)
    return waiting
