"""The rows that a score may use."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from unpooled.errors import BadData, BadSetting

Missing = Literal["refuse", "drop"]


def complete_rows(table: pd.DataFrame, missing: Missing) -> pd.DataFrame:
    """The rows without a missing value. "refuse" raises `BadData` where there is one, "drop" leaves such rows out.

    Rows are dropped for all columns at once, so that all local scores speak of the same rows and stay comparable.
    Raises `BadData` where fewer than two rows are left, or column names repeat.
    """
    if missing not in ("refuse", "drop"):
        raise BadSetting(f"missing must be 'refuse' or 'drop', got {missing!r}.")
    if not table.columns.is_unique:
        raise BadData("Column names repeat: rename one of each pair.")
    holes = table.isna()
    if holes.to_numpy().any() and missing == "refuse":
        column = holes.any().idxmax()
        raise BadData(
            f"Column {str(column)!r} lacks {int(holes[column].sum())} of {len(table)} values: fill them in, or pass "
            f"missing='drop' to use the {int((~holes.any(axis=1)).sum())} complete rows."
        )
    rows = table[~holes.any(axis=1)]
    if len(rows) < 2:
        raise BadData(f"A score needs at least 2 complete rows, got {len(rows)}.")
    return rows


def numbers(table: pd.DataFrame, missing: Missing) -> np.ndarray:
    """Float64 of shape (n, m); raises `BadData` for a column that is not of finite numbers."""
    for label, column in table.items():
        if not pd.api.types.is_numeric_dtype(column):
            raise BadData(
                f"Column {str(label)!r} has type {column.dtype}, a Gaussian score needs numbers: leave it out, or "
                "use a discrete score."
            )
    rows = complete_rows(table, missing).to_numpy(np.float64)
    if not np.isfinite(rows).all():
        name = str(table.columns[int((~np.isfinite(rows)).any(axis=0).argmax())])
        raise BadData(f"Column {name!r} holds infinite values: remove those rows.")
    return rows
