"""Pooled data sets, for research on how to share them out: those that scikit-learn brings, and files of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unpooled.errors import BadData, BadSetting, did_you_mean
from unpooled.sites.agreement import MOST_CLASSES
from unpooled.sites.payload import Array
from unpooled.sites.preparation import pixels
from unpooled.sites.reading import read_table

if TYPE_CHECKING:
    from unpooled.runs.config import Data


def _digits() -> tuple[Array, Array]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return (data.data / 16.0).astype(np.float32), data.target


def _breast_cancer() -> tuple[Array, Array]:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return data.data, data.target


def _diabetes() -> tuple[Array, Array]:
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    return data.data, data.target.astype(np.float64)


def _wine() -> tuple[Array, Array]:
    from sklearn.datasets import load_wine

    data = load_wine()
    return data.data, data.target


POOLED: dict[str, Callable[[], tuple[Array, Array]]] = {
    "breast_cancer": _breast_cancer,
    "diabetes": _diabetes,
    "digits": _digits,
    "wine": _wine,
}
"""Real data sets that scikit-learn brings: features (n, p) and labels or targets (n,)."""


def read_pooled(data: Data) -> tuple[Array, Array, dict[str, Array]]:
    """Features, labels and the named columns of a pooled set."""
    if data.source in POOLED:
        X, y = POOLED[data.source]()
        return X, y, {}
    path = Path(data.source)
    if not path.is_file():
        hint = did_you_mean(path.name, POOLED)
        raise BadData(f"There is no file '{data.source}' to share out.{hint} Check source in [data].")
    table = read_table(path)
    target = data.target or ("y" if "y" in table.columns else None)
    if target is None or target not in table.columns:
        names = ", ".join(table.columns)
        raise BadSetting(f"[data] target = {target!r} is no column of {path.name}: there are {names}.")
    labels = table.texts(target)
    many = table.type_of(target) == "number" and len(set(labels.tolist())) > MOST_CLASSES
    regression = data.task == "regression" or (data.task == "auto" and many)
    y = table.numbers(target) if regression else labels.astype(str)
    if table.block is not None:
        shape = table.block.shape[1:]
        return pixels(table.block, shape), y, dict(table.columns)
    left_out = {
        target,
        *data.drop,
        *([data.group] if data.group else []),
        *([data.split.by] if data.split and data.split.by else []),
    }
    used = [name for name in table.columns if name not in left_out]
    return np.stack([table.numbers(name) for name in used], axis=1), y, dict(table.columns)
