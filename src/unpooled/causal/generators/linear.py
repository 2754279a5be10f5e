"""Linear-Gaussian models over a DAG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unpooled.causal.generators.interventions import Intervention, placed
from unpooled.causal.graphs.pdag import PDAG, topological_order
from unpooled.errors import positive

Floats = NDArray[np.float64]


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
        for j, how in placed(targets, self.names):
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
            noise[j] *= how.noise
        return LinearGaussian(self.names, weights, noise, shift)
