"""Rows that nobody has written out: the models of sites that stand one step from one model, or their gradients.

A mean of them needs the mean of the gradients and no row, which is most of what a round of federated averaging with one
local step would otherwise spend its time on: memory is written and read again for numbers that nobody looks at. The
gradient of a linear layer's weights is a product of what flowed back and what flowed in, and the sum of all sites'
products is one product of all sites' rows, so even the gradients are left as their factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unpooled.combine import Array, Combine, Mean
from unpooled.combine.arrays import checked


@dataclass(frozen=True, eq=False)
class Product:
    """Matrices (m, p, q) = left (m, p, n) @ right (m, n, q), not multiplied yet."""

    left: Tensor
    right: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """(m, p, q)."""
        m, p, _ = self.left.shape
        return (m, p, self.right.shape[2])

    @property
    def dtype(self) -> torch.dtype:
        """Of the elements."""
        return self.right.dtype

    def written(self) -> Tensor:
        """The m matrices."""
        return torch.bmm(self.left, self.right)

    def total(self, shares: Tensor | None) -> Tensor:
        """Their sum (p, q), weighted by `shares` (m,): one product over all m x n inner places."""
        left = self.left if shares is None else self.left * shares[:, None, None]
        _, p, q = self.shape
        return left.transpose(1, 2).reshape(-1, p).t() @ self.right.reshape(-1, q)


@dataclass(frozen=True, eq=False)
class Summed:
    """Sums (m, p) over the middle dimension of rows (m, n, p), not added up yet: as a rule a bias's gradients."""

    rows: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """(m, p)."""
        m, _, p = self.rows.shape
        return (m, p)

    @property
    def dtype(self) -> torch.dtype:
        """Of the elements."""
        return self.rows.dtype

    def written(self) -> Tensor:
        """The m sums."""
        return self.rows.sum(dim=1)

    def total(self, shares: Tensor | None) -> Tensor:
        """Their sum (p,), weighted by `shares` (m,)."""
        if shares is not None:
            return torch.mv(self.written().t(), shares)
        return self.rows.reshape(-1, self.shape[1]).sum(dim=0)


Move = Tensor | Product | Summed


class Unwritten:
    """Rows `start + scale * moves`, shape (m, P); an array as soon as somebody looks (`np.asarray`, an index).

    `moves` has (m, *shape) for each parameter, which belongs to these rows from now on, and `start` is one row (P,),
    None for zeros. To ask for the mean is not to look: its value does not depend on who looked before.
    """

    ndim = 2

    def __init__(self, start: Tensor | None, moves: Sequence[Move], scale: float) -> None:
        self._start, self._moves, self._scale = start, moves, scale
        self._written: Array | None = None
        self.shape = (moves[0].shape[0], sum(prod(m.shape[1:]) for m in moves))
        self.dtype = _numpy_type(moves[0].dtype)
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
        for each in self._moves:
            move = each if isinstance(each, Tensor) else each.written()
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

        Moves are added up in their own type, the rest is float64. Written rows are rounded before they are
        averaged, these after it, so the two means differ by the rounding of rows.
        """
        shares = None
        if weights is not None:
            share = checked(weights, len(self))
            shares = torch.from_numpy(share / share.sum()).to(self._moves[0].dtype)
        moved = torch.cat([_total(move, shares) for move in self._moves]).numpy()
        moved = moved * np.float64(self._scale / len(self) if shares is None else self._scale)
        return np.asarray((moved if self._start is None else self._start.numpy() + moved).astype(self.dtype))


@cache
def _numpy_type(dtype: torch.dtype) -> np.dtype[Any]:
    return torch.empty(0, dtype=dtype).numpy().dtype


def _total(move: Move, shares: Tensor | None) -> Tensor:
    """The sum over sites, weighted by `shares`, as a row."""
    if not isinstance(move, Tensor):
        return move.total(shares).reshape(-1)
    part = move.reshape(len(move), -1)
    return part.sum(dim=0) if shares is None else torch.mv(part.t(), shares)


def combined(combine: Combine, rows: Array | Unwritten, weights: Array | None) -> Array:
    """`combine(rows, weights)`, for which a mean needs no row to be written."""
    if isinstance(rows, Unwritten) and isinstance(combine, Mean):
        return rows.mean(weights)
    return combine(np.asarray(rows), weights)
