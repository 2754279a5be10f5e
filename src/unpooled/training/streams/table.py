"""Any table as a stream: its rows in order, dealt out to the learners."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unpooled import errors
from unpooled.combine import Array
from unpooled.errors import BadData, BadSetting, did_you_mean
from unpooled.seeds import Streams
from unpooled.training.streams.source import Flow, Size

Deal = Literal["round_robin", "blocks"]
Scale = Literal["prequential", "first", "none"]
FIRST = 20
"""Rounds whose mean and deviation scale everything when `scale` is "first"."""


@dataclass(frozen=True, eq=False)
class TableStream:
    """`X` (n, p) in the order of arrival, and `y` (n,) with two values: the larger one is +1.

    `deal` "round_robin" gives the first row to the first learner, the second to the second, so the stream of all
    learners together is the table; "blocks" gives each learner a stretch of its own. Rows that do not fill a last round
    are left out. `scale` "prequential" subtracts the mean of all learners' rows in earlier rounds and divides by their
    standard deviation (the first round stays as it is); "first" uses those of the first `FIRST` rounds for every row,
    so the losses of these rounds have seen them. Both need a sum over learners that is not counted as traffic. A
    constant 1 is added as last feature. `drifts` are rounds to mark in figures, if any are known.
    """

    X: Array
    y: Array
    name: str = "table"
    deal: Deal = "round_robin"
    scale: Scale = "prequential"
    drifts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for what, value, known in (
            ("deal", self.deal, ("round_robin", "blocks")),
            ("scale", self.scale, ("prequential", "first", "none")),
        ):
            if value not in known:
                hint = did_you_mean(str(value), known)
                raise BadSetting(f"There is no {what} '{value}'; there are {', '.join(known)}.{hint}")
        if self.X.ndim != 2 or len(self.X) != len(self.y):
            raise BadData(f"A table stream needs X (n, p) and y (n,), got shapes {self.X.shape} and {self.y.shape}.")
        if not np.isfinite(self.X).all():
            raise BadData("The table has a missing or infinite feature: impute or drop it first.")
        classes = np.unique(self.y)
        if len(classes) != 2:
            raise BadData(f"Online learners here tell two classes apart, the table has {len(classes)}: merge some.")

    @property
    def label(self) -> str:
        return self.name

    def open(self, size: Size, streams: Streams) -> Flow:
        if not (size.batches == size.places).all():
            raise BadSetting("A table is dealt in batches of one size; give one number for batch.")
        needed = size.rounds * size.learners * size.places
        if needed > len(self.y):
            most = len(self.y) // (size.learners * size.places)
            raise BadSetting(
                f"{self.name} has {len(self.y)} rows; {size.learners} learners with {size.places} a round come to "
                f"{most} rounds, not {size.rounds}."
            )
        shape = (size.rounds, size.places, size.learners)
        if self.deal == "round_robin":
            order = np.arange(needed).reshape(shape).transpose(0, 2, 1)
        else:
            order = np.arange(needed).reshape(size.learners, size.rounds, size.places).transpose(1, 0, 2)
        X = _scaled(self.X.astype(np.float64)[order], self.scale)
        ones = np.ones((*X.shape[:-1], 1))
        y = np.where(self.y == self.y.max(), 1.0, -1.0)[order]
        return _Table(size, np.concatenate([X, ones], axis=-1), y, tuple(t for t in self.drifts if t < size.rounds))


class _Table:
    def __init__(self, size: Size, X: Array, y: Array, drifts: tuple[int, ...]) -> None:
        self.size, self.X, self.y, self.drifts = size, X, y, drifts
        self.width = int(X.shape[-1])

    def block(self, start: int, stop: int) -> tuple[Array, Array]:
        return self.X[start:stop], self.y[start:stop]


def _scaled(X: Array, scale: Scale) -> Array:
    """Rounds (T, m, B, p), each scaled by what is known before it."""
    if scale == "none":
        return X
    if scale == "first":
        seen = X[:FIRST].reshape(-1, X.shape[-1])
        return np.asarray((X - seen.mean(axis=0)) / _spread(seen.var(axis=0), seen.mean(axis=0)))
    count = X.shape[1] * X.shape[2]
    sums, squares = X.sum(axis=(1, 2)).cumsum(axis=0), (X**2).sum(axis=(1, 2)).cumsum(axis=0)
    n = count * np.arange(1, len(X))[:, None]
    mean = sums[:-1] / n
    spread = _spread(squares[:-1] / n - mean**2, mean)
    out = X.copy()
    out[1:] = (X[1:] - mean[:, None, None]) / spread[:, None, None]
    return out


def _spread(variance: Array, mean: Array) -> Array:
    """Standard deviations; 1 for what did not vary, up to rounding."""
    return np.sqrt(np.where(variance > 1e-12 * (1 + mean**2), variance, 1.0))


def read_table(
    path: str | Path,
    target: str,
    *,
    drop: tuple[str, ...] = (),
    deal: Deal = "round_robin",
    scale: Scale = "prequential",
) -> TableStream:
    """A CSV file (may be compressed), columns of numbers, as a stream. Raises `BadData` that names what is wrong."""
    import pandas as pd

    path = Path(path)
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise BadData(f"{path} cannot be read as CSV: {error}.") from error
    for column in (target, *drop):
        if column not in table:
            raise BadData(f"{path.name} has no column '{column}'.{did_you_mean(column, map(str, table.columns))}")
    features: Any = table.drop(columns=[target, *drop])
    text = [str(name) for name in features if features[name].dtype.kind not in "buif"]
    if text:
        raise BadData(f"{path.name}: column '{text[0]}' holds no numbers: drop it, or encode it first.")
    return TableStream(features.to_numpy(np.float64), table[target].to_numpy(), path.name.split(".")[0], deal, scale)


def rounds_in(rows: int, learners: int, batch: int = 1) -> int:
    """How many rounds a table of so many rows has."""
    errors.positive(learners=learners, batch=batch)
    return rows // (learners * batch)
