"""Where an operator leads: `graphs.operators.Operator.apply`, compiled, and who notices."""

from __future__ import annotations

import numpy as np

from unpooled.causal.compiling import constant, inside
from unpooled.causal.graphs.pdag import Adjacency
from unpooled.causal.search.compiled.classes import complete, link, unlink
from unpooled.causal.search.compiled.state import Graph, Ints, Queue

DELETE, TURN, INSERT = constant(0), constant(1), constant(2)


@inside
def apply(g: Graph, kind: int, x: int, y: int, clique: Ints) -> None:
    """Go to the class that the operator leads to, in place; `clique[: clique[-1]]` is its C, as in all of these."""
    a, near, degree = g
    if kind == DELETE:
        _delete(a, near, degree, x, y, clique)
    elif kind == TURN:
        _turn(a, near, degree, x, y, clique)
    else:
        for t in range(clique[-1]):
            a[y, clique[t]] = False  # C -> y
        link(near, degree, x, y)
        a[x, y], a[y, x] = True, False
    complete(a, near, degree)


@inside
def _delete(a: Adjacency, near: Ints, degree: Ints, x: int, y: int, clique: Ints) -> None:
    for i in range(degree[y]):
        h = near[y, i]
        if h != x and a[h, y] and a[y, h] and (a[h, x] or a[x, h]) and not _has(clique, h):
            a[h, y] = False
            if a[x, h]:
                a[h, x] = False
    a[x, y] = a[y, x] = False
    unlink(near, degree, x, y)


@inside
def _turn(a: Adjacency, near: Ints, degree: Ints, x: int, y: int, clique: Ints) -> None:
    line = a[x, y] and a[y, x]
    for i in range(degree[x]):
        w = near[x, i]
        if w != y and a[x, w] and a[w, x]:
            if line and _has(clique, w):
                a[x, w] = False
            else:
                a[w, x] = False
    for i in range(degree[y]):
        w = near[y, i]
        if w != x and a[w, y] and a[y, w]:
            if _has(clique, w):
                a[y, w] = False
            else:
                a[w, y] = False
    a[x, y], a[y, x] = True, False


@inside
def copied(g: Graph) -> Graph:
    """Another one, to be changed."""
    return Graph(g.a.copy(), g.near.copy(), g.degree.copy())


@inside
def notice(g: Graph, old: Adjacency, x: int, y: int, queue: Queue) -> None:
    """Forget what the queue has of those around whom something has changed since `old`; x and y were operated on."""
    a, near, degree = g
    for u in range(len(a)):
        for i in range(degree[u]):
            v = near[u, i]
            if a[u, v] != old[u, v] or a[v, u] != old[v, u]:
                _forget(g, u, queue)
                break
    for u in (x, y):
        _forget(g, u, queue)
        if (a[x, y] or a[y, x]) != (old[x, y] or old[y, x]):
            for i in range(degree[u]):  # who has a line to one of them may have lost or got a common neighbour
                w = near[u, i]
                if a[w, u] and a[u, w]:
                    _unknown(queue, w)


@inside
def _has(clique: Ints, node: int) -> bool:
    found = False
    for t in range(clique[-1]):
        found |= clique[t] == node
    return found


@inside
def _forget(g: Graph, u: int, queue: Queue) -> None:
    """What is around u has changed: operators into it, and turns of u's edges into nodes w with w -> u or w - u."""
    _unknown(queue, u)
    for i in range(g.degree[u]):
        w = g.near[u, i]
        if g.a[w, u]:
            queue.bound[TURN, w] = np.inf


@inside
def _unknown(queue: Queue, u: int) -> None:
    for kind in range(3):
        queue.bound[kind, u] = np.inf
