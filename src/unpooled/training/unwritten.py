"""Rows that nobody has written out: the models of sites that stand one step from one model, or their gradients.

A mean of them needs the mean of the gradients and no row, which is most of what a round of federated averaging with one
local step would otherwise spend its time on: memory is written and read again for numbers that nobody looks at.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unpooled.combine import Array, Combine, Mean
from unpooled.combine.arrays import checked


class Unwritten:
    """Rows `start + scale * moves`, shape (m, P); an array as soon as somebody looks (`np.asarray`, an index).

    `moves` has a tensor (m, *shape) for each parameter, which belongs to these rows from now on, and `start` is one row
    (P,), None for zeros. To ask for the mean is not to look: its value does not depend on who looked before.
    """

    ndim = 2

    def __init__(self, start: Tensor | None, moves: Sequence[Tensor], scale: float) -> None:
        self._start, self._moves, self._scale = start, moves, scale
        self._written: Array | None = None
        self.shape = (len(moves[0]), sum(prod(m.shape[1:]) for m in moves))
        self.dtype = moves[0].numpy().dtype
        self.nbytes = self.dtype.itemsize * prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        return np.asarray(self)[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self._written is None:
            rows = torch.empty(self.shape, dtype=self._moves[0].dtype)
            self.write(rows)
            self._written = rows.numpy()
            self._written.flags.writeable = False
        return np.array(self._written, dtype=dtype, copy=copy)

    def write(self, rows: Tensor) -> None:
        """Write them into `rows`, shape (m, P)."""
        column = 0
        for move in self._moves:
            width = prod(move.shape[1:])
            part = rows[:, column : column + width].view(move.shape)
            if self._start is None:
                torch.mul(move, self._scale, out=part)
            else:
                start = self._start[column : column + width].view(move.shape[1:])
                torch.add(start, move, alpha=self._scale, out=part)
            column += width

    def mean(self, weights: Array | None = None) -> Array:
        """Their mean (P,), weighted by `weights` (m,), in their type: start + scale * mean(moves).

        Moves are added up in pairs in their own type, the rest is float64. Written rows are rounded before they are
        averaged, these after it, so the two means differ by the rounding of rows.
        """
        parts = [move.reshape(len(self), -1) for move in self._moves]
        if weights is None:
            moved = torch.cat([part.sum(dim=0) for part in parts]).numpy() * np.float64(self._scale / len(self))
        else:
            share = checked(weights, len(self))
            shares = torch.from_numpy(share / share.sum()).to(parts[0].dtype)
            moved = torch.cat([torch.mv(part.t(), shares) for part in parts]).numpy() * np.float64(self._scale)
        return np.asarray((moved if self._start is None else self._start.numpy() + moved).astype(self.dtype))


def combined(combine: Combine, rows: Array | Unwritten, weights: Array | None) -> Array:
    """`combine(rows, weights)`, for which a mean needs no row to be written."""
    if isinstance(rows, Unwritten) and isinstance(combine, Mean):
        return rows.mean(weights)
    return combine(np.asarray(rows), weights)
