"""Is the averaging direction special? Random directions of the same length, layer by layer and for the whole model.

Adilova et al., ICLR 2024, Figure 5: rho_l is the distance of the models in layer l (weight and bias as one vector), z
is standard normal, and the default model moves by alpha rho_l z / |z|. Choices: one draw serves all alphas of a path
and both default models (paired); draws are 10, not 5; the whole model has two scalings, one radius for all layers
together ("global"), or each layer its own ("layerwise"). Nothing is normalised by filter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from unpooled.connectivity.checkpoints import Checkpoint, Weights
from unpooled.connectivity.cuts import Cut
from unpooled.connectivity.layers import Names
from unpooled.connectivity.moments import Moments
from unpooled.connectivity.plain import Told
from unpooled.connectivity.plan import Prepared, Silent
from unpooled.connectivity.study import Study
from unpooled.errors import BadSetting, positive
from unpooled.seeds import Streams

FEWEST = 10
"""Draws below which a mean and its spread say little."""


def direction(names: Names, like: Weights, radius: float, seed: int) -> dict[str, torch.Tensor]:
    """A vector of length `radius` in the entries `names`, uniform on the sphere; computed in double precision."""
    random = torch.Generator().manual_seed(seed)
    drawn = {name: torch.randn(like[name].shape, generator=random, dtype=torch.float64) for name in names}
    length = float(torch.sqrt(torch.stack([part.square().sum() for part in drawn.values()]).sum()))
    return {name: part * (radius / length) for name, part in drawn.items()}


def robustness(
    a: Checkpoint,
    b: Checkpoint,
    data: tuple[Any, Any] | None = None,
    *,
    draws: int = FEWEST,
    shares: Sequence[float] = (0.5, 1.0),
    told: Told = Silent,
    **settings: Any,
) -> pd.DataFrame:
    """How much worse models get along the averaging direction, and along `draws` random ones of equal length.

    One row a part (each layer, and "all" in two scalings), default model, share of the radius, and metric. `averaging`
    and `random` are rises above the default model (`random` a mean over draws, with `std`, `q05` and `q95`), `ratio`
    is the one over the other: above 1 the way to the other model is worse than chance. Settings are those of
    `connect`. Raises `BadSetting` for fewer than 10 draws.
    """
    return prepared(a, b, data, draws=draws, shares=shares, **settings).run(told)


def prepared(
    a: Checkpoint,
    b: Checkpoint,
    data: tuple[Any, Any] | None = None,
    *,
    draws: int = FEWEST,
    shares: Sequence[float] = (0.5, 1.0),
    **settings: Any,
) -> Prepared[pd.DataFrame]:
    """`robustness` with its cost, before the work."""
    positive(draws=draws)
    if draws < FEWEST:
        raise BadSetting(f"{draws} draws say little about a mean and its spread: take at least {FEWEST}.")
    if not shares or min(shares) <= 0:
        raise BadSetting(f"shares of the radius must lie above 0; got {list(shares)}.")
    study = Study(a, b, data, **{**settings, "cuts": ("full",), "points": 3})
    radii = study.distances().set_index("layer")["distance"]
    parts: list[tuple[str, str, Names]] = [(name, "own", (name,)) for name in study.layers]
    parts += [("all", scaling, tuple(study.layers)) for scaling in ("global", "layerwise")]
    cuts: list[Cut] = []
    rows = []
    for part, scaling, layers in parts:
        names = study.moving(layers)
        for default, own, other in (("a", study.a, study.b), ("b", study.b, study.a)):
            rows.append((part, scaling, default, len(cuts), float(radii[part])))
            cuts.append(Cut(default, names, own, other, tuple(shares)))
            for draw in range(draws):
                moved = _moved(study, radii, part, scaling, layers, own, draw)
                cuts.append(Cut(default, names, own, moved, tuple(shares)))

    def run(told: Told) -> pd.DataFrame:
        moments = study.engine.run(cuts, told)
        table = []
        for part, scaling, default, first, radius in rows:
            same = {"part": part, "scaling": scaling, "default": default, "radius": radius, "draws": draws}
            table += [{**same, **row} for row in _compared(moments[first : first + draws + 1], default, shares, study)]
        return pd.DataFrame(table)

    return Prepared(study.cost(cuts), run)


def _moved(
    study: Study, radii: pd.Series[float], part: str, scaling: str, layers: Names, own: Weights, draw: int
) -> Callable[[], dict[str, torch.Tensor]]:
    """The default model moved by its whole radius, made when it is needed: the draw does not depend on the model."""
    groups = [(part, study.moving(layers))] if scaling != "layerwise" else [(x, study.moving([x])) for x in layers]

    def made() -> dict[str, torch.Tensor]:
        found = {}
        for name, entries in groups:
            seed = Streams(study.seed).torch_seed("direction", scaling, name, draw)
            for entry, step in direction(entries, own, float(radii[name]), seed).items():
                found[entry] = (own[entry].double() + step.to(own[entry].device)).to(own[entry].dtype)
        return found

    return made


def _compared(moments: Sequence[Moments], default: str, shares: Sequence[float], study: Study) -> list[dict[str, Any]]:
    rows = []
    for m, metric in enumerate(study.engine.metrics):
        base = moments[0].mean[m, -2 if default == "a" else -1]
        for k, share in enumerate(shares):
            averaging = moments[0].mean[m, k] - base
            rises = np.array([one.mean[m, k] - base for one in moments[1:]])
            low, high = np.quantile(rises, [0.05, 0.95])
            rows.append(
                {
                    "metric": metric,
                    "share": share,
                    "averaging": float(averaging),
                    "random": float(rises.mean()),
                    "std": float(rises.std(ddof=1)),
                    "q05": float(low),
                    "q95": float(high),
                    "ratio": float(averaging / rises.mean()) if rises.mean() else float("nan"),
                }
            )
    return rows
