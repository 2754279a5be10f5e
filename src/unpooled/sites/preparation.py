"""From raw tables to arrays ready for learning: one frozen plan, made of federated statistics, applied alike
at every site.

`prepare` agrees on columns, lets each site split its rows, asks categories and moments of the training rows
only, and sends the plan. Choices: a missing number becomes the federated mean of its column; a missing
category is a level of its own, `(missing)`, where training rows miss it; a category never seen in training is
all zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from unpooled.errors import BadData, BadSetting, did_you_mean
from unpooled.sites.agreement import (
    NUMBERS,
    agreed_names,
    agreed_shape,
    agreed_types,
    category_columns,
    class_texts,
    is_classification,
    number_columns,
    refuse_unknown,
    warnings_of,
)
from unpooled.sites.federation import Federation, ask_all
from unpooled.sites.keeping import asked_again
from unpooled.sites.payload import Array
from unpooled.sites.questions import Answer, Question, handles
from unpooled.sites.schema import (
    Column,
    Missing,
    Preparation,
    Schema,
    Table,
    Target,
    class_numbers,
    number,
    text,
)
from unpooled.sites.site import Samples, Site, samples
from unpooled.sites.statistics import (
    Columns,
    ColumnsAnswer,
    Split,
    SplitAnswer,
    federated_levels,
    federated_moments,
    rows_of,
    table_of,
)

TASKS = ("auto", "classification", "regression")


@dataclass(frozen=True, kw_only=True)
class PrepareAnswer(Answer):
    """Numbers of samples now ready at the site."""

    train: int
    test: int


@dataclass(frozen=True, kw_only=True)
class Prepare(Question):
    """Apply this plan to your rows (the fields are those of `Preparation.plain`). Tells two counts."""

    kind: ClassVar[str] = "prepare"
    tells: ClassVar[str] = "Two counts: samples ready for training and for testing."
    answer: ClassVar[type[Answer]] = PrepareAnswer
    columns: tuple[tuple[Any, ...], ...]
    target: tuple[str, str, str]
    classes: tuple[str, ...] | None
    shape: tuple[int, ...]
    missing: Missing = ()


@handles(Prepare)
def answer_prepare(site: Site, question: Prepare) -> PrepareAnswer:
    """Impute, encode and scale; set `site.train` and `site.test` (None where no row is for testing)."""
    table, target = table_of(site, question.missing), Target(*question.target)
    columns = tuple(Column(*column) for column in question.columns)
    X = encode(table, columns) if table.block is None else pixels(table.block, question.shape)
    made: dict[str, Samples] = {}
    for part in ("train", "test"):
        rows = rows_of(site, part)
        if question.classes is None:
            y: Array = table.numbers(target.column)[rows].astype(np.float32)
        else:
            y = class_numbers(target.labels(table)[rows], question.classes)
        made[part] = samples(X[rows].astype(np.float32), y)
    site.train = replace(made["train"], groups=site.state.get("groups"))
    site.test = made["test"] if len(made["test"]) else None
    return PrepareAnswer(train=len(made["train"]), test=len(made["test"]))


asked_again(Prepare)


def encode(table: Table, columns: Sequence[Column]) -> Array:
    """The table's features, shape (n, features), float64, in the order of `Column.features` of each
    column."""
    features: list[Array] = []
    for column in columns:
        if column.type == "number":
            values = table.numbers(column.name)
            gone = np.isnan(values)
            filled = np.where(gone, column.impute if isinstance(column.impute, float) else column.mean, values)
            features.append((filled - column.mean) / column.scale)
            if column.indicator:
                features.append(gone.astype(np.float64))
        else:
            cells = np.array([column.impute if c is None else c for c in table.texts(column.name)], dtype=object)
            features.extend((cells == level).astype(np.float64) for level in column.categories)
    return np.array(features, dtype=np.float64).reshape(len(features), len(table)).T


def pixels(block: Array, shape: Sequence[int]) -> Array:
    """Samples of shape (n, *shape): bytes become [0, 1] in float32, one grey channel becomes three where the
    plan has three. Raises `BadData` for any other shape."""
    values = np.divide(block, np.float32(255), dtype=np.float32) if block.dtype == np.uint8 else block
    if len(shape) == 3 and shape[0] == 3 and values.shape[1:] == (1, *shape[1:]):
        values = np.broadcast_to(values, (len(values), *shape))
    if tuple(values.shape[1:]) != tuple(shape):
        raise BadData(f"its samples have shape {values.shape[1:]} where the other sites have {tuple(shape)}.")
    return values


def prepare(
    federation: Federation,
    *,
    target: str,
    task: str = "auto",
    group: str | None = None,
    test_fraction: float = 0.0,
    seed: int = 0,
    categorical: Iterable[str] = (),
    drop: Iterable[str] = (),
    missing: Mapping[str, Any] | None = None,
    missing_indicator: bool = False,
    scale: bool = True,
    max_categories: int = 100,
) -> Schema:
    """Prepare the raw sites of `federation` for learning, and return what a model of them sees.

    `target` is a column, or a comparison such as "num > 0" (then the class where it holds is number 1).
    `task` "auto" takes text, bools, and whole numbers of at most 20 values for classes. Rows without a target
    are left out. Text and bool columns, and those named in `categorical`, become one 0/1 feature a level; all
    others are scaled with mean and standard deviation of the known training cells of all sites (not when
    `scale` is False). `missing` lists further missing values of a column, `missing_indicator` adds a 0/1
    feature for each number that training rows miss. `group` names a column whose values stay on one side of
    the train/test split; it is no feature. Raises `BadData` and `BadSetting`, each naming what was found,
    what was needed, what to do.
    """
    if task not in TASKS:
        raise BadSetting(f"task must be one of {', '.join(TASKS)}, got {task!r}.{did_you_mean(task, TASKS)}")
    if not 0.0 <= test_fraction < 1.0:
        raise BadSetting(f"test_fraction must be at least 0 and below 1, got {test_fraction!r}.")
    drop, categorical, absent = _names(drop), _names(categorical), _absent(missing or {})
    answers = ask_all(federation, Columns(missing=absent), ColumnsAnswer)
    names = agreed_names(answers, drop)
    plan = Target.parse(target, names)
    refuse_unknown(
        names,
        target=(plan.column,),
        group=(group,) if group else (),
        categorical=categorical,
        missing=missing or {},
    )
    if plan.test not in ("", "==", "!=") and number(plan.value) is None:
        raise BadSetting(f"target '{target}' compares with '{plan.value}', which is no number: use == or !=.")
    roles = {plan.column, group}
    types = agreed_types(federation, answers, [n for n in names if n != group], categorical, absent)
    classes = is_classification(federation, plan, types[plan.column], task, absent)
    question = Split(
        target=(plan.column, plan.test, plan.value),
        stratify=classes,
        group=group,
        test_fraction=test_fraction,
        seed=seed,
        missing=absent,
    )
    parts = ask_all(federation, question, SplitAnswer)
    rows = sum(part.train for part in parts.values())
    numbers = tuple(n for n in names if n not in roles and types[n] in NUMBERS)
    texts = tuple(n for n in names if n not in roles and types[n] == "category")
    wanted = (*((plan,) if classes else ()), *(Target(n) for n in texts))
    levels = federated_levels(federation, wanted, limit=max_categories, missing=absent)
    moments = federated_moments(federation, numbers, missing=absent)
    labels = class_texts(plan, levels.pop(0), max_categories) if classes else None
    made = category_columns(texts, levels, max_categories) | number_columns(
        numbers, moments, rows, scale=scale, indicator=missing_indicator
    )
    columns = tuple(made[name] for name in names if name in made)
    shape, features = agreed_shape(answers, columns)
    preparation = Preparation(columns, plan, labels, shape, absent)
    ask_all(federation, Prepare(**preparation.plain()), PrepareAnswer)
    warnings = warnings_of(answers, parts, [n for n in names if n not in roles], made, plan.column)
    return Schema(features, labels, target, shape, warnings, preparation)


def _names(given: Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _absent(missing: Mapping[str, Any]) -> Missing:
    def texts(values: Any) -> tuple[str, ...]:
        values = [values] if isinstance(values, str) or not isinstance(values, Iterable) else values
        return tuple(t for t in map(text, values) if t is not None)

    return tuple((name, texts(values)) for name, values in missing.items())
