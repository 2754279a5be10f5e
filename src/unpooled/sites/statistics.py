"""Statistics of all sites together, asked through the door: no row leaves a site, nothing is pooled.

Four kinds of question: `columns`, `split`, `categories`, `moments`. What a reader learns from
each is in its docstring; no answer grows with the number of rows. Sums over sites use `math.fsum`, so results
are the same bits in whatever order the sites come.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import ClassVar

import numpy as np

from unpooled.errors import BadData
from unpooled.seeds import Streams
from unpooled.sites.federation import Federation, ask_all
from unpooled.sites.keeping import asked_again
from unpooled.sites.payload import Array
from unpooled.sites.questions import Answer, Question, handles
from unpooled.sites.schema import Missing, Table, Target, in_order, number
from unpooled.sites.site import Site
from unpooled.sites.train_test import train_test_rows


def table_of(site: Site, missing: Missing = ()) -> Table:
    """The site's raw table with `missing` applied; raises `BadData` where it holds none, or no row."""
    table = site.state.get("table")
    if not isinstance(table, Table):
        raise BadData("it holds no raw table (its arrays are ready for learning): ask `describe` instead.")
    if len(table) == 0:
        raise BadData("it has no rows: leave it out, or give it at least one.")
    return table.without(missing)


def rows_of(site: Site, part: str) -> Array:
    """Indices of the `train` or `test` rows, or of `all` rows."""
    if part == "all":
        return np.arange(len(table_of(site)))
    if "parts" not in site.state:
        raise BadData("its rows are not yet split: ask `split` first.")
    rows: Array = site.state["parts"][part]
    return rows


@dataclass(frozen=True, kw_only=True)
class ColumnsAnswer(Answer):
    """`rows` held, per column its type (see `Table.type_of`) and count of missing cells, the shape of a
    sample where there is a block, and (column, example of a text) for columns asked for."""

    rows: int
    names: tuple[str, ...]
    types: tuple[str, ...]
    missing: Array
    shape: tuple[int, ...] | None
    examples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Columns(Question):
    """Which columns? Tells names, types and counts; a single cell only for columns in `examples_of`, which
    are those that hold text where other sites hold numbers."""

    kind: ClassVar[str] = "columns"
    tells: ClassVar[str] = "Names and types of the columns, the number of rows, and how many cells are missing in each."
    answer: ClassVar[type[Answer]] = ColumnsAnswer
    missing: Missing = ()
    examples_of: tuple[str, ...] = ()


@handles(Columns)
def answer_columns(site: Site, question: Columns) -> ColumnsAnswer:
    """Types and counts of all columns."""
    table = table_of(site, question.missing)
    examples = []
    for name in question.examples_of:
        if table.type_of(name) in ("text", "mixed", "bool"):
            cells = table.column(name).tolist()
            first = next(int(i) for i in np.flatnonzero(~table.missing(name)) if not _is_number(cells[i]))
            examples.append((name, table.cell(name, first)))
    return ColumnsAnswer(
        rows=len(table),
        names=tuple(table.columns),
        types=tuple(table.type_of(name) for name in table.columns),
        missing=np.array([table.missing(name).sum() for name in table.columns], dtype=np.int64),
        shape=None if table.block is None else tuple(int(n) for n in table.block.shape[1:]),
        examples=tuple(examples),
    )


def _is_number(cell: object) -> bool:
    return number(cell) is not None and not isinstance(cell, bool)


@dataclass(frozen=True, kw_only=True)
class SplitAnswer(Answer):
    """Numbers of rows for training and for testing, and of rows left out because their target is missing."""

    train: int
    test: int
    unlabelled: int


@dataclass(frozen=True, kw_only=True)
class Split(Question):
    """Divide your rows into training and test, before any statistic: by `group` column where given, by
    class when `stratify`, with the stream `site/<name>/split` of `seed`. Tells three counts."""

    kind: ClassVar[str] = "split"
    tells: ClassVar[str] = "How many rows the site keeps for training and how many it sets apart for testing."
    answer: ClassVar[type[Answer]] = SplitAnswer
    target: tuple[str, str, str]
    stratify: bool
    group: str | None = None
    test_fraction: float = 0.0
    seed: int = 0
    missing: Missing = ()


@handles(Split)
def answer_split(site: Site, question: Split) -> SplitAnswer:
    """Remember at the site which rows are for training and which for testing."""
    table = table_of(site, question.missing)
    labels = Target(*question.target).labels(table)
    rows = np.flatnonzero([label is not None for label in labels])
    if len(rows) == 0:
        raise BadData(f"no row has a value of the target '{question.target[0]}': leave the site out.")
    groups = None
    if question.group is not None:  # a row without a group is a group of its own
        cells = table.texts(question.group)
        groups = np.array([f"row {i}" if cells[i] is None else f"group {cells[i]}" for i in rows])
    train, test = train_test_rows(
        len(rows),
        test_fraction=question.test_fraction,
        rng=Streams(question.seed).generator("site", site.name, "split"),
        labels=labels[rows].astype(str) if question.stratify else None,
        groups=groups,
    )
    site.state["parts"] = {"train": rows[train], "test": rows[test]}
    site.state["groups"] = None if groups is None else groups[train]
    return SplitAnswer(train=len(train), test=len(test), unlabelled=len(table) - len(rows))


asked_again(Split)


@dataclass(frozen=True, kw_only=True)
class CategoriesAnswer(Answer):
    """Per column: distinct values (empty when more than the limit), how many there are, how many cells
    miss."""

    values: tuple[tuple[str, ...], ...]
    distinct: tuple[int, ...]
    missing: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Categories(Question):
    """Distinct values of some columns among the rows of `part`. Tells each value that occurs, even once; a
    column with more than `limit` values (an identifier, free text) tells only how many."""

    kind: ClassVar[str] = "categories"
    tells: ClassVar[str] = "The distinct values of each categorical column and how often each occurs."
    answer: ClassVar[type[Answer]] = CategoriesAnswer
    columns: tuple[tuple[str, str, str], ...]
    limit: int
    part: str = "train"
    missing: Missing = ()


@handles(Categories)
def answer_categories(site: Site, question: Categories) -> CategoriesAnswer:
    """Distinct values, sorted."""
    table, rows = table_of(site, question.missing), rows_of(site, question.part)
    cells = [Target(*column).labels(table)[rows] for column in question.columns]
    found = [in_order(cell for cell in column if cell is not None) for column in cells]
    return CategoriesAnswer(
        values=tuple(values if len(values) <= question.limit else () for values in found),
        distinct=tuple(len(values) for values in found),
        missing=tuple(sum(cell is None for cell in column) for column in cells),
    )


@dataclass(frozen=True, kw_only=True)
class MomentsAnswer(Answer):
    """Per column, over cells that are not missing: their number, the sum of (value - center), and, where a
    center was given, the sum of squares of (value - center); shape (columns,), float64."""

    counts: Array
    sums: Array
    squares: Array


@dataclass(frozen=True, kw_only=True)
class Moments(Question):
    """Counts, sums and sums of squares over training rows. Tells a cell's value where a site has only one
    row."""

    kind: ClassVar[str] = "moments"
    tells: ClassVar[str] = (
        "For each numeric column: how many values there are, their sum, and the sum of their "
        "squared distances from the agreed mean."
    )
    answer: ClassVar[type[Answer]] = MomentsAnswer
    columns: tuple[str, ...]
    center: Array | None = None
    missing: Missing = ()


@handles(Moments)
def answer_moments(site: Site, question: Moments) -> MomentsAnswer:
    """Sums about the center, in float64."""
    table, rows = table_of(site, question.missing), rows_of(site, "train")
    values = np.array([table.numbers(name)[rows] for name in question.columns]).reshape(
        len(question.columns), len(rows)
    )
    known = ~np.isnan(values)
    center = np.zeros(len(values)) if question.center is None else question.center
    about = np.where(known, values - center[:, None], 0.0)
    squares = np.zeros(len(values)) if question.center is None else (about**2).sum(axis=1)
    return MomentsAnswer(counts=known.sum(axis=1).astype(np.int64), sums=about.sum(axis=1), squares=squares)


@dataclass(frozen=True)
class Levels:
    """Values of one column that occur at any site, sorted, and how many cells miss over all sites."""

    values: tuple[str, ...]
    missing: int


def federated_levels(
    federation: Federation,
    columns: tuple[Target, ...],
    *,
    limit: int,
    part: str = "train",
    missing: Missing = (),
) -> list[Levels | None]:
    """The union over sites of each column's distinct values; None for a column with more than `limit` of
    them."""
    if not columns:
        return []
    asked = tuple((c.column, c.test, c.value) for c in columns)
    question = Categories(columns=asked, limit=limit, part=part, missing=missing)
    answers = ask_all(federation, question, CategoriesAnswer).values()
    found: list[Levels | None] = []
    for i in range(len(columns)):
        union = in_order(value for answer in answers for value in answer.values[i])
        over = len(union) > limit or any(answer.distinct[i] > limit for answer in answers)
        found.append(None if over else Levels(union, sum(answer.missing[i] for answer in answers)))
    return found


@dataclass(frozen=True)
class FederatedMoments:
    """Of each column over the training rows of all sites: count of known cells, mean, and standard deviation
    (divided by count; 1 where the column is constant). Shape (columns,); NaN means and 1 where count is 0."""

    counts: Array
    mean: Array
    scale: Array


def federated_moments(federation: Federation, columns: tuple[str, ...], *, missing: Missing = ()) -> FederatedMoments:
    """Mean and scale of all sites' cells together, in two rounds: sums, then sums of squares about the mean.

    The second round also corrects the rounding of the first, so that the result equals the pooled one to
    1e-12.
    """
    if not columns:
        return FederatedMoments(np.zeros(0, np.int64), np.zeros(0), np.ones(0))
    first = list(ask_all(federation, Moments(columns=columns, missing=missing), MomentsAnswer).values())
    counts = np.sum([answer.counts for answer in first], axis=0)
    n = np.maximum(counts, 1)
    center = _exact_sum([answer.sums for answer in first]) / n
    second = ask_all(federation, Moments(columns=columns, center=center, missing=missing), MomentsAnswer).values()
    shift = _exact_sum([answer.sums for answer in second]) / n
    variance = _exact_sum([answer.squares for answer in second]) / n - shift**2
    mean = center + shift
    constant = variance <= (np.finfo(np.float64).eps * mean) ** 2  # a spread that float64 cannot hold at this mean
    scale = np.where(constant, 1.0, np.sqrt(np.maximum(variance, 0.0)))
    return FederatedMoments(counts, np.where(counts > 0, mean, np.nan), scale)


def _exact_sum(arrays: list[Array]) -> Array:
    return np.array([fsum(values) for values in zip(*(a.tolist() for a in arrays), strict=True)])
