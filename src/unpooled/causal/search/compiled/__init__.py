"""The delete-first search for Gaussian scores as machine code; the plain form is `search.delete_first`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unpooled.causal.graphs.pdag import Adjacency
from unpooled.causal.search.compiled.classes import Ints
from unpooled.causal.search.compiled.climbing import DELETE, apply, climb, deletions
from unpooled.causal.search.compiled.shares import Floats

Deletion = tuple[int, ...]
"""(x, y, size of C, C ...)."""


class _State:
    """A class, its nodes' neighbours, and the queue of `climbing`."""

    def __init__(self, a: Adjacency, near: Ints, degree: Ints, bound: Floats) -> None:
        self.a, self.near, self.degree, self.bound = a, near, degree, bound

    def copy(self) -> _State:
        return _State(self.a.copy(), self.near.copy(), self.degree.copy(), self.bound.copy())


def search(r: Floats, rows: int, penalty: float, extended: bool, least: float) -> tuple[Adjacency, int]:
    """The CPDAG's matrix (m, m) and the number of operators that led to it, from correlations (m, m).

    The steps of `delete_first.plain_delete_first`, which says what they are for.
    """
    m = len(r)
    state = _State(
        np.zeros((m, m), np.bool_), np.zeros((m, m), np.int32), np.zeros(m, np.int32), np.full((3, m), np.inf)
    )
    steps = _climb(state, r, rows, penalty, least, (-1, -1))[1]
    succeeded = extended
    while succeeded:
        succeeded, tried = False, set[Deletion]()
        left = _cheapest_first(state, r, rows, penalty)
        while (entry := next(left, None)) is not None:
            gain, deletion = entry
            if deletion in tried:
                continue
            tried.add(deletion)
            trial = state.copy()
            x, y, size, *clique = deletion
            padded = np.zeros(m + 1, np.int32)
            padded[:size], padded[-1] = clique, size
            apply(DELETE, x, y, trial.a, trial.near, trial.degree, padded, trial.bound)
            gained, more = _climb(trial, r, rows, penalty, least, (x, y))
            if gained + gain > least:
                trial.bound[:, [x, y]] = np.inf  # the pair was kept out
                state, succeeded = trial, True
                steps += 1 + more + _climb(state, r, rows, penalty, least, (-1, -1))[1]
                left = _cheapest_first(state, r, rows, penalty)
    return state.a, steps


def _climb(
    state: _State, r: Floats, rows: int, penalty: float, least: float, blocked: tuple[int, int]
) -> tuple[float, int]:
    return climb(state.a, state.near, state.degree, r, rows, penalty, least, *blocked, state.bound)


def _cheapest_first(state: _State, r: Floats, rows: int, penalty: float) -> Iterator[tuple[float, Deletion]]:
    gains, found = deletions(state.a, state.near, state.degree, r, rows, penalty)
    for i in np.argsort(-gains, kind="stable"):
        yield float(gains[i]), tuple(int(n) for n in found[i, : 3 + found[i, 2]])
