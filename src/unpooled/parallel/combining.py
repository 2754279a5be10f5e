"""Models of all parts become one: the Radon point of height h, or any other combiner over the same models.

Step 3 of algorithm 1 of Kamp et al., NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from unpooled.combine import Array, Combiner, Radon, Setting, combiner
from unpooled.errors import BadSetting


@dataclass(frozen=True)
class Together:
    """One row (blocks, d); `levels` of points (blocks, k, d), models first; NaN where there is no Radon point."""

    row: Array
    levels: tuple[Array, ...]
    hull_gap: float
    condition: float


def chosen(setting: Setting, jitter: float) -> Callable[..., Any]:
    """The combiner, with the jitter in it; `BadSetting` where it has no use for one."""
    found = combiner(setting)
    if isinstance(found, Radon):
        return replace(found, jitter=jitter) if jitter else found
    if jitter:
        raise BadSetting(f"jitter is for the Radon point; {found.__name__} has no use for it: set jitter=0.")
    return found


def together(rows: Array, combine: Callable[..., Any], height: int, rng: np.random.Generator) -> Together:
    """Finite rows (m, blocks, d) to one; the Radon point takes m = r^height of them."""
    stacks = np.ascontiguousarray(rows.swapaxes(0, 1))
    if isinstance(combine, Radon):
        with threadpool_limits(limits=1):  # the same bits on any number of cores, and no waiting on small systems
            tree = replace(combine, height=height).tree(stacks, rng, condition=True)
        return Together(tree.levels[-1][:, 0], tree.levels, float(tree.gap.max()), float(tree.condition.max()))
    given = {"rng": rng} if isinstance(combine, Combiner) and combine.random else {}
    row = np.stack([np.asarray(combine(stack, **given)) for stack in stacks])
    return Together(row, (stacks, row[:, None]), float("nan"), float("nan"))
