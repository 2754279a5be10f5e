"""Barriers while two models train: layers against epochs, as in Figure 2 of Adilova et al., ICLR 2024.

At each epoch the snapshots of both models are the end-points, so the reference moves with training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from unpooled.connectivity.checkpoints import Checkpoint
from unpooled.connectivity.plain import Told
from unpooled.connectivity.plan import Prepared, Silent, together
from unpooled.connectivity.study import Study
from unpooled.errors import BadSetting


def barriers_by_epoch(
    pairs: Mapping[int, tuple[Checkpoint, Checkpoint]],
    data: tuple[Any, Any] | None = None,
    *,
    cuts: Sequence[str] = ("full", "layer"),
    told: Told = Silent,
    **settings: Any,
) -> pd.DataFrame:
    """The table `barriers` of `connect` for each epoch's pair, with a column `epoch`; three points a cut.

    Settings are those of `connect`. Raises `BadSetting` without a pair.
    """
    return prepared(pairs, data, cuts=cuts, **settings).run(told)


def prepared(
    pairs: Mapping[int, tuple[Checkpoint, Checkpoint]],
    data: tuple[Any, Any] | None = None,
    *,
    cuts: Sequence[str] = ("full", "layer"),
    **settings: Any,
) -> Prepared[pd.DataFrame]:
    """`barriers_by_epoch` with its cost, before the work: that of the first epoch, times epochs."""
    if not pairs:
        raise BadSetting("Barriers by epoch need snapshots of both models from the same epochs.")
    given = {**settings, "cuts": cuts, "points": 3}
    first, count = min(pairs), len(pairs)
    plan = Study(*pairs[first], data, **given).plan

    def run(told: Told) -> pd.DataFrame:
        tables = []
        for done, epoch in enumerate(sorted(pairs)):
            tables.append(Study(*pairs[epoch], data, **given).run().barriers.assign(epoch=epoch))
            told(done + 1, count)
        return pd.concat(tables, ignore_index=True)

    return Prepared(together([plan] * count), run)
