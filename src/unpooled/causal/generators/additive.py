"""Nonlinear models with additive noise over a DAG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unpooled.causal.generators.functions import Function, GaussianProcess, Neural, Polynomial
from unpooled.causal.generators.interventions import Intervention, placed
from unpooled.causal.graphs.pdag import PDAG, topological_order
from unpooled.errors import BadSetting, above_zero, did_you_mean, positive

Floats = NDArray[np.float64]
FUNCTIONS: dict[str, type[Function]] = {"polynomial": Polynomial, "neural": Neural, "gaussian_process": GaussianProcess}
LAWS = ("gaussian", "uniform")
PROBE = 4000
"""Rows on which functions and variables are brought to mean 0 and variance 1 when a model is made."""


@dataclass(frozen=True, eq=False)
class Mechanism:
    """x = scale (size (f(parents) - centre) / spread + noise e + shift), e of mean 0 and variance 1; f None is 0."""

    parents: tuple[int, ...]
    function: Function | None
    noise: float
    centre: float = 0.0
    spread: float = 1.0
    size: float = 1.0
    shift: float = 0.0
    scale: float = 1.0

    def effect(self, x: Floats) -> Floats:
        """What the parents do, shape (n,), of all variables' values `x`, shape (n, m)."""
        if self.function is None:
            return np.zeros(len(x))
        return self.size * (self.function(x[:, list(self.parents)]) - self.centre) / self.spread

    def value(self, x: Floats, noise: Floats) -> Floats:
        """The variable, shape (n,)."""
        return self.scale * (self.effect(x) + self.noise * noise + self.shift)


@dataclass(frozen=True, eq=False)
class AdditiveNoise:
    """Every variable is a function of its parents plus noise of the law `law`: one `Mechanism` a name."""

    names: tuple[str, ...]
    mechanisms: tuple[Mechanism, ...]
    law: str = "gaussian"

    @classmethod
    def random(
        cls,
        dag: PDAG,
        rng: np.random.Generator,
        *,
        function: Literal["polynomial", "neural", "gaussian_process"] = "neural",
        noise: float = 0.5,
        law: Literal["gaussian", "uniform"] = "gaussian",
    ) -> AdditiveNoise:
        """Functions drawn anew for every node that has parents.

        The functions' values are brought to mean 0 and variance 1, so `noise` is the noise's standard deviation in
        units of the effect's; then every variable to variance 1, so that variances tell nothing of the order of nodes.
        Both by constants found on a table of this model, which stay as they are in every environment. Raises
        `BadSetting` for an unknown function or law.
        """
        for setting, value, known in (("function", function, FUNCTIONS), ("law", law, LAWS)):
            if value not in known:
                raise BadSetting(
                    f"{setting} is one of {', '.join(known)}, got {value!r}.{did_you_mean(str(value), known)}"
                )
        above_zero(noise=noise)
        order = topological_order(dag.adjacency)
        if order is None or not dag.is_dag:
            raise BadSetting("A model needs a DAG: arrows only, and no cycle.")
        x = np.zeros((PROBE, len(dag.names)))
        found = [Mechanism((), None, 1.0) for _ in dag.names]
        for node in order:
            if parents := dag.parents(node):
                own = FUNCTIONS[function].random(len(parents), rng)
                values = own(x[:, list(parents)])
                centre, spread = float(values.mean()), float(values.std())
                scale = 1.0 / float(np.sqrt(1.0 + noise**2))
                found[node] = Mechanism(parents, own, noise, centre, spread, scale=scale)
            x[:, node] = found[node].value(x, _noise(law, PROBE, rng))
        return cls(dag.names, tuple(found), law)

    @property
    def graph(self) -> PDAG:
        """The DAG of all parents."""
        arrows = [(self.names[p], self.names[j]) for j, own in enumerate(self.mechanisms) for p in own.parents]
        return PDAG.from_edges(self.names, arrows)

    def sample(self, rows: int, rng: np.random.Generator) -> pd.DataFrame:
        """A table of so many independent rows."""
        positive(rows=rows)
        order = topological_order(self.graph.adjacency)
        assert order is not None  # as `random` and `intervene` keep it
        x = np.zeros((rows, len(self.names)))
        noise = np.stack([_noise(self.law, rows, rng) for _ in self.names], axis=1)
        for node in order:
            x[:, node] = self.mechanisms[node].value(x, noise[:, node])
        return pd.DataFrame(x, columns=list(self.names))

    def intervene(self, targets: Mapping[str, Intervention], rng: np.random.Generator) -> AdditiveNoise:
        """The model in which each named node's mechanism is another one; raises `BadSetting` for an unknown name."""
        mechanisms = list(self.mechanisms)
        for node, how in placed(targets, self.names):
            old = mechanisms[node]
            mechanisms[node] = replace(_changed(old, how, rng), noise=_noise_after(old.noise, how))
        return replace(self, mechanisms=tuple(mechanisms))


def _noise_after(noise: float, how: Intervention) -> float:
    return noise * how.noise * (how.size if how.kind == "noise" else 1.0)


def _changed(old: Mechanism, how: Intervention, rng: np.random.Generator) -> Mechanism:
    if how.kind == "shift":
        return replace(old, shift=old.shift + how.size * float(rng.choice([-1.0, 1.0])))
    if old.function is None or how.kind == "noise":
        return old
    if how.kind == "coefficient":
        return replace(old, function=type(old.function).random(len(old.parents), rng), size=how.size)
    cut = np.ones(len(old.parents), bool) if how.kind == "hard" else rng.random(len(old.parents)) < how.size
    kept = np.flatnonzero(~cut).tolist()
    if not kept:
        return replace(old, parents=(), function=None)
    return replace(old, parents=tuple(old.parents[i] for i in kept), function=old.function.of(kept))


def _noise(law: str, rows: int, rng: np.random.Generator) -> Floats:
    """Mean 0, variance 1."""
    if law == "uniform":
        return rng.uniform(-np.sqrt(3.0), np.sqrt(3.0), rows)
    return rng.standard_normal(rows)
