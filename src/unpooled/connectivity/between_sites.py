"""Barriers between the models of sites, while they learn together: which layers could be averaged at this moment.

Adilova et al., ICLR 2024, section on federated learning: barriers are measured between clients' models just before
they are averaged. Two questions are answered. Between pairs: the barrier of `connect`, half-way between two sites.
Of the mean: what averaging does, a site's layer replaced by the mean of all sites' (with all layers, the aggregate).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Protocol

import pandas as pd
import torch
from torch import Tensor, nn

from unpooled.connectivity.checkpoints import Weights
from unpooled.connectivity.layers import movable
from unpooled.connectivity.study import Study
from unpooled.errors import BadData, positive
from unpooled.seeds import Streams


class Seen(Protocol):
    """What a training shows: local steps done, and the state dict of each site's model."""

    @property
    def step(self) -> int: ...

    @property
    def weights(self) -> Mapping[str, Mapping[str, Tensor]]: ...


class BetweenSites:
    """Hand it to `train` as `watch`: it measures barriers between sites' models at every evaluation.

    `model` gives the architecture, `data` = (X, y) what all models are scored on. `pairs` of sites and `sites` against
    the mean are drawn once, under `seed`, from the sites of the first call; who does not take part in a round is left
    out of it. Other settings are those of `connect`.
    """

    def __init__(
        self,
        model: nn.Module,
        data: tuple[Any, Any],
        *,
        pairs: int = 3,
        sites: int = 6,
        cuts: Sequence[str] = ("full", "layer"),
        seed: int = 0,
        **settings: Any,
    ) -> None:
        positive(pairs=pairs, sites=sites)
        self.model, self.data, self._counts, self._streams = model, data, (pairs, sites), Streams(seed)
        self._settings: dict[str, Any] = {**settings, "cuts": tuple(cuts), "points": 3}
        self._pairs: list[tuple[str, str]] = []
        self._sites: list[str] = []
        self._rows: list[pd.DataFrame] = []

    def __call__(self, seen: Seen) -> None:
        """Measure now. Raises `BadData` for fewer than two sites, which have nothing between them."""
        if len(seen.weights) < 2:
            raise BadData(f"Barriers between sites need at least two models; there is {len(seen.weights)}.")
        if not self._pairs:
            self._choose(sorted(seen.weights))
        for a, b in self._pairs:
            if a in seen.weights and b in seen.weights:
                found = self._between(seen.weights[a], seen.weights[b])
                rows = found[found["reference"] == "mean"]
                self._keep(rows, seen.step, f"{a} | {b}", "pair", rows["barrier"])
        middle = mean_of(list(seen.weights.values()))
        for name in self._sites:
            if name in seen.weights:
                found = self._between(seen.weights[name], middle)
                rows = found[(found["reference"] == "default") & (found["default"] == "a")]
                self._keep(rows, seen.step, name, "mean", rows["at_swap"] - rows["at_default"])

    def _between(self, a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> pd.DataFrame:
        return Study(dict(a), dict(b), self.data, model=self.model, **self._settings).run().barriers

    def _keep(self, rows: pd.DataFrame, step: int, who: str, against: str, barrier: Any) -> None:
        kept = rows[["kind", "place", "part", "default", "metric"]].assign(barrier=barrier)
        self._rows.append(kept.assign(step=step, who=who, against=against))

    def _choose(self, names: list[str]) -> None:
        pairs, sites = self._counts
        rng = self._streams.generator("sites to compare")
        every = list(combinations(names, 2))
        self._pairs = [every[int(i)] for i in sorted(rng.permutation(len(every))[:pairs])]
        self._sites = [names[int(i)] for i in sorted(rng.permutation(len(names))[:sites])]

    @property
    def frame(self) -> pd.DataFrame:
        """A row a step, pair or site (`who`), part, default model and metric.

        `against` is "pair": `barrier` half-way against the mean of both models. Or "mean": the rise when the site takes
        this part from the mean of all sites. Both in the metric's unit, lower is better.
        """
        if not self._rows:
            raise BadData("Nothing was watched yet: train with watch=this.")
        return pd.concat(self._rows, ignore_index=True)

    def table(self, metric: str = "error", against: str = "mean") -> pd.DataFrame:
        """Parts against steps: means over those watched (and over both default models)."""
        rows = self.frame
        rows = rows[(rows["metric"] == metric) & (rows["against"] == against)]
        if rows.empty:
            known = ", ".join(sorted(set(self.frame["metric"])))
            raise BadData(f"There are no barriers of '{metric}' against '{against}'; metrics are {known}.")
        wide = rows.pivot_table(index=["kind", "place", "part"], columns="step", values="barrier", sort=False)
        return wide.droplevel("place")


def mean_of(models: Sequence[Mapping[str, Tensor]]) -> Weights:
    """The mean of models, entry by entry, in double precision; whole numbers are those of the first."""
    first = models[0]
    found = {}
    for name, tensor in first.items():
        if movable(name, tensor):
            found[name] = torch.stack([model[name].double() for model in models]).mean(0).to(tensor.dtype)
        else:
            found[name] = tensor
    return found
