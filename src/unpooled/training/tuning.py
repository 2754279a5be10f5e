"""Learning rates chosen on validation rows: every method tries the same grid with the same budget.

Validation rows are training rows that sites hold back (`unpooled.sites.validation`), so the test rows take no part in a
choice. Choices: the rate with the best mean result over the tuning seeds is taken; equal ones are told apart by the
loss on the same rows, then the smaller rate is taken; a rate under which a training fails is out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING

import numpy as np

from unpooled.errors import BadSetting, positive

if TYPE_CHECKING:  # a config names its grid without waiting for torch
    import pandas as pd

    from unpooled.training.protocols import Protocol
    from unpooled.training.result import Result

METRICS = ("accuracy", "balanced_accuracy", "loss", "rmse", "mae")


@dataclass(frozen=True)
class Tune:
    """How learning rates are chosen.

    `lr` is the grid that every method tries. `validation_fraction` of each site's training rows is held back while
    trying, by group where the data have groups; the final training uses all of them again. `steps` of each trial are
    those of the final training unless given. `seeds` choose together one rate for each method, which needs the same
    test rows under every seed; without it each seed of the run chooses for itself. `metric` is accuracy, or rmse for a
    regression, unless given. Raises `BadSetting` for values without a meaning.
    """

    lr: Sequence[float]
    validation_fraction: float = 0.25
    steps: int | None = None
    seeds: Sequence[int] | None = None
    metric: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", tuple(float(rate) for rate in self.lr))
        if not self.lr or len(set(self.lr)) < len(self.lr) or not all(0.0 < rate < inf for rate in self.lr):
            raise BadSetting(f"tune.lr must be different numbers above 0, at least one; got {list(self.lr)}.")
        if not 0.0 < self.validation_fraction < 1.0:
            raise BadSetting(f"validation_fraction must lie between 0 and 1, got {self.validation_fraction!r}.")
        if self.steps is not None:
            positive(steps=self.steps)
        if self.seeds is not None:
            object.__setattr__(self, "seeds", tuple(self.seeds))
            if not self.seeds or len(set(self.seeds)) < len(self.seeds):
                raise BadSetting(f"tune.seeds must be different whole numbers, at least one; got {list(self.seeds)}.")
        if self.metric is not None and self.metric not in METRICS:
            raise BadSetting(f"tune.metric must be one of {', '.join(METRICS)}, got {self.metric!r}.")

    def seeds_for(self, seed: int) -> tuple[int, ...]:
        """The seeds whose trials choose the rate for the final training under `seed`."""
        return (seed,) if self.seeds is None else tuple(self.seeds)

    def metric_of(self, trials: Iterable[Trial]) -> str:
        """What a choice looks at: accuracy where it was measured, else rmse."""
        return self.metric or ("accuracy" if any("accuracy" in t.values for t in trials) else "rmse")

    def chosen(self, trials: Sequence[Trial], protocol: str, seed: int) -> float:
        """The rate for the final training of the protocol of this label under `seed`; see `choose`."""
        wanted = self.seeds_for(seed)
        return choose([t for t in trials if t.protocol == protocol and t.seed in wanted], self.metric_of(trials))

    def frame(self, trials: Sequence[Trial], protocols: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
        """One row a trial: `protocol`, `seed`, `lr`, a column a metric, `error`, and `chosen_for`, a tuple of seeds."""
        import pandas as pd

        rates = {(label, seed): self.chosen(trials, label, seed) for label in protocols for seed in seeds}
        rows = []
        for t in trials:
            took = tuple(s for s in seeds if t.seed in self.seeds_for(s) and rates[t.protocol, s] == t.lr)
            row = {"protocol": t.protocol, "seed": t.seed, "lr": t.lr, **t.values}
            rows.append({**row, "error": t.error, "chosen_for": took})
        return pd.DataFrame(rows)


@dataclass(frozen=True)
class Trial:
    """One method tried with one rate under one seed: results on the validation rows, none where it failed."""

    protocol: str
    seed: int
    lr: float
    values: dict[str, float]
    error: str | None = None


def trial_values(result: Result, protocol: Protocol) -> dict[str, float]:
    """The last results of the model that `protocol` hands over, by metric."""
    found: dict[str, float] = {}
    for _, model, metric, value, *_ in result.history:
        if model == protocol.result_model and metric != "train_loss":
            found[metric] = value
    return found


def choose(trials: Iterable[Trial], metric: str) -> float:
    """The rate to train one method with. Raises `BadSetting`, with the first failure, where every rate failed."""
    from unpooled.training.evaluation import LOWER_IS_BETTER

    by_rate: dict[float, list[Trial]] = {}
    for trial in trials:
        by_rate.setdefault(trial.lr, []).append(trial)
    sign = 1.0 if metric in LOWER_IS_BETTER else -1.0
    rated: list[tuple[float, float, float]] = []
    for rate, tried in by_rate.items():
        if all(metric in t.values and isfinite(t.values[metric]) for t in tried):
            mean = sign * float(np.mean([t.values[metric] for t in tried]))
            loss = float(np.mean([t.values.get("loss", inf) for t in tried]))
            rated.append((round(mean, 12), loss, rate))
    if not rated:
        first = next((t.error for ts in by_rate.values() for t in ts if t.error), f"no value of {metric}")
        raise BadSetting(f"None of the learning rates {sorted(by_rate)} could be tried to the end: {first}")
    return min(rated)[2]
