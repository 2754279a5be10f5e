"""Dask arrays and data frames: their blocks are fitted by the workers that hold them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unpooled.errors import BadData
from unpooled.parallel.partitions import Partitions


@dataclass(frozen=True)
class DaskPartitions(Partitions):
    """Blocks of features, targets and weights as delayed values, in the order of their rows."""

    blocks: tuple[tuple[Any, Any, Any], ...]
    names: Sequence[str] | None
    weighted: bool

    @classmethod
    def of(cls, features: Any, targets: Any, weights: Any) -> DaskPartitions:
        """From dask arrays or data frames with equal blocks; `targets` may be the name of a column.

        Raises `BadData` where blocks do not fit one another. Rows are read twice: `persist` them before, if they fit.
        """
        if isinstance(targets, str):
            features, targets = features.drop(columns=targets), features[targets]
        if targets is None or not hasattr(targets, "to_delayed"):
            raise BadData(f"With a Dask X, y is a Dask array or series with the same blocks, got {type(targets)}.")
        parts = [_delayed(features), _delayed(targets)]
        parts.append([None] * len(parts[0]) if weights is None else _delayed(weights))
        if len({len(part) for part in parts}) > 1:
            raise BadData(
                f"X, y and weights have different numbers of blocks, {', '.join(str(len(p)) for p in parts)}: "
                "rechunk them alike."
            )
        columns = getattr(features, "columns", None)
        names = None if columns is None else tuple(str(name) for name in columns)
        return cls(tuple(zip(*parts, strict=True)), names, weights is not None)

    def __len__(self) -> int:
        return len(self.blocks)

    def map(self, call: Callable[..., Any], extras: Sequence[tuple[Any, ...]]) -> list[Any]:
        """By the active Dask scheduler, which runs each call where its block lies."""
        import dask

        run = dask.delayed(_on_block, pure=False)
        with_blocks = zip(self.blocks, extras, strict=True)
        return list(
            dask.compute(*[run(call, *block, dask.delayed(extra, traverse=False)) for block, extra in with_blocks])
        )

    def merged(self, groups: Sequence[Sequence[int]]) -> DaskPartitions:
        """Neighbouring blocks become one, at one of their workers."""
        import dask

        stack = dask.delayed(_stacked)
        kinds: list[list[Any]] = [[stack([self.blocks[i][k] for i in group]) for group in groups] for k in (0, 1)]
        kinds.append([stack([self.blocks[i][2] for i in g]) if self.weighted else None for g in groups])
        return DaskPartitions(tuple(zip(*kinds, strict=True)), self.names, self.weighted)


def _delayed(part: Any) -> list[Any]:
    blocks = part.to_delayed()
    if isinstance(blocks, np.ndarray):
        if blocks.ndim == 2 and blocks.shape[1] != 1:
            raise BadData(f"X has {blocks.shape[1]} blocks side by side: rechunk it to one, X.rechunk({{1: -1}}).")
        return list(blocks.ravel())
    return list(blocks)


def _stacked(blocks: list[Any]) -> Any:
    return np.concatenate([np.asarray(block) for block in blocks])


def _on_block(call: Callable[..., Any], features: Any, targets: Any, weights: Any, extra: tuple[Any, ...]) -> Any:
    features, targets = np.asarray(features), np.asarray(targets)
    if len(features) != len(targets):
        raise BadData(f"A block has {len(features)} rows of X and {len(targets)} of y: rechunk them alike.")
    return call(features, targets, None if weights is None else np.asarray(weights), *extra)
