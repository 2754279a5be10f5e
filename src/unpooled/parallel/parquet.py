"""Parquet files larger than memory, read by row group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from joblib import delayed

from unpooled.combine import Array
from unpooled.errors import BadData, BadSetting, did_you_mean
from unpooled.parallel.engine import run
from unpooled.parallel.partitions import Partitions


@dataclass(frozen=True)
class Parquet(Partitions):
    """A Parquet file, or a folder of them, for `fit`: `machine.fit(Parquet("rows.parquet", target="label"))`.

    `features` are the columns to learn from, by default all numeric ones that are neither target nor `weight`. No more
    than one row group a worker is in memory. Rows are dealt to parts within their row group: write rows in random
    order. Raises `BadData` where there are no such files or columns.
    """

    path: str | Path
    target: str
    features: Sequence[str] | None = None
    weight: str | None = None
    n_jobs: int | None = field(default=None, repr=False)
    pieces: tuple[tuple[tuple[str, int], ...], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.pieces:
            return
        path = Path(self.path)
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        if not files or not files[0].is_file():
            raise BadData(f"There is no Parquet file at {path}: name a .parquet file or a folder of them.")
        opened = [pq.ParquetFile(file) for file in files]
        schema = opened[0].schema_arrow
        for name in (self.target, self.weight, *(self.features or ())):
            if name is not None and name not in schema.names:
                raise BadData(f"{files[0]} has no column '{name}'.{did_you_mean(name, schema.names)}")
        if self.features is None:
            numeric = [f.name for f in schema if _numeric(f.type) and f.name not in (self.target, self.weight)]
            object.__setattr__(self, "features", tuple(numeric))
        if not self.features:
            raise BadSetting(f"{files[0]} has no numeric column beside the target: name the features.")
        groups = [((str(f), g),) for f, o in zip(files, opened, strict=True) for g in range(o.num_row_groups)]
        if not groups:
            raise BadData(f"{path} has no rows.")
        object.__setattr__(self, "pieces", tuple(groups))

    @property
    def names(self) -> Sequence[str]:  # type: ignore[override]
        """The columns that are learned from."""
        return tuple(self.features or ())

    @property
    def weighted(self) -> bool:  # type: ignore[override]
        """Whether there is a column of sample weights."""
        return self.weight is not None

    def by(self, n_jobs: int | None) -> Parquet:
        """The same, read by the workers of the machine."""
        return replace(self, n_jobs=n_jobs)

    def __len__(self) -> int:
        return len(self.pieces)

    def map(self, call: Callable[..., Any], extras: Sequence[tuple[Any, ...]]) -> list[Any]:
        """By joblib; a worker reads its own row groups."""
        columns = (tuple(self.names), self.target, self.weight)
        return run(
            lambda: (delayed(_on_piece)(call, p, columns, e) for p, e in zip(self.pieces, extras, strict=True)),
            self.n_jobs,
        )

    def merged(self, groups: Sequence[Sequence[int]]) -> Parquet:
        """Row groups that are read together."""
        return replace(self, pieces=tuple(tuple(g for i in group for g in self.pieces[i]) for group in groups))


def _numeric(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _on_piece(
    call: Callable[..., Any], piece: tuple[tuple[str, int], ...], columns: Any, extra: tuple[Any, ...]
) -> Any:
    names, target, weight = columns
    wanted = [*names, target, *([weight] if weight else [])]
    tables = [pq.ParquetFile(file).read_row_group(group, columns=wanted) for file, group in piece]

    def column(name: str) -> Array:
        return np.concatenate([table.column(name).to_numpy() for table in tables])

    features = np.empty((sum(table.num_rows for table in tables), len(names)))
    for i, name in enumerate(names):
        features[:, i] = column(name)
    return call(features, column(target), column(weight) if weight else None, *extra)
