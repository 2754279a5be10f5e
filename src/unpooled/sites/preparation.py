"""From raw tables to arrays ready for learning: one frozen plan, made of federated statistics, applied alike
at every site.

`prepare` agrees on columns, lets each site split its rows, asks categories and moments of the training rows
only, and sends the plan. Choices: a missing number becomes the federated mean of its column; a missing
category is a level of its own, `(missing)`, where training rows miss it; a category never seen in training is
all zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unpooled.errors import BadData, BadSetting, did_you_mean
from unpooled.sites.federation import Federation, ask_all
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
    FederatedMoments,
    Levels,
    Split,
    SplitAnswer,
    federated_levels,
    federated_moments,
    rows_of,
    table_of,
)

MISSING_LEVEL = "(missing)"
NUMBERS = frozenset({"integer", "number"})
TASKS = ("auto", "classification", "regression")
MOST_CLASSES = 20
"""With task="auto", whole numbers with at most so many distinct values are classes."""


@dataclass(frozen=True, kw_only=True)
class PrepareAnswer(Answer):
    """Numbers of samples now ready at the site."""

    train: int
    test: int


@dataclass(frozen=True, kw_only=True)
class Prepare(Question):
    """Apply this plan to your rows (the fields are those of `Preparation.plain`). Tells two counts."""

    kind: ClassVar[str] = "prepare"
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
    site.train, site.test = made["train"], made["test"] if len(made["test"]) else None
    return PrepareAnswer(train=len(made["train"]), test=len(made["test"]))


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
    values = block.astype(np.float32) / np.float32(255) if block.dtype == np.uint8 else block
    if tuple(values.shape[1:]) != tuple(shape) and len(shape) == 3 and values.shape[1:] == (1, *shape[1:]):
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
    names = _agreed_names(answers, drop)
    plan = Target.parse(target, names)
    _known(
        names,
        target=(plan.column,),
        group=(group,) if group else (),
        categorical=categorical,
        missing=missing or {},
    )
    if plan.test not in ("", "==", "!=") and number(plan.value) is None:
        raise BadSetting(f"target '{target}' compares with '{plan.value}', which is no number: use == or !=.")
    roles = {plan.column, group}
    types = _agreed_types(federation, answers, [n for n in names if n != group], categorical, absent)
    classes = _classes(federation, plan, types[plan.column], task, absent)
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
    labels = _class_texts(plan, levels.pop(0), max_categories) if classes else None
    made = _category_columns(texts, levels, max_categories) | _number_columns(
        numbers, moments, rows, scale=scale, indicator=missing_indicator
    )
    columns = tuple(made[name] for name in names if name in made)
    shape, features = _shape(answers, columns)
    preparation = Preparation(columns, plan, labels, shape, absent)
    ask_all(federation, Prepare(**preparation.plain()), PrepareAnswer)
    warnings = _warnings(answers, parts, [n for n in names if n not in roles], made, plan.column)
    return Schema(features, labels, target, shape, warnings, preparation)


def _names(given: Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _absent(missing: Mapping[str, Any]) -> Missing:
    def texts(values: Any) -> tuple[str, ...]:
        values = [values] if isinstance(values, str) or not isinstance(values, Iterable) else values
        return tuple(t for t in map(text, values) if t is not None)

    return tuple((name, texts(values)) for name, values in missing.items())


def _known(names: Sequence[str], **given: Iterable[str]) -> None:
    for setting, wanted in given.items():
        for name in wanted:
            if name not in names:
                error = BadData if setting == "target" else BadSetting
                raise error(
                    f"There is no column '{name}' ({setting}).{did_you_mean(name, names)} The columns are "
                    f"{', '.join(names[:20])}{', ...' if len(names) > 20 else ''}."
                )


def _agreed_names(answers: Mapping[str, ColumnsAnswer], drop: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that all sites have, in the order of the site whose name comes first."""
    every = sorted({name for answer in answers.values() for name in answer.names})
    _known(every, drop=[d for d in drop if not any(name.startswith(f"{d}[") for name in every)])
    kept = {s: tuple(n for n in a.names if n not in drop and n.split("[")[0] not in drop) for s, a in answers.items()}
    sets = [frozenset(names) for names in kept.values()]
    usual = max(sets, key=lambda names: (sets.count(names), sorted(names)))
    like = next(site for site, names in kept.items() if frozenset(names) == usual)
    for site in sorted(kept):
        lacks, extra = sorted(usual - set(kept[site])), sorted(set(kept[site]) - usual)
        if lacks or extra:
            found = [f"lacks column {_quoted(lacks)}"] * bool(lacks) + [f"has in excess {_quoted(extra)}"] * bool(extra)
            raise BadData(
                f"Site '{site}' {' and '.join(found)}, compared with site '{like}': rename the "
                "columns there, or leave "
                f"them out everywhere with drop={[*lacks, *extra][:5]}."
            )
    return kept[min(kept)]


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _agreed_types(
    federation: Federation,
    answers: Mapping[str, ColumnsAnswer],
    names: Sequence[str],
    categorical: tuple[str, ...],
    missing: Missing,
) -> dict[str, str]:
    """`integer`, `number`, `category` or `empty` for each column; a site that misses it entirely has no
    say."""
    agreed = {}
    for name in names:
        said = {site: a.types[a.names.index(name)] for site, a in answers.items()}
        kinds = set(said.values()) - {"empty"}
        if not kinds:
            agreed[name] = "empty"
        elif name in categorical or kinds <= {"text", "bool"}:
            agreed[name] = "category"
        elif kinds <= NUMBERS:
            agreed[name] = "integer" if kinds == {"integer"} else "number"
        else:
            raise _conflict(federation, name, said, missing)
    return agreed


def _conflict(federation: Federation, name: str, said: Mapping[str, str], missing: Missing) -> BadData:
    """What to raise where a column holds text at one place and numbers at another; asks for one example."""
    site = min(said, key=lambda s: (said[s] != "mixed", said[s] != "text", said[s] != "bool", s))
    answer = federation.ask({site: Columns(missing=missing, examples_of=(name,))})[site]
    cell = answer.examples[0][1] if isinstance(answer, ColumnsAnswer) and answer.examples else "a cell"
    like = (
        "the column's other cells" if said[site] == "mixed" else f"site '{min(s for s in said if said[s] in NUMBERS)}'"
    )
    kind = "True/False" if said[site] == "bool" else "text"
    return BadData(
        f"Site '{site}', column '{name}': {cell} is {kind} where numbers belong (as in {like}): correct it, "
        f"list it in missing={{'{name}': [...]}}, or name the column in categorical or drop."
    )


def _classes(federation: Federation, target: Target, kind: str, task: str, missing: Missing) -> bool:
    """Whether the target is a class; raises `BadData` where the task does not fit the column."""
    if kind == "empty":
        raise BadData(f"The target '{target.column}' is missing in every row at every site: choose another column.")
    if kind == "category" and (task == "regression" or target.test not in ("", "==", "!=")):
        raise BadData(
            f"The target '{target.column}' is text where numbers belong: use it as a class, or with == or !=."
        )
    if target.test or kind == "category" or task != "auto":
        return bool(target.test) or task != "regression"
    return (
        kind == "integer"
        and federated_levels(federation, (target,), limit=MOST_CLASSES, part="all", missing=missing)[0] is not None
    )


def _class_texts(target: Target, levels: Levels | None, limit: int) -> tuple[str, ...]:
    if levels is None:
        raise BadData(
            f"The target '{target.column}' has more than {limit} classes: use task='regression', or "
            "raise max_categories."
        )
    if len(levels.values) < 2:
        raise BadData(f"All training rows are of one class, {_quoted(levels.values)}: two at least are needed.")
    return target.levels or levels.values


def _category_columns(names: Sequence[str], found: Sequence[Levels | None], limit: int) -> dict[str, Column]:
    made = {}
    for name, levels in zip(names, found, strict=True):
        if levels is None:
            raise BadData(
                f"Column '{name}' holds more than {limit} different texts, as names and free text "
                "do: leave it out "
                f"with drop=['{name}'], or raise max_categories."
            )
        if levels.values:
            own = (MISSING_LEVEL,) if levels.missing else ()
            made[name] = Column(name, "category", (*levels.values, *own), impute=MISSING_LEVEL if own else None)
    return made


def _number_columns(
    names: Sequence[str], moments: FederatedMoments, rows: int, *, scale: bool, indicator: bool
) -> dict[str, Column]:
    made = {}
    for name, count, mean, spread in zip(names, moments.counts, moments.mean, moments.scale, strict=True):
        if count:
            about = (float(mean), float(spread)) if scale else (0.0, 1.0)
            made[name] = Column(name, "number", (), *about, float(mean), indicator and bool(count < rows))
    return made


def _shape(answers: Mapping[str, ColumnsAnswer], columns: Sequence[Column]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Shape of a sample, and names of features (none for images)."""
    shapes = {site: answer.shape for site, answer in sorted(answers.items())}
    features = tuple(feature for column in columns for feature in column.features)
    usual = next(iter(shapes.values()))
    if usual is None and not any(shapes.values()):
        if not features:
            raise BadData("No feature is left: every column is the target, the group, dropped, or missing everywhere.")
        return (len(features),), features
    if columns:
        raise BadData(
            f"There are images and columns ({_quoted([c.name for c in columns])}): drop the one or the other."
        )
    widest = max((s for s in shapes.values() if s is not None), key=lambda s: s[0] if len(s) == 3 else 0)
    for site, shape in shapes.items():
        same = shape is not None and len(shape) == len(widest) and shape[-2:] == widest[-2:]
        if not same or (shape != widest and shape is not None and shape[0] != 1):
            size = widest[-2:]
            raise BadData(
                f"Site '{site}' has samples of shape {shape}, another site {widest}: resize them to "
                "one size (for a "
                f"folder of images: image_size={size})."
            )
    return widest, ()


def _warnings(
    answers: Mapping[str, ColumnsAnswer],
    parts: Mapping[str, SplitAnswer],
    features: Sequence[str],
    made: Mapping[str, Column],
    target: str,
) -> tuple[str, ...]:
    found = []
    for name in features:
        empty = [site for site, a in answers.items() if a.types[a.names.index(name)] == "empty"]
        if len(empty) == len(answers):
            found.append(f"Column '{name}' is missing at every site: it was left out.")
        elif name not in made:
            found.append(f"Column '{name}' is missing in every training row: it was left out.")
        elif empty:
            found.append(f"Column '{name}' is missing entirely at {_quoted(empty)}: the federated value stands in.")
    for site, part in parts.items():
        if part.unlabelled:
            found.append(f"Site '{site}': {part.unlabelled} rows without a value of '{target}' were left out.")
    return tuple(found)
