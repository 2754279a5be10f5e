"""Which rows go to which part: shuffled, stratified, and every part with every class.

Step 1 of algorithm 1 of Kamp et al., NeurIPS 2017. Parts are disjoint and differ by one row at most. A class with fewer
rows than there are parts is missing from some; these are filled up with a row of it drawn from all, since a model
that does not know a class has parameters of another meaning or none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpooled.combine import Array


@dataclass(frozen=True)
class Dealt:
    """Row numbers of each part, ascending, and how many parts had to be filled up."""

    parts: list[Array]
    refilled: int


def row_numbers(count: int) -> Array:
    """0 to count - 1 in four bytes each where they fit: for many narrow rows they are what takes memory."""
    return np.arange(count, dtype=np.int32 if count < 2**31 else np.int64)


def codes_of(labels: Array, classes: Array) -> Array:
    """Class numbers (n,) in as few bytes as they need, a million labels at a time."""
    codes = np.empty(len(labels), dtype=np.min_scalar_type(len(classes)))
    for low in range(0, len(labels), 1_000_000):
        codes[low : low + 1_000_000] = np.searchsorted(classes, labels[low : low + 1_000_000])
    return codes


def deal(rows: Array, parts: int, codes: Array | None, rng: np.random.Generator) -> Dealt:
    """Deal row numbers `rows` (n,) to `parts`; `codes` (of all rows) are class numbers, None for regression."""
    order = rng.permutation(rows)
    if codes is None:
        return Dealt([np.sort(order[i::parts]) for i in range(parts)], 0)
    mine = codes[order]
    order = np.concatenate([order[mine == code] for code in np.unique(mine)])
    dealt = [np.sort(order[i::parts]) for i in range(parts)]
    return _refilled(dealt, order, codes, rng)


def _refilled(dealt: list[Array], order: Array, codes: Array, rng: np.random.Generator) -> Dealt:
    """Add one row of each class that a part lacks. `order` has equal classes side by side."""
    present = codes[order]
    known, start, count = np.unique(present, return_index=True, return_counts=True)
    rare = np.flatnonzero(count < len(dealt))
    refilled = 0
    for i, part in enumerate(dealt if len(rare) else []):
        lacking = rare[~np.isin(known[rare], codes[part])]
        if len(lacking):
            drawn = [order[start[c] + rng.integers(count[c])] for c in lacking]
            dealt[i] = np.sort(np.append(part, drawn))
            refilled += 1
    return Dealt(dealt, refilled)
