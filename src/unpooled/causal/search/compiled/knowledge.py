"""Whether a class has a DAG that agrees with what is known: `graphs.background`, compiled.

Meek, UAI 1995: in a graph closed under his rules every line can be directed either way in some DAG of it. So lines are
directed one after the other as required, or against what is forbidden, and what follows is directed at once; the
class has no such DAG if and only if an arrow then stands the wrong way.
"""

from __future__ import annotations

import numpy as np

from unpooled.causal.compiling import ZERO, inside
from unpooled.causal.graphs.pdag import Adjacency
from unpooled.causal.search.compiled.classes import consequences, direct, edges
from unpooled.causal.search.compiled.state import Graph, Ints, Known


@inside
def agrees(g: Graph, known: Known) -> bool:
    """Whether some DAG of the CPDAG has all required arrows and no forbidden one."""
    m = len(g.a)
    a = g.a.copy()
    arrows = np.empty((edges(g.degree) + 1, 2), np.int64)
    for x in range(m):
        for y in range(m):
            if known.required[x, y] and not a[x, y]:
                return False
            away = known.forbidden[x, y] and a[x, y]  # x -> y becomes y -> x
            if away and not a[y, x]:
                return False
            if away or known.required[x, y]:
                waiting = direct(a, arrows, ZERO, y, x) if away else direct(a, arrows, ZERO, x, y)
                while waiting > 0:
                    waiting -= 1
                    u, v = arrows[waiting, 0], arrows[waiting, 1]
                    waiting = consequences(a, g.near, g.degree, arrows, waiting, u, v)
                    waiting = _through_two_arrows(a, g.near, g.degree, arrows, waiting, u, v)
    return True


@inside
def _through_two_arrows(a: Adjacency, near: Ints, degree: Ints, arrows: Ints, waiting: int, u: int, v: int) -> int:
    """What Meek's R4 directs because of the arrow u -> v: x - w -> z -> y, x next to z, w not next to y: x -> y."""
    for i in range(degree[v]):  # w = u, z = v
        y = near[v, i]
        if a[v, y] and not a[y, v]:
            waiting = _fourth(a, near, degree, arrows, waiting, u, v, y)
    for i in range(degree[u]):  # z = u, y = v
        w = near[u, i]
        if a[w, u] and not a[u, w]:
            waiting = _fourth(a, near, degree, arrows, waiting, w, u, v)
    return waiting


@inside
def _fourth(a: Adjacency, near: Ints, degree: Ints, arrows: Ints, waiting: int, w: int, z: int, y: int) -> int:
    if w == y or a[w, y] or a[y, w]:
        return waiting
    for i in range(degree[y]):
        x = near[y, i]
        if x != w and a[x, y] and a[y, x] and a[x, w] and a[w, x] and (a[x, z] or a[z, x]):
            waiting = direct(a, arrows, waiting, x, y)
    return waiting
