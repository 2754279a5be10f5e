"""Module criticality: how far back towards its start, and how noisy, a layer may be before the score suffers.

Chatterji, Neyshabur, Sedghi, "The intriguing role of module criticality in the generalization of deep networks", ICLR
2020. With W(a) = (1 - a) W_start + a W_trained in one layer and all others as trained,

    mu = min over 0 <= a <= 1, sigma > 0 of a^2 |W_trained - W_start|^2 / sigma^2
         such that the mean score with W(a) + U, U ~ N(0, sigma^2), is at most a level.

Of a network it is the sum over layers. Choices: 11 values of a; noise in antithetic pairs, the same for all a and sigma
(so that the linear term of the score cancels); sigma from a logarithmic grid, then by bisection of its logarithm; the
level is the trained score plus a tenth of the way to that of the start. Scores must be of training data for the bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from unpooled.connectivity.checkpoints import Checkpoint, Weights
from unpooled.connectivity.cuts import Cut, mixed
from unpooled.connectivity.layers import Names
from unpooled.connectivity.plain import Told
from unpooled.connectivity.plan import Prepared, Silent
from unpooled.connectivity.study import Study
from unpooled.errors import BadSetting, did_you_mean, fraction, positive
from unpooled.seeds import Streams

GRID = tuple(float(x) for x in np.logspace(-2, 2, 13))
"""Standard deviations of the noise, in units of the layer's root mean square way from its start."""
ROUNDS = 5
"""Bisections between two values of the grid: sigma is then known to 3 %."""


@dataclass(frozen=True, eq=False)
class _Search:
    """One layer: `low` and `high` bracket, for each a, the greatest sigma that is allowed, in units of `unit`."""

    layer: str
    names: Names
    parameters: int
    distance: float
    low: dict[float, float]
    high: dict[float, float]

    @property
    def unit(self) -> float:
        return self.distance / math.sqrt(self.parameters)

    def cost(self, a: float, sigma: float) -> float:
        """a^2 d^2 / sigma^2; infinite where no sigma is allowed."""
        return a**2 * self.parameters / sigma**2 if sigma else math.inf

    @property
    def best(self) -> tuple[float, float]:
        """The least so far, and where."""
        return min((self.cost(a, sigma), a) for a, sigma in self.low.items())

    def open(self) -> list[float]:
        """Values of a that may still be better than the best."""
        least = self.best[0]
        return [a for a in self.low if self.low[a] and self.high[a] < math.inf and self.cost(a, self.high[a]) < least]


def criticality(
    final: Checkpoint,
    initial: Checkpoint,
    data: tuple[Any, Any] | None = None,
    *,
    metric: str | None = None,
    level: float | None = None,
    share: float = 0.1,
    steps: int = 11,
    draws: int = 10,
    told: Told = Silent,
    **settings: Any,
) -> pd.DataFrame:
    """Criticality of each layer of `final`, which was trained from `initial`, and of the network ("all").

    `metric` (the first by default) may rise to `level`, by default by `share` of the difference between both models;
    `steps` are values of a, `draws` (even) those of noise. Rows have `criticality`, the `alpha` and `sigma` where it is
    attained, `complexity` k log(1 + mu / k) of k parameters as in the paper's bound, and `at_edge`: the noise was still
    allowed at 100 times the way from the start, so that the true value is lower. A level that even the trained model
    does not meet gives infinity. Other settings are those of `connect`. Raises `BadSetting` for what cannot be used.
    """
    given = {"metric": metric, "level": level, "share": share, "steps": steps, "draws": draws}
    return prepared(final, initial, data, **given, **settings).run(told)  # type: ignore[arg-type]


def prepared(
    final: Checkpoint,
    initial: Checkpoint,
    data: tuple[Any, Any] | None = None,
    *,
    metric: str | None = None,
    level: float | None = None,
    share: float = 0.1,
    steps: int = 11,
    draws: int = 10,
    **settings: Any,
) -> Prepared[pd.DataFrame]:
    """`criticality` with the cost of its grid, before the work; bisection adds a share of it."""
    positive(steps=steps, draws=draws)
    fraction(share=share)
    if steps < 2 or draws % 2:
        raise BadSetting(f"steps must be at least 2, and draws even (noise comes in pairs); got {steps} and {draws}.")
    study = Study(final, initial, data, **{**settings, "cuts": ("full",), "points": 3})
    if metric is not None and study.engine.metrics and metric not in study.engine.metrics:
        known = ", ".join(study.engine.metrics)
        raise BadSetting(
            f"There is no metric '{metric}'; there are {known}.{did_you_mean(metric, study.engine.metrics)}"
        )
    found = study.distances().set_index("layer")
    alphas = [i / (steps - 1) for i in range(steps)]
    searches = [
        _Search(
            layer,
            study.moving((layer,)),
            int(found.loc[layer, "parameters"]),  # type: ignore[arg-type]
            float(found.loc[layer, "distance"]),  # type: ignore[arg-type]
            dict.fromkeys(alphas, 0.0),
            dict.fromkeys(alphas, math.inf),
        )
        for layer in study.layers
    ]
    moving = [one for one in searches if one.distance]
    grid = [cut for one in moving for a in alphas for cut in _cuts(study, one, a, GRID, draws)]

    def run(told: Told) -> pd.DataFrame:
        moments = study.engine.run(grid, told)
        at = study.engine.metrics.index(metric) if metric is not None else 0
        ends = moments[0].mean[at, -2:] if moments else np.array([0.0, 1.0])
        allowed = _level(level, share, float(ends[0]), float(ends[1]))
        scores = np.array([one.mean[at, :-2] for one in moments]).reshape(len(moving), steps, draws, len(GRID)).mean(2)
        for one, table in zip(moving, scores, strict=True):
            for a, row in zip(alphas, table, strict=True):
                fine = [sigma for sigma, score in zip(GRID, row, strict=True) if score <= allowed]
                one.low[a] = max(fine, default=0.0)
                one.high[a] = min((sigma for sigma in GRID if sigma > one.low[a]), default=math.inf)
        for _ in range(ROUNDS):
            _halved(study, moving, draws, at, allowed)
        return _table(searches, allowed)

    return Prepared(study.cost(grid), run)


def _level(level: float | None, share: float, trained: float, start: float) -> float:
    if level is not None:
        return level
    if not trained < start:
        raise BadSetting(
            f"The trained model scores {trained:.4g} and its start {start:.4g}, which is no worse: give level=, "
            "a score that is still good enough."
        )
    return trained + share * (start - trained)


def _halved(study: Study, searches: Sequence[_Search], draws: int, at: int, allowed: float) -> None:
    """One bisection, in the logarithm of sigma, for all that may still matter, in one run."""
    asked = [(one, a, math.sqrt(one.low[a] * one.high[a])) for one in searches for a in one.open()]
    cuts = [cut for one, a, sigma in asked for cut in _cuts(study, one, a, (sigma,), draws)]
    moments = study.engine.run(cuts) if cuts else []
    for place, (one, a, sigma) in enumerate(asked):
        score = np.mean([m.mean[at, 0] for m in moments[place * draws : (place + 1) * draws]])
        (one.low if score <= allowed else one.high)[a] = sigma


def _cuts(study: Study, one: _Search, a: float, sigmas: Sequence[float], draws: int) -> list[Cut]:
    """From W(a) out along each draw of noise: the whole grid lies on one line."""
    shares = tuple(sigma / GRID[-1] for sigma in sigmas)
    start = _between(study, one.names, a)
    return [Cut("a", one.names, start, _noisy(study, one, start, draw), shares) for draw in range(draws)]


def _between(study: Study, names: Names, a: float) -> Callable[[], Weights]:
    """W(a), where `study.a` is the trained model and `study.b` its start."""
    return lambda: {name: mixed(study.b[name], study.a[name], a) for name in names}


def _noisy(study: Study, one: _Search, start: Callable[[], Weights], draw: int) -> Callable[[], Weights]:
    def made() -> Weights:
        seed = Streams(study.seed).torch_seed("noise", one.layer, draw // 2)
        random = torch.Generator().manual_seed(seed)
        length = one.unit * GRID[-1] * (1 if draw % 2 == 0 else -1)
        found = {}
        for name, weights in start().items():
            noise = torch.randn(weights.shape, generator=random, dtype=torch.float64) * length
            found[name] = (weights.double() + noise.to(weights.device)).to(weights.dtype)
        return found

    return made


def _table(searches: Sequence[_Search], allowed: float) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for one in searches:
        value, a = one.best if one.distance else (0.0, 0.0)
        k = one.parameters
        rows.append(
            {
                "layer": one.layer,
                "parameters": k,
                "distance": one.distance,
                "criticality": value,
                "alpha": a,
                "sigma": one.low[a] * one.unit,
                "complexity": k * math.log1p(value / k),
                "level": allowed,
                "at_edge": value > 0 and one.high[a] == math.inf,
            }
        )
    sums = {name: sum(row[name] for row in rows) for name in ("parameters", "criticality", "complexity")}
    whole = math.sqrt(sum(one.distance**2 for one in searches))
    edge = any(bool(row["at_edge"]) for row in rows)
    none = {"alpha": float("nan"), "sigma": float("nan")}
    rows.append({"layer": "all", **sums, "distance": whole, **none, "level": allowed, "at_edge": edge})
    return pd.DataFrame(rows)
