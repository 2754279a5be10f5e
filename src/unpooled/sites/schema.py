"""What a site holds before preparation (`Table`), and what all sites agree on after it (`Schema`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from math import isfinite, isnan
from typing import Any

import numpy as np

from unpooled.errors import BadData
from unpooled.sites.payload import Array

MISSING_TEXTS = frozenset({"", "?", "NA", "N/A", "NaN", "nan", "null", "NULL"})
"""Cells that count as missing in every column; `missing={"chol": [0]}` adds to them for one column."""
Missing = tuple[tuple[str, tuple[str, ...]], ...]
"""Column name and its additional missing values, as `text` writes them: the form that crosses the door."""
NEGATED = {">=": "<", "<=": ">", "==": "!=", "!=": "==", ">": "<=", "<": ">="}


def number(value: object) -> float | None:
    """The number that a cell holds (True is 1), or None for text and for missing cells."""
    if isinstance(value, str):
        try:
            value = None if "_" in value else float(value)  # float() would take "1_000"
        except ValueError:
            return None
    if isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating)):
        return None if isnan(value) else float(value)
    return None


def text(value: object) -> str | None:
    """One way to write a cell, equal at all sites: 1, 1.0 and " 1 " are "1"; None where it is missing."""
    if value is None or isinstance(value, (bool, np.bool_)):
        return None if value is None else str(bool(value))
    if (as_number := number(value)) is not None:
        return str(int(as_number)) if isfinite(as_number) and as_number == int(as_number) else repr(as_number)
    cell = "" if isinstance(value, float) else str(value).strip()
    return None if cell in MISSING_TEXTS else cell


def in_order(values: Iterable[str]) -> tuple[str, ...]:
    """Distinct values sorted as numbers when all are numbers ("9" before "10"), else as text."""
    distinct = sorted(set(values))
    numbers = {v: number(v) for v in distinct}
    return tuple(sorted(distinct, key=lambda v: (numbers[v] or 0.0, v)) if None not in numbers.values() else distinct)


@dataclass(frozen=True, eq=False)
class Table:
    """A site's raw rows. Each of `columns` has shape (n,) and holds numbers (NaN = missing), bools, or
    objects (None = missing); `block` holds n samples that are no table, such as images (n, 1, 28, 28).
    `rows` numbers the rows for messages, from 1."""

    columns: Mapping[str, Array]
    block: Array | None = None
    rows: Array | None = None

    def __len__(self) -> int:
        return len(self.block if self.block is not None else next(iter(self.columns.values()), ()))

    def column(self, name: str) -> Array:
        """The raw cells; raises `BadData` when there is no such column."""
        if name not in self.columns:
            raise BadData(f"it has no column '{name}', only {', '.join(self.columns)}.")
        return self.columns[name]

    def texts(self, name: str) -> Array:
        """Cells as `text` writes them, object dtype, None where missing."""
        cells = self.column(name)
        if cells.dtype.kind in "biuf":
            distinct, places = np.unique(cells, return_inverse=True)
            written: Array = np.array([*map(text, distinct.tolist())], dtype=object)[places]
            return written
        return np.array([*map(text, cells)], dtype=object)

    def missing(self, name: str) -> Array:
        """Where the column has no value, bool (n,)."""
        cells = self.column(name)
        if cells.dtype.kind in "biuf":
            return np.asarray(np.isnan(cells))
        return np.array([text(cell) is None for cell in cells], dtype=bool)

    def numbers(self, name: str) -> Array:
        """Cells as float64, NaN where missing; raises `BadData` for text and for infinite values."""
        cells = self.column(name)
        if cells.dtype.kind in "biuf":
            values = cells.astype(np.float64)
        else:
            parsed = [number(cell) for cell in cells]
            wrong = [i for i, v in enumerate(parsed) if v is None and text(cells[i]) is not None]
            if wrong:
                raise BadData(f"column '{name}' holds text where numbers belong: {self.cell(name, wrong[0])}.")
            values = np.array([np.nan if v is None else v for v in parsed], dtype=np.float64)
        if np.isinf(values).any():
            raise BadData(
                f"column '{name}' is infinite: {self.cell(name, int(np.isinf(values).argmax()))}; "
                "correct it, or "
                f"give it in missing={{'{name}': [...]}}."
            )
        return values

    def cell(self, name: str, i: int) -> str:
        """A cell for a message, such as "'abc' in row 3"."""
        return f"'{str(self.columns[name][i])[:40]}' in row {i + 1 if self.rows is None else int(self.rows[i])}"

    def type_of(self, name: str) -> str:
        """`empty`, `bool`, `integer`, `number`, `text`, or `mixed` (numbers and text)."""
        cells = self.column(name)[~self.missing(name)]
        if len(cells) == 0:
            return "empty"
        if cells.dtype.kind in "biuf":
            whole = cells.dtype.kind != "f" or bool((cells == np.floor(cells)).all())
            return "bool" if cells.dtype.kind == "b" else "integer" if whole else "number"
        if all(isinstance(cell, (bool, np.bool_)) for cell in cells):
            return "bool"
        values = [number(cell) for cell in cells]
        if None in values:
            return "text" if all(v is None for v in values) else "mixed"
        return "integer" if all(v is not None and v.is_integer() for v in values) else "number"

    def without(self, missing: Missing) -> Table:
        """The same table, the listed values of each listed column taken as missing."""
        columns = dict(self.columns)
        for name, values in missing:
            if name in columns:
                gone = np.array([cell in values for cell in self.texts(name)], dtype=bool)
                cells = columns[name]
                kind = np.float64 if cells.dtype.kind in "iuf" else object
                columns[name] = cells.astype(kind)
                columns[name][gone] = np.nan if kind is np.float64 else None
        return replace(self, columns=columns)


@dataclass(frozen=True)
class Column:
    """How one raw column becomes features: (value - mean) / scale for a `number`, one 0/1 feature a level
    for a `category`. `impute` replaces a missing value: a number, or the level `(missing)`; a category
    without that level, or never seen before, gives zeros. `indicator` adds a 0/1 feature that says where
    it was missing."""

    name: str
    type: str
    categories: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0
    impute: float | str | None = None
    indicator: bool = False

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features that it becomes."""
        if self.type == "number":
            return (self.name, f"{self.name} missing") if self.indicator else (self.name,)
        return tuple(f"{self.name}={level}" for level in self.categories)


@dataclass(frozen=True)
class Target:
    """What is predicted: a column, or, with `test` and `value`, whether a comparison such as num > 0
    holds."""

    column: str
    test: str = ""
    value: str = ""

    @classmethod
    def parse(cls, target: str, names: Iterable[str]) -> Target:
        """`target` as a column when there is one of that name, else as a comparison where it is one."""
        match = None if target in set(names) else re.fullmatch(r"(.+?)\s*(>=|<=|==|!=|>|<)\s*(.+)", target)
        return cls(*(part.strip() for part in match.groups())) if match else cls(target)

    @property
    def levels(self) -> tuple[str, ...]:
        """The two classes of a comparison, the one where it holds last; () for a plain column."""
        tests = (NEGATED[self.test], self.test) if self.test else ()
        return tuple(f"{self.column} {test} {self.value}" for test in tests)

    def labels(self, table: Table) -> Array:
        """Class texts, object dtype, None where the target is missing."""
        if not self.test:
            return table.texts(self.column)
        known = ~table.missing(self.column)
        if self.test in ("==", "!="):
            equal = table.texts(self.column) == text(self.value)
            holds = equal if self.test == "==" else ~equal
        else:
            compare = {">": np.greater, "<": np.less, ">=": np.greater_equal, "<=": np.less_equal}[self.test]
            holds = compare(table.numbers(self.column), float(self.value))
        labels: Array = np.array(self.levels, dtype=object)[holds.astype(int)]
        labels[~known] = None
        return labels


@dataclass(frozen=True)
class Preparation:
    """The frozen plan that every site applies alike; `classes` is None for regression, `shape` is a
    sample's."""

    columns: tuple[Column, ...]
    target: Target
    classes: tuple[str, ...] | None
    shape: tuple[int, ...]
    missing: Missing = ()

    def plain(self) -> dict[str, Any]:
        """The plan as scalars and tuples, the fields of the `prepare` question."""
        return {
            "columns": tuple(astuple(c) for c in self.columns),
            "target": astuple(self.target),
            "classes": self.classes,
            "shape": self.shape,
            "missing": self.missing,
        }


@dataclass(frozen=True)
class Schema:
    """What a model of this federation sees: feature names after encoding, class texts in the order of
    their numbers (None for regression), the target as given, the shape of a sample, and what a person
    should know."""

    features: tuple[str, ...]
    classes: tuple[str, ...] | None
    target: str
    shape: tuple[int, ...]
    warnings: tuple[str, ...] = ()
    preparation: Preparation | None = None

    def class_numbers(self, labels: Any) -> Array:
        """Class numbers (n,), int64, of labels as they were in the data; `BadData` for a class not in
        `classes`."""
        return class_numbers([text(label) for label in np.asarray(labels).tolist()], self.classes or ())


def class_numbers(labels: Iterable[str | None], classes: tuple[str, ...]) -> Array:
    """Positions of `labels` in `classes`; raises `BadData` naming the first class unseen at training."""
    number_of = {label: i for i, label in enumerate(classes)}
    labels = list(labels)
    unseen = [label for label in labels if label not in number_of]
    if unseen:
        raise BadData(
            f"class '{unseen[0]}' ({unseen.count(unseen[0])} rows) is unseen at training, where the "
            "classes are "
            f"{', '.join(classes[:10])}: leave these rows out, or see that training rows of it exist."
        )
    return np.array([number_of[label] for label in labels if label is not None], dtype=np.int64)
