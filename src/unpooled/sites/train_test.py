"""Rows into training and test, with groups that stay together and classes divided alike.

All randomness comes from the stream `train_test` of one seed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unpooled.errors import BadData, BadSetting
from unpooled.seeds import Streams
from unpooled.sites.payload import Array

Rng = np.random.Generator


def train_test(
    X: Any, y: Any, *, test_fraction: float, groups: Any = None, seed: int = 0, stratify: bool = True
) -> tuple[Array, Array]:
    """Row indices of training and test, sorted: about `test_fraction` of the rows are test rows.

    Rows of one of `groups` (n,) never fall on both sides. With `stratify`, each class of `y` is divided alike
    (floats are not classes) and keeps at least one row or group for training. Raises `BadSetting` for a
    fraction outside [0, 1) and `BadData` for lengths that differ.
    """
    target = np.asarray(y)
    for what, values in (("X", X), ("groups", groups)):
        if values is not None and len(values) != len(target):
            raise BadData(f"{what} holds {len(values)} rows and y {len(target)}: they must be the same rows.")
    labels = target if stratify and target.dtype.kind != "f" else None
    rng = Streams(seed).generator("train_test")
    return train_test_rows(len(target), test_fraction=test_fraction, rng=rng, labels=labels, groups=groups)


def train_test_rows(
    n: int, *, test_fraction: float, rng: Rng, labels: Any = None, groups: Any = None
) -> tuple[Array, Array]:
    """Sorted indices of training and test among n rows; round(test_fraction * n) test rows where groups
    allow."""
    if not 0.0 <= test_fraction < 1.0:
        raise BadSetting(f"test_fraction must be at least 0 and below 1, got {test_fraction!r}.")
    strata = np.zeros(n, dtype=int) if labels is None else np.unique(np.asarray(labels), return_inverse=True)[1]
    units = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    size = np.bincount(units, minlength=1)
    table = np.zeros((len(size), int(strata.max(initial=0)) + 1), dtype=int)
    np.add.at(table, (units, strata), 1)
    stratum = table.argmax(axis=1)  # of a group with several classes, its most frequent one
    order = rng.permutation(table.shape[1])  # which class gets the odd test row is a matter of chance
    held = np.array([size[stratum == c].sum() for c in order])
    wish = test_fraction * held
    quota, most = np.minimum(np.floor(wish), held - 1).clip(0), np.maximum(held - 1, 0)
    for _ in range(int(np.floor(test_fraction * n + 0.5) - quota.sum())):
        if not (quota < most).any():
            break
        quota[np.where(quota < most, wish - quota, -np.inf).argmax()] += 1
    chosen = np.zeros(len(size), dtype=bool)
    for c, due in zip(order, quota, strict=True):
        taken = 0
        for unit in rng.permutation(np.flatnonzero(stratum == c))[1:]:  # one at least stays for training
            if abs(taken + size[unit] - due) < abs(taken - due):
                chosen[unit], taken = True, taken + size[unit]
    test = chosen[units]
    return np.flatnonzero(~test), np.flatnonzero(test)
