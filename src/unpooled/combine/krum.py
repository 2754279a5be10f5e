"""Krum and multi-Krum: the models that lie closest to most of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unpooled import errors
from unpooled.combine.arrays import Array
from unpooled.combine.base import Combiner, Stack
from unpooled.combine.coordinate_median import median
from unpooled.errors import BadSetting


@dataclass(frozen=True)
class Krum(Combiner):
    """The model with the least sum of squared distances to its n - f - 2 nearest others.

    Blanchard, El Mhamdi, Guerraoui and Stainer, "Machine Learning with Adversaries", NeurIPS 2017, section 4.
    `byzantine` is f, the number of models that may be corrupt; without it f is the most that n models allow. n must be
    at least 2f + 3. Models that were not finite count among the f. Of equal scores (two that are each other's nearest,
    where n = 3) the less total distance wins, so that the order of models does not matter; the paper takes the
    first. Details: `chosen`, `scores` (n,), `byzantine`.

    >>> krum(np.array([[0.0], [0.1], [0.3], [9.0], [9.5]])).tolist()
    [0.1]
    """

    byzantine: int | None = None
    kind: ClassVar[str] = "krum"
    weighs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.byzantine is not None and self.byzantine != 0:
            errors.positive(byzantine=self.byzantine)

    def needed(self, parameters: int) -> int:
        return 2 * (self.byzantine or 0) + 3

    def _combine(self, stack: Stack) -> tuple[Array, dict[str, Any]]:
        corrupt = corrupt_models(self, stack, each=2)
        apart = squared_distances(stack.rows)
        scores = scores_of(apart, corrupt)
        chosen = ranked(scores, apart)[:, 0]
        row = stack.rows[np.arange(len(chosen)), chosen]
        return row, {"chosen": chosen, "scores": scores, "byzantine": corrupt}


@dataclass(frozen=True)
class MultiKrum(Krum):
    """The mean of the `keep` models with the best Krum scores (m in the paper).

    Blanchard et al., NeurIPS 2017, section 4; keep = 1 is Krum, keep = n the mean. Without `keep` it is n - f - 2, the
    most that Damaskinos et al., "AggregaThor", MLSys 2019, allow. Details as for `Krum`, with `chosen` of shape
    (keep,), best first.

    >>> multi_krum(np.array([[0.0], [0.1], [0.2], [0.4], [9.0], [9.5], [9.9]])).round(6).tolist()
    [0.1]
    """

    keep: int | None = None
    kind: ClassVar[str] = "multi_krum"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep is not None:
            errors.positive(keep=self.keep)

    def needed(self, parameters: int) -> int:
        return max(super().needed(parameters), self.keep or 0)

    def _combine(self, stack: Stack) -> tuple[Array, dict[str, Any]]:
        models = stack.rows.shape[1]
        corrupt = corrupt_models(self, stack, each=2)
        keep = models - corrupt - 2 if self.keep is None else self.keep
        if keep > models:
            raise BadSetting(f"multi_krum keeps {keep} models, got {models}: set keep={models} or less.")
        apart = squared_distances(stack.rows)
        scores = scores_of(apart, corrupt)
        chosen = ranked(scores, apart)[:, :keep]
        kept = np.take_along_axis(stack.rows, chosen[..., None], axis=1)
        return kept.mean(axis=1, dtype=np.float64), {"chosen": chosen, "scores": scores, "byzantine": corrupt}


def corrupt_models(combiner: Any, stack: Stack, *, each: int) -> int:
    """f for the models that are left, of n >= each * f + 3; refuses fewer with the numbers named."""
    models, corrupt = stack.rows.shape[1], combiner.byzantine
    if corrupt is None:
        corrupt = max((models + stack.dropped - 3) // each, 0)
    corrupt = max(corrupt - stack.dropped, 0)
    if models < (least := each * corrupt + 3):
        less = f"set byzantine={(models - 3) // each} or less, or " if models >= 3 else ""
        raise BadSetting(
            f"{combiner.kind} with {corrupt} corrupt models needs at least {least} models ({each}f + 3), got "
            f"{models}: {less}use combine.coordinate_median."
        )
    return int(corrupt)


def squared_distances(rows: Array) -> Array:
    """(B, k, P) to (B, k, k), infinite on the diagonal.

    By one matrix product around the median, so that far outliers cost the others no digits.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        around = rows - median(rows, None)[:, None]
        gram = around @ around.swapaxes(1, 2)
        square = np.diagonal(gram, axis1=1, axis2=2)
        apart = square[:, :, None] + square[:, None, :] - 2 * gram
    apart = np.where(np.isnan(apart), np.inf, np.maximum(apart, 0.0))
    apart = np.maximum(apart, apart.swapaxes(1, 2))  # rounding may differ
    apart[:, np.arange(rows.shape[1]), np.arange(rows.shape[1])] = np.inf
    return apart


def scores_of(apart: Array, corrupt: int) -> Array:
    """Krum scores (B, k) from squared distances: each row's n - f - 2 smallest, added up."""
    nearest = max(apart.shape[-1] - corrupt - 2, 1)
    return np.asarray(np.partition(apart, nearest - 1, axis=-1)[..., :nearest].sum(axis=-1))


def ranked(scores: Array, apart: Array) -> Array:
    """Best first, (B, k): by score, of equal scores by the sum of squared distances to all others."""
    return np.lexsort((np.where(np.isinf(apart), 0.0, apart).sum(axis=-1), scores), axis=-1)


krum = Krum()
multi_krum = MultiKrum()
