"""Votes and cuts: at which sites an edge is absent, and whether an edge pays for itself over all sites.

ORION (Mian, Kamp and Vreeken, AAAI 2023) as in spec 2.3 and 3.3, step 2. Site k votes for x -> y if its gain
Delta_k(x -> y | pa_y without x) is above 0. A site without some of a variable's parents is a soft target of it, without
all of them a hard one. The global graph and the targets are coded by S2 and S3; an edge stays if the gains of the sites
that vote for it are worth more than the bits that it takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from unpooled.causal.graphs.pdag import PDAG, Adjacency
from unpooled.causal.orion.codes import parents_bits, target_bits
from unpooled.causal.scores.spline_mdl.codes import log_choices

Floats = NDArray[np.float64]
Pair = tuple[int, tuple[int, ...]]
NATS_A_BIT = log(2.0)


class Scores(Protocol):
    """Local code lengths of each site, L_k(y | S) - L_k(y | nothing), in nats and with the penalty."""

    def fetch(self, pairs: Sequence[Pair]) -> None:
        """Ask for all of these that are not known."""
        ...

    def lengths(self, pair: Pair) -> Floats:
        """Shape (sites,)."""
        ...


def votes(scores: Scores, dag: Adjacency) -> Mapping[tuple[int, int], Floats]:
    """For each edge the gains of all sites, shape (sites,), in nats; a gain of 0 or less is a vote against it."""
    edges = [(int(x), int(y)) for x, y in zip(*np.nonzero(dag), strict=True)]
    parents = {y: tuple(int(i) for i in np.flatnonzero(dag[:, y])) for _, y in edges}
    without = {(x, y): tuple(p for p in parents[y] if p != x) for x, y in edges}
    scores.fetch([(y, s) for (x, y), less in without.items() for s in (less, parents[y])])
    return {(x, y): scores.lengths((y, less)) - scores.lengths((y, parents[y])) for (x, y), less in without.items()}


def structure_bits(dag: Adjacency, gains: Mapping[tuple[int, int], Floats], sites: int) -> float:
    """S2 + S3: the global graph, and the targets of each site with the parents that they lack there."""
    m = len(dag)
    counts = dag.sum(axis=0)
    bits = sum(parents_bits(m, int(p)) for p in counts)
    for site in range(sites):
        cut = [0] * m
        for (_, y), gain in gains.items():
            cut[y] += bool(gain[site] <= 0)
        targets = [y for y in range(m) if cut[y]]
        bits += log_choices(m, len(targets))
        bits += sum(target_bits(int(counts[y]), cut[y]) for y in targets)
    return bits


def edges_that_pay(scores: Scores, dag: PDAG, sites: int, required: Adjacency) -> PDAG:
    """The DAG without the edges whose bits are worth more than their gains, the worst first; `required` ones stay."""
    adjacency = dag.adjacency.copy()
    while True:
        gains = votes(scores, adjacency)
        now, worst, most = structure_bits(adjacency, gains, sites), None, 0.0
        for edge, gain in gains.items():
            if required[edge]:
                continue
            less = adjacency.copy()
            less[edge] = False
            saved = now - structure_bits(less, {e: g for e, g in gains.items() if e != edge}, sites)
            loss = float(np.maximum(gain, 0.0).sum()) / NATS_A_BIT
            if saved - loss > most:
                worst, most = edge, saved - loss
        if worst is None:
            return PDAG(adjacency, dag.names)
        adjacency[worst] = False
