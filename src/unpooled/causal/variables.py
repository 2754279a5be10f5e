"""A site's rows as all sites agreed to read them: which variables, numbers or categories, and which rows count.

Step 0 of every protocol; `discovery.agreement` is the coordinator's side. The site's table is from then on that of its
complete rows, in the agreed units, and every causal question is answered from it. For a bootstrap the same question is
asked again with a number: then these rows are drawn anew, with replacement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from unpooled.errors import BadData
from unpooled.seeds import Streams
from unpooled.sites.keeping import asked_again
from unpooled.sites.questions import Answer, Question, handles
from unpooled.sites.reading import cells_of
from unpooled.sites.schema import Table
from unpooled.sites.site import Site
from unpooled.sites.statistics import table_of

RAW, LEVELS, CHOSEN = "raw table", "variables", "chosen rows"
"""Where a site keeps its table as it was read, levels of each variable (none for a number), and which rows count."""
DEPENDENT = 1e-8
"""A column of which the columns before leave less than this share of its variance is a linear function of them."""


@dataclass(frozen=True)
class Variable:
    """A column: a number (`levels` is empty), of which the natural logarithm is taken if `log`, or a category."""

    name: str
    levels: tuple[str, ...] = ()
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class VariablesAnswer(Answer):
    """Complete `rows`, rows `dropped` because a value is missing, and names of columns that are `constant`, or
    `dependent`: a linear function of the columns before them."""

    rows: int
    dropped: int
    constant: tuple[str, ...]
    dependent: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Variables(Question):
    """Prepare these columns, each (name, levels, log). Tells two counts, and which columns hold no information of
    their own; nothing about single rows."""

    kind: ClassVar[str] = "variables"
    tells: ClassVar[str] = "How many rows are complete, and which columns are constant or a linear function of others."
    answer: ClassVar[type[Answer]] = VariablesAnswer
    columns: tuple[tuple[str, tuple[str, ...], bool], ...]
    missing: str = "refuse"
    draw: int | None = None
    seed: int = 0


@handles(Variables)
def answer_variables(site: Site, question: Variables) -> VariablesAnswer:
    """Put the agreed columns of the complete rows in the place of the raw table, which is kept for the next time."""
    raw = site.state.pop(RAW, None)
    if raw is not None:
        site.state["table"] = raw
    site.state.pop("environments", None)  # what ORION fitted to other rows
    table, raw = table_of(site), site.state["table"]
    if not question.columns:
        site.state.pop(LEVELS, None)
        site.state.pop(CHOSEN, None)
        return VariablesAnswer(rows=len(table), dropped=0, constant=(), dependent=())
    frame = pd.DataFrame({name: _cells(site, name, levels, log) for name, levels, log in question.columns})
    whole = ~frame.isna().any(axis=1)
    if question.missing != "drop" and not whole.all():
        name = str(frame.isna().any().idxmax())
        raise BadData(
            f"column '{name}' lacks {int(frame[name].isna().sum())} of {len(table)} values: fill them in, leave the "
            f"column out, or use the {int(whole.sum())} complete rows alone (missing='drop')."
        )
    kept = frame[whole].reset_index(drop=True)
    if len(kept) < 2:
        raise BadData(
            f"it has {len(kept)} complete row{'s' * (len(kept) != 1)}, and 2 at least are needed: leave it out, or "
            "join it with another one."
        )
    constant, dependent = _without_information(kept)
    if question.draw is not None:
        rng = Streams(question.seed).generator("site", site.name, "bootstrap", question.draw)
        kept = kept.iloc[rng.integers(len(kept), size=len(kept))]
    site.state[RAW] = raw
    site.state[CHOSEN] = repr((question.columns, question.missing, question.draw, question.seed))
    site.state[LEVELS] = {name: levels for name, levels, _ in question.columns}
    site.state["table"] = Table({str(name): cells_of(kept[name]) for name in kept.columns})
    return VariablesAnswer(rows=len(kept), dropped=int((~whole).sum()), constant=constant, dependent=dependent)


asked_again(Variables)


def frame_at(site: Site) -> pd.DataFrame:
    """The site's complete rows as agreed: numbers as float64, categories as pandas categories with levels in common.

    Raises `BadData` before `variables` was asked.
    """
    levels: dict[str, tuple[str, ...]] | None = site.state.get(LEVELS)
    if levels is None:
        raise BadData("its variables are not agreed yet: ask `variables` first.")
    table = table_of(site)
    return pd.DataFrame(
        {
            name: pd.Categorical(table.column(name), categories=list(own)) if own else table.numbers(name)
            for name, own in levels.items()
        }
    )


def _cells(site: Site, name: str, levels: tuple[str, ...], log: bool) -> Any:
    table = table_of(site)
    if levels:
        return pd.Categorical(table.texts(name), categories=list(levels))
    values = table.numbers(name)
    if log:
        if (values <= 0).any():
            raise BadData(f"column '{name}' holds values of 0 or less, which have no logarithm: leave it out of log.")
        values = np.log(values)
    return pd.Series(values)


def _without_information(frame: pd.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the constant columns, and of numbers that are linear functions of those before."""
    constant = tuple(str(name) for name in frame.columns if frame[name].nunique() < 2)
    numbers = frame.select_dtypes("number").drop(
        columns=[name for name in constant if name in frame.columns], errors="ignore"
    )
    dependent: list[str] = []
    basis = np.zeros((len(frame), 0))
    for name in numbers.columns:
        column = numbers[name].to_numpy(np.float64)
        column = column - column.mean()
        column /= np.linalg.norm(column)
        rest = column - basis @ (basis.T @ column)
        if float(rest @ rest) < DEPENDENT:
            dependent.append(str(name))
        else:
            basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
    return constant, tuple(dependent)
