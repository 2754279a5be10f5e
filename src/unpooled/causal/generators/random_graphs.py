"""Random DAGs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unpooled.causal.graphs.pdag import PDAG
from unpooled.errors import BadSetting, not_negative, positive


def erdos_renyi(nodes: int, degree: float, rng: np.random.Generator) -> PDAG:
    """A DAG with a random order in which each pair is an edge with equal chance, `degree` edges a node on average.

    Erdős and Rényi, 1959. `degree` counts both directions, so nodes * degree / 2 edges are expected. Raises
    `BadSetting` for a degree above nodes - 1.
    """
    positive(nodes=nodes)
    not_negative(degree=degree)
    if degree > nodes - 1:
        raise BadSetting(f"{nodes} nodes have a degree of at most {nodes - 1}, got {degree}.")
    upper = np.triu(rng.random((nodes, nodes)) < degree / max(nodes - 1, 1), k=1)
    return _shuffled(upper, rng)


def scale_free(nodes: int, attached: int, rng: np.random.Generator) -> PDAG:
    """Each node in turn draws `attached` parents among the earlier ones, likelier the more edges they have.

    Barabási and Albert, Science 286, 1999; degrees plus 1 are the weights, and the first nodes draw what there is.
    """
    positive(nodes=nodes, attached=attached)
    upper = np.zeros((nodes, nodes), bool)
    for node in range(1, nodes):
        weights = upper[:, :node].sum(axis=0)[:node] + upper[:node, :node].sum(axis=1) + 1.0
        chosen = rng.choice(node, size=min(attached, node), replace=False, p=weights / weights.sum())
        upper[chosen, node] = True
    return _shuffled(upper, rng)


def exact_edges(nodes: int, edges: int, rng: np.random.Generator) -> PDAG:
    """A DAG with a random order and exactly so many edges, any such set of pairs equally likely.

    Raises `BadSetting` where there are fewer pairs than that.
    """
    positive(nodes=nodes)
    not_negative(edges=edges)
    pairs = np.stack(np.triu_indices(nodes, 1), axis=1)
    if edges > len(pairs):
        raise BadSetting(f"{nodes} nodes have at most {len(pairs)} edges, got {edges}.")
    upper = np.zeros((nodes, nodes), bool)
    upper[tuple(pairs[rng.choice(len(pairs), edges, replace=False)].T)] = True
    return _shuffled(upper, rng)


def _shuffled(upper: NDArray[np.bool_], rng: np.random.Generator) -> PDAG:
    order = rng.permutation(len(upper))
    return PDAG(upper[np.ix_(order, order)])
