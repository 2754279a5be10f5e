"""The iterated Radon point: groups of P + 2 models become their Radon points, again and again until one is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unpooled import errors
from unpooled.combine.arrays import Array
from unpooled.combine.base import Combiner, Stack
from unpooled.combine.radon_point import radon_points
from unpooled.errors import BadSetting
from unpooled.seeds import Streams


@dataclass(frozen=True)
class Radon(Combiner):
    """The Radon point of height h over r^h models, r = P + 2: at least 2^h of them must be bad to make it bad.

    Kamp, Boley, Missura and Gaertner, "Effective Parallelisation for Machine Learning", NeurIPS 2017, algorithm 1; as a
    combiner in Kamp, Fischer and Vreeken, ICLR 2023. `height` is h; without it, the largest that the models allow.
    Models are shuffled before each grouping, by the stream of `seed` or by the `rng` of the call; of k models a random
    r^h are used and the leftovers reported. So the order of models matters for h > 1 and for leftovers. Fewer than r
    models are refused, and weights too. Details: `height`, `radon_number` r, `leftovers` (row numbers), `gap` and
    `condition` (largest over all groups, see `RadonPoints`), `by_svd` (groups solved again).

    >>> radon(np.array([[1.0], [2.0], [1e9]])).tolist()
    [2.0]
    >>> radon.detailed(np.arange(10.0)[:, None]).details["height"]
    2
    """

    height: int | None = None
    seed: int = 0
    kind: ClassVar[str] = "radon"
    weighs: ClassVar[bool] = False
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.height is not None:
            errors.positive(height=self.height)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise BadSetting(f"seed must be a whole number, got {self.seed!r}.")

    def needed(self, parameters: int) -> int:
        return int((parameters + 2) ** (self.height or 1))

    def _combine(self, stack: Stack) -> tuple[Array, dict[str, Any]]:
        batch, models, parameters = stack.rows.shape
        number = parameters + 2
        if models < self.needed(parameters):
            raise BadSetting(self._too_few(models, parameters))
        height = self.height or highest(models, number)
        rng = Streams(self.seed).generator("combine", "radon groups") if stack.rng is None else stack.rng
        order = rng.permutation(models)
        left, kept = order[number**height :], order[: number**height]
        points = stack.rows[:, kept]
        gap, condition, by_svd = np.zeros(batch), np.zeros(batch), np.zeros(batch, dtype=np.int64)
        for level in range(height):
            if level > 0:
                points = points[:, rng.permutation(points.shape[1])]
            found = radon_points(points.reshape(-1, number, parameters), condition=stack.full)
            points = found.points.reshape(batch, -1, parameters)
            gap = np.maximum(gap, found.gap.reshape(batch, -1).max(axis=1))
            condition = np.maximum(condition, found.condition.reshape(batch, -1).max(axis=1))
            by_svd += found.by_svd.reshape(batch, -1).sum(axis=1)
        said = {"height": height, "radon_number": number, "leftovers": tuple(sorted(left.tolist()))}
        return points[:, 0], said | {"gap": gap, "condition": condition, "by_svd": by_svd}

    def _too_few(self, models: int, parameters: int) -> str:
        tall = self.height is not None and self.height > 1
        what = f"An iterated Radon point of height {self.height}" if tall else "A Radon point"
        lower = "a smaller height, " if tall else ""
        return (
            f"{what} of {parameters}-parameter models needs {self.needed(parameters)} sites, got {models}: use "
            f"{lower}combine.mean, or a smaller model."
        )


def highest(models: int, number: int) -> int:
    """The largest h with number**h <= models, by whole numbers.

    >>> highest(243, 3), highest(242, 3)
    (5, 4)
    """
    height = 0
    while number ** (height + 1) <= models:
        height += 1
    return height


radon = Radon()
