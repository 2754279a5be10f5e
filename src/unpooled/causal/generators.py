"""Data with a known graph: random DAGs, linear-Gaussian models, environments with interventions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unpooled.causal.graphs.pdag import PDAG, topological_order
from unpooled.errors import BadSetting, not_negative, positive

Floats = NDArray[np.float64]


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


def _shuffled(upper: NDArray[np.bool_], rng: np.random.Generator) -> PDAG:
    order = rng.permutation(len(upper))
    return PDAG(upper[np.ix_(order, order)])


@dataclass(frozen=True, eq=False)
class LinearGaussian:
    """x_j = shift_j + sum_i weights[i, j] x_i + noise_j N(0, 1); `weights`, shape (m, m), are 0 without an arrow.

    `noise` and `shift` have shape (m,), in the unit of x_j.
    """

    names: tuple[str, ...]
    weights: Floats
    noise: Floats
    shift: Floats

    @classmethod
    def random(
        cls, dag: PDAG, rng: np.random.Generator, *, low: float = 0.4, high: float = 1.2, noise: float = 1.0
    ) -> LinearGaussian:
        """Weights of random sign and a size between `low` and `high`, equal noise, no shift."""
        m = len(dag.names)
        weights = dag.directed * rng.uniform(low, high, (m, m)) * rng.choice([-1.0, 1.0], (m, m))
        return cls(dag.names, weights, np.full(m, noise), np.zeros(m))

    @property
    def graph(self) -> PDAG:
        """The DAG of the weights that are not 0."""
        return PDAG(self.weights != 0, self.names)

    def covariance(self) -> Floats:
        """The exact covariance of shape (m, m): what a table of infinitely many rows would have."""
        effects = np.linalg.inv(np.eye(len(self.noise)) - self.weights)
        return np.asarray(effects.T * self.noise**2 @ effects, np.float64)

    def sample(self, rows: int, rng: np.random.Generator) -> pd.DataFrame:
        """A table of so many independent rows."""
        positive(rows=rows)
        order = topological_order(self.weights != 0)
        assert order is not None  # PDAG and intervene keep it so
        x = rng.standard_normal((rows, len(self.noise))) * self.noise + self.shift
        for node in order:
            x[:, node] += x @ self.weights[:, node]
        return pd.DataFrame(x, columns=list(self.names))

    def intervene(self, targets: Mapping[str, Intervention], rng: np.random.Generator) -> LinearGaussian:
        """The model in which each named node's mechanism is another one; raises `BadSetting` for an unknown name."""
        weights, noise, shift = self.weights.copy(), self.noise.copy(), self.shift.copy()
        for name, how in targets.items():
            if name not in self.names:
                raise BadSetting(f"There is no node {name!r} to intervene on; nodes are {', '.join(self.names)}.")
            j = self.names.index(name)
            if how.kind == "hard":
                weights[:, j] = 0.0
            elif how.kind == "soft":
                parents = np.flatnonzero(weights[:, j])
                weights[parents[rng.random(len(parents)) < how.size], j] = 0.0
            elif how.kind == "coefficient":
                redrawn = rng.uniform(0.4, 1.2, len(weights)) * rng.choice([-1.0, 1.0], len(weights)) * how.size
                weights[:, j] = np.where(weights[:, j] != 0, redrawn, 0.0)
            elif how.kind == "noise":
                noise[j] *= how.size
            else:
                shift[j] += how.size * rng.choice([-1.0, 1.0])
        return LinearGaussian(self.names, weights, noise, shift)


@dataclass(frozen=True)
class Intervention:
    """What happens to a node's mechanism, and how much of it.

    "hard" cuts all parents; "soft" cuts each with chance `size`; "coefficient" draws new weights of the default sizes,
    times `size`; "noise" multiplies the noise by `size`; "shift" moves the mean by `size` up or down.
    """

    kind: Literal["hard", "soft", "coefficient", "noise", "shift"]
    size: float = field(default=1.0)

    def __post_init__(self) -> None:
        known = ("hard", "soft", "coefficient", "noise", "shift")
        if self.kind not in known:
            raise BadSetting(f"An intervention is one of {', '.join(known)}, got {self.kind!r}.")
        not_negative(size=self.size)


def environments(
    model: LinearGaussian,
    rows: Sequence[int],
    interventions: Sequence[Mapping[str, Intervention]],
    rng: np.random.Generator,
) -> list[pd.DataFrame]:
    """One table an environment: so many rows under those interventions ({} leaves the model as it is).

    Raises `BadSetting` where the two lists differ in length.
    """
    if len(rows) != len(interventions):
        raise BadSetting(f"{len(rows)} numbers of rows do not fit {len(interventions)} environments.")
    changed = [model.intervene(targets, rng) for targets in interventions]
    return [environment.sample(n, rng) for environment, n in zip(changed, rows, strict=True)]
