"""What every combiner is: settings in a frozen dataclass, called like a function, with details on request."""

from __future__ import annotations

import abc
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

import numpy as np

from unpooled.combine.arrays import Array, all_finite, checked, to_numpy
from unpooled.errors import BadData, BadSetting

Rows = TypeVar("Rows")
ROW_NUMBERS = ("chosen", "leftovers")
"""Details that number rows of what was handed in."""


class ModelsLeftOut(UserWarning):
    """Models with NaN or infinity were left out; `detailed` says which without a warning."""


@dataclass(frozen=True)
class Combined:
    """A combined row and how it came about.

    `row` has shape (P,), or (..., P) for a batch, in the input's type. `details` always has `models` (how many were
    combined) and `dropped` (row numbers that were not finite); the rest is listed at each combiner. For a batch,
    arrays in it have the batch's shape in front.
    """

    row: Any
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Stack:
    """What a method gets: `rows` (B, k, P), finite unless the method keeps all; `weights` (k,) or None.

    `dropped` counts models left out before; `full` asks for details that cost time.
    """

    rows: Array
    weights: Array | None
    dropped: int
    full: bool
    rng: np.random.Generator | None


class Combiner(abc.ABC):
    """Many models to one: `rows` of shape (k, P), or (..., k, P) for a batch, to (P,) or (..., P).

    NumPy arrays and torch tensors alike; sums are in float64, the result in the input's dtype and on its device.
    `weights` of shape (k,) are at least 0 and not all 0. Rows with NaN or infinity are left out with a
    `ModelsLeftOut` warning (in a batch they are refused: `BadData`). `BadSetting` is raised where there are too few
    models and for weights where they have no meaning. Only combiners with `random` use `rng`; without it they
    draw from a stream of their own `seed`.
    """

    kind: ClassVar[str]
    weighs: ClassVar[bool] = True
    random: ClassVar[bool] = False
    keeps_all: ClassVar[bool] = False

    def __call__(self, rows: Rows, weights: Any = None, rng: np.random.Generator | None = None) -> Rows:
        combined = self._combined(rows, weights, rng, full=False)
        left_out = combined.details["dropped"]
        if len(left_out):
            numbers = ", ".join(map(str, left_out))
            warnings.warn(f"{self.__name__} left out models with NaN or infinity: {numbers}.", ModelsLeftOut, 2)
        row: Rows = combined.row
        return row

    def detailed(self, rows: Any, weights: Any = None, rng: np.random.Generator | None = None) -> Combined:
        """The same row, with details."""
        return self._combined(rows, weights, rng, full=True)

    def needed(self, parameters: int) -> int:
        """The least number of models of so many parameters that can be combined."""
        return 1

    @abc.abstractmethod
    def _combine(self, stack: Stack) -> tuple[Array, dict[str, Any]]:
        """Rows (B, P) in any float type, and details: arrays have B in front, all else is said of the whole batch."""

    @property
    def __name__(self) -> str:
        """The kind, with the settings that are not defaults: `trimmed_mean(trim=0.1)`."""
        changed = [f"{f.name}={v}" for f in _fields(self) if (v := getattr(self, f.name)) != f.default]
        return self.kind + (f"({', '.join(changed)})" if changed else "")

    def _combined(self, rows: Any, weights: Any, rng: np.random.Generator | None, *, full: bool) -> Combined:
        stack, back = to_numpy(rows)
        if stack.ndim < 2 or 0 in stack.shape[-2:]:
            raise BadSetting(f"Models to combine have shape (models, parameters), got {stack.shape}.")
        models = stack.shape[-2]
        if weights is not None and not self.weighs:
            raise BadSetting(
                f"{self.kind} cannot weight models: leave the weights out, or use combine.mean or "
                "combine.geometric_median."
            )
        share = None if weights is None else checked(weights, models)
        dropped = np.zeros(0, dtype=np.int64)
        if not self.keeps_all and not all_finite(stack):
            finite = _finite_rows(stack)
            kept, dropped = np.flatnonzero(finite), np.flatnonzero(~finite)
            stack = stack[kept]
            share = None if share is None else checked(share[kept], len(kept))
        flat = stack.reshape(-1, *stack.shape[-2:])
        row, details = self._combine(Stack(flat, share, len(dropped), full, rng))
        batch = stack.shape[:-2]
        details = {n: _shaped(v, batch) if isinstance(v, np.ndarray) else v for n, v in details.items()}
        if len(dropped):
            details |= {n: _numbered(details[n], kept) for n in ROW_NUMBERS if n in details}
        common = {"models": stack.shape[-2], "dropped": tuple(dropped.tolist())}
        return Combined(back(row.reshape((*batch, stack.shape[-1]))), common | details)


def _finite_rows(stack: Array) -> Array:
    """Which rows are finite, (k,); raises `BadData` for a batch and where none is."""
    finite = np.asarray(np.isfinite(stack).all(axis=-1))
    if stack.ndim > 2:
        *item, row = np.argwhere(~finite)[0].tolist()
        raise BadData(f"Row {row} of stack {item} in a batch is not finite: combine that stack alone, without the row.")
    if not finite.any():
        raise BadData(f"None of the {len(finite)} models is finite: a lower learning rate may help.")
    return finite


def _shaped(value: Array, batch: tuple[int, ...]) -> Any:
    """With the batch's shape in front; of one stack, a number rather than an array of no dimension."""
    shaped = value.reshape((*batch, *value.shape[1:]))
    return shaped if shaped.ndim else shaped.item()


def _numbered(found: Any, kept: Array) -> Any:
    """Positions among the kept rows as numbers of the rows handed in."""
    if isinstance(found, tuple):
        return tuple(int(kept[i]) for i in found)
    return kept[found] if isinstance(found, np.ndarray) else int(kept[found])


def _fields(combiner: Any) -> tuple[Any, ...]:
    return fields(combiner)
