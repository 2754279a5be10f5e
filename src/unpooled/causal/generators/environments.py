"""Tables of several environments with the graph and the interventions that they were drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pandas as pd

from unpooled.causal.generators.interventions import Intervention
from unpooled.causal.graphs.pdag import PDAG
from unpooled.errors import BadSetting


class Model(Protocol):
    """What tables are drawn from."""

    @property
    def graph(self) -> PDAG:
        """The DAG."""
        ...

    def sample(self, rows: int, rng: np.random.Generator) -> pd.DataFrame:
        """A table of independent rows."""
        ...

    def intervene(self, targets: Mapping[str, Intervention], rng: np.random.Generator) -> Self:
        """The model with other mechanisms at the named nodes."""
        ...


@dataclass(frozen=True)
class Target:
    """The mechanism of `variable` is another one at `site`.

    `type` says what differs, in the words of `causal.combined`: "hard" (no parent is left), "soft" (some are),
    "mechanism", "noise" or "shift". A node without parents that is cut off from them is no target.
    """

    site: str
    variable: str
    type: str


@dataclass(frozen=True, eq=False)
class Environments:
    """A table for each environment, called s0, s1, ...; the DAG of the first model, and the true targets."""

    tables: Mapping[str, pd.DataFrame]
    graph: PDAG
    targets: tuple[Target, ...]

    @property
    def varsortability(self) -> float:
        """That of all rows together."""
        return varsortability(self.graph, pd.concat(list(self.tables.values())))


def environments(
    models: Model | Sequence[Model],
    rows: Sequence[int],
    interventions: Sequence[Mapping[str, Intervention]],
    rng: np.random.Generator,
    *,
    standardise: bool = True,
) -> Environments:
    """One table an environment: so many rows under those interventions ({} leaves a model as it is).

    `models` is one for all, or one for each environment. `standardise` brings every column to mean 0 and variance 1
    by constants of all rows together, so that the variances do not tell the order of nodes and environments keep one
    unit. Raises `BadSetting` where the lists differ in length.
    """
    several = list(models) if isinstance(models, Sequence) else [models] * len(rows)
    if not rows or not len(rows) == len(interventions) == len(several):
        raise BadSetting(
            f"{len(rows)} numbers of rows do not fit {len(interventions)} environments and {len(several)} models."
        )
    changed = [model.intervene(targets, rng) for model, targets in zip(several, interventions, strict=True)]
    tables = {f"s{k}": model.sample(n, rng) for k, (model, n) in enumerate(zip(changed, rows, strict=True))}
    if standardise:
        together = pd.concat(list(tables.values()))
        centre, spread = together.mean(), together.std(ddof=0).replace(0.0, 1.0)
        tables = {name: (table - centre) / spread for name, table in tables.items()}
    targets = tuple(
        Target(f"s{k}", name, differs)
        for k, (model, other, own) in enumerate(zip(several, changed, interventions, strict=True))
        for name, how in own.items()
        if (differs := _differs(how, model.graph, other.graph, name))
    )
    return Environments(tables, several[0].graph, targets)


def _differs(how: Intervention, before: PDAG, after: PDAG, name: str) -> str:
    """What an intervention changed; "" for nothing."""
    node = before.names.index(name)
    had, has = before.parents(node), after.parents(node)
    if has != had:
        return "soft" if has else "hard"
    if how.kind == "coefficient" and had:
        return "mechanism"
    other_noise = how.noise * (how.size if how.kind == "noise" else 1.0) != 1.0
    if how.kind == "shift" and how.size:
        return "mechanism" if other_noise else "shift"
    return "noise" if other_noise else ""


def varsortability(graph: PDAG, table: pd.DataFrame) -> float:
    """Share of directed paths along which the variance grows; ties count half; 0.5 where there is no path.

    Where it is near 1, sorting the columns by variance gives the order of nodes, which no method should be praised for
    (Reisach, Seiler and Weichwald, "Beware of the simulated DAG!", NeurIPS 2021). Paths of one length between two nodes
    count once.
    """
    variance = table.to_numpy(np.float64).var(axis=0)
    ratio = variance[None, :] / np.maximum(variance[:, None], np.finfo(np.float64).tiny)
    grows = np.where(np.abs(ratio - 1.0) < 1e-9, 0.5, ratio > 1.0)
    arrows, paths = graph.directed, graph.directed
    counted = right = 0.0
    while paths.any():
        counted, right = counted + paths.sum(), right + grows[paths].sum()
        paths = (paths.astype(int) @ arrows.astype(int)) > 0
    return float(right / counted) if counted else 0.5
