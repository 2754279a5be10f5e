"""Random functions of a node's parents, each from (n, k) values to (n,), the parents about standard normal.

They are all linear in coefficients over features of the parents, and the first axis of what is kept is that of the
parents: a parent is cut by leaving out its part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
HIDDEN = 20
"""Units of the hidden layer, as in the Causal Discovery Toolbox's generator."""
WAVES = 200
"""Random features of a Gaussian process."""


class Function(Protocol):
    """A function of k parents that can be drawn anew and do without some of its parents."""

    @classmethod
    def random(cls, parents: int, rng: np.random.Generator) -> Self:
        """A new one of so many parents."""
        ...

    def __call__(self, x: Floats) -> Floats:
        """Values of shape (n,) at `x` of shape (n, k)."""
        ...

    def of(self, kept: Sequence[int]) -> Self:
        """The function of these parents only: as if the others were 0."""
        ...


@dataclass(frozen=True, eq=False)
class Polynomial:
    """A sum of a cubic of each parent: `weights`, shape (k, 3), of the Hermite polynomials of degree 1 to 3.

    These have mean 0, variance 1 and no correlation where a parent is standard normal. Weights are normal. Beyond 3 a
    cubic stays as it is at 3: cubics of cubics have tails whose variance no table shows.
    """

    weights: Floats

    @classmethod
    def random(cls, parents: int, rng: np.random.Generator) -> Polynomial:
        """Standard normal weights."""
        return cls(rng.standard_normal((parents, 3)))

    def __call__(self, x: Floats) -> Floats:
        """Values of shape (n,)."""
        x = np.clip(x, -3.0, 3.0)
        powers = np.stack([x, (x**2 - 1.0) / np.sqrt(2.0), (x**3 - 3.0 * x) / np.sqrt(6.0)], axis=2)
        return np.asarray(np.einsum("nkd,kd->n", powers, self.weights))

    def of(self, kept: Sequence[int]) -> Polynomial:
        """Without the others' cubics."""
        return Polynomial(self.weights[list(kept)])


@dataclass(frozen=True, eq=False)
class Neural:
    """A network of two layers: tanh(x `inner` + `bias`) `outer`, shapes (k, h), (h,) and (h,), all weights normal."""

    inner: Floats
    bias: Floats
    outer: Floats

    @classmethod
    def random(cls, parents: int, rng: np.random.Generator) -> Neural:
        """Standard normal inner weights and biases; outer ones of variance 1 / h."""
        inner, bias = rng.standard_normal((parents, HIDDEN)), rng.standard_normal(HIDDEN)
        return cls(inner, bias, rng.standard_normal(HIDDEN) / np.sqrt(HIDDEN))

    def __call__(self, x: Floats) -> Floats:
        """Values of shape (n,)."""
        return np.asarray(np.tanh(x @ self.inner + self.bias) @ self.outer)

    def of(self, kept: Sequence[int]) -> Neural:
        """Without the others' inner weights."""
        return Neural(self.inner[list(kept)], self.bias, self.outer)


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """A draw from a Gaussian process of kernel exp(-|x - x'|^2 / 2), as a sum of random waves.

    sqrt(2 / d) sum_i weights_i cos(x frequencies_i + phase_i) with normal weights and frequencies has that covariance
    for any number of waves d, and is normal for many (Rahimi and Recht, "Random features for large-scale kernel
    machines", NIPS 2007). As a sum of waves it is one function that every environment can evaluate.
    """

    frequencies: Floats
    phase: Floats
    weights: Floats

    @classmethod
    def random(cls, parents: int, rng: np.random.Generator) -> GaussianProcess:
        """A new draw."""
        frequencies, phase = rng.standard_normal((parents, WAVES)), rng.uniform(0.0, 2.0 * np.pi, WAVES)
        return cls(frequencies, phase, rng.standard_normal(WAVES) * np.sqrt(2.0 / WAVES))

    def __call__(self, x: Floats) -> Floats:
        """Values of shape (n,)."""
        return np.asarray(np.cos(x @ self.frequencies + self.phase) @ self.weights)

    def of(self, kept: Sequence[int]) -> GaussianProcess:
        """The draw on the plane where the others are 0."""
        return GaussianProcess(self.frequencies[list(kept)], self.phase, self.weights)
