"""How barriers depend on the optimizer and the data: pairs of models for each setting of a grid, several seeds each.

The question that Adilova et al., ICLR 2024, leave open. A grid over `spawn_at` is the instability analysis of Frankle,
Dziugaite, Roy, Carbin, ICML 2020: two models train together for so many steps, then apart, and instability is the
greatest error on the way between them minus the mean of both ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

import pandas as pd
from torch import Tensor, nn

from unpooled.connectivity.pairs import PairSettings, train_pair
from unpooled.connectivity.plain import Told
from unpooled.connectivity.plan import Silent
from unpooled.connectivity.results import NO_BARRIER
from unpooled.connectivity.study import connect
from unpooled.errors import BadSetting, Diverged, did_you_mean

Rows = tuple[Tensor, Tensor]
DIALS = tuple(field.name for field in fields(PairSettings) if field.name != "seed")
POINTS = 31
"""Models on the way between two, of which Frankle et al. score 30."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """`values`: a row a setting, seed, part, default model and metric; `diverged`: settings that reached no end.

    `dials` are the columns of `values` that the grid set; `barrier` is against the mean of both full models.
    """

    values: pd.DataFrame
    diverged: pd.DataFrame
    dials: tuple[str, ...]

    def table(self, metric: str = "error") -> pd.DataFrame:
        """A row a setting: the full barrier, the highest of a layer and the ratio to the null model, means over seeds.

        `null_model` is layers times mean single-layer barrier over the full one; it is empty where the full barrier
        is below 2 points of error, as there is nothing to share out. `seeds` counts pairs that reached their end.
        """
        rows = self.values[self.values["metric"] == metric]
        if rows.empty:
            raise BadSetting(f"There is no metric '{metric}' in this sweep, or no pair reached its end.")
        each = pd.DataFrame([_one(key, pair, self.dials) for key, pair in rows.groupby([*self.dials, "seed"])])
        grouped = each.groupby(list(self.dials), sort=False)
        found = grouped.agg(
            seeds=("full", "size"),
            full=("full", "mean"),
            spread=("full", "std"),
            highest_layer=("highest", "mean"),
            mean_layer=("mean", "mean"),
            null_model=("null", "mean"),
            distance=("distance", "mean"),
            end=("end", "mean"),
        )
        return found.reset_index()


def _one(key: Any, pair: pd.DataFrame, dials: Sequence[str]) -> dict[str, Any]:
    full = float(pair.loc[pair["kind"] == "full", "barrier"].mean())
    by_layer = pair[pair["kind"] == "layer"].groupby("part")["barrier"].mean()
    null = len(by_layer) * by_layer.mean() / full if full >= NO_BARRIER else float("nan")
    first = pair.iloc[0]
    return {
        **dict(zip((*dials, "seed"), key, strict=True)),
        "full": full,
        "highest": float(by_layer.max()),
        "mean": float(by_layer.mean()),
        "null": null,
        "distance": float(first["distance"]),
        "end": float(first["end_a"] + first["end_b"]) / 2,
    }


def sweep(
    make: Callable[[], nn.Module],
    train: Rows,
    test: Rows,
    grid: Mapping[str, Sequence[Any]],
    *,
    base: PairSettings | None = None,
    seeds: Iterable[int] = range(3),
    cuts: Sequence[str] = ("full", "layer"),
    told: Told = Silent,
    **settings: Any,
) -> Sweep:
    """Train a pair for each combination in `grid` and each seed, and measure its barriers on `test` = (X, y).

    `grid` maps names of `PairSettings` (lr, optimizer, split, label_noise, spawn_at, ...) to values; `base` holds the
    others; `settings` are those of `connect`. A pair that diverges is listed, and the sweep goes on. Raises
    `BadSetting` for names and values that do not fit, before the first pair is trained.

    >>> from torch import nn, randn
    >>> X, y = randn(40, 4), (randn(40) > 0).long()
    >>> base = PairSettings(epochs=1, same_init=True)
    >>> sweep(lambda: nn.Linear(4, 2), (X, y), (X, y), {"lr": [0.01, 0.1]}, base=base, seeds=[0]).table()["lr"].tolist()
    [0.01, 0.1]
    """
    jobs = list(_jobs(grid, base or PairSettings(), list(seeds)))
    if not jobs:
        raise BadSetting("A sweep needs at least one value for each name, and at least one seed.")
    found, diverged = [], []
    for done, (values, one) in enumerate(jobs):
        try:
            pair = train_pair(make, *train, one)
        except Diverged as error:
            diverged.append({**values, "seed": one.seed, "why": str(error)})
        else:
            result = connect(pair.a, pair.b, test, cuts=cuts, **settings)
            apart = float(result.layers.loc[result.layers["layer"] == "all", "distance"].iloc[0])
            rows = result.barriers[result.barriers["reference"] == "mean"]
            found.append(rows.assign(**values, seed=one.seed, distance=apart))
        told(done + 1, len(jobs))
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["metric"])
    return Sweep(table, pd.DataFrame(diverged, columns=[*grid, "seed", "why"]), tuple(grid))


def _jobs(
    grid: Mapping[str, Sequence[Any]], base: PairSettings, seeds: Sequence[int]
) -> Iterator[tuple[dict[str, Any], PairSettings]]:
    for name in grid:
        if name not in DIALS:
            hint = did_you_mean(name, DIALS)
            raise BadSetting(f"There is no setting '{name}' of a pair; there are {', '.join(DIALS)}.{hint}")
    chosen = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    made = [(values, replace(base, **values)) for values in chosen]
    yield from ((values, replace(one, seed=seed)) for values, one in made for seed in seeds)


def instability(
    make: Callable[[], nn.Module],
    train: Rows,
    test: Rows,
    spawn_at: Sequence[int],
    *,
    base: PairSettings | None = None,
    seeds: Iterable[int] = range(3),
    points: int = POINTS,
    told: Told = Silent,
) -> pd.DataFrame:
    """Instability against the step at which two copies part: max over alpha of E(w_alpha) - (E(w_0) + E(w_1)) / 2.

    One row a step and seed, in points of error, with the error of both ends, the alpha of the maximum, and `stable`:
    below 2 points (Frankle et al.). Classifiers only. Raises `Diverged` for a loss that is no number.
    """
    given = base or PairSettings(same_init=True)
    jobs = list(_jobs({"spawn_at": spawn_at}, given, list(seeds)))
    rows = []
    for done, (values, one) in enumerate(jobs):
        pair = train_pair(make, *train, one)
        found = connect(pair.a, pair.b, test, cuts=("full",), points=points, metrics=["error"])
        cells = found.cells[found.cells["metric"] == "error"].sort_values("alpha")
        alphas, errors = cells["alpha"].to_numpy(), cells["value"].to_numpy()
        top = int(errors.argmax())
        height = float(errors[top] - (errors[0] + errors[-1]) / 2)
        ends = {"end_a": float(errors[0]), "end_b": float(errors[-1])}
        measured = {"instability": height, "alpha": float(alphas[top]), **ends}
        rows.append({**values, "seed": one.seed, **measured, "stable": height < NO_BARRIER})
        told(done + 1, len(jobs))
    return pd.DataFrame(rows)
