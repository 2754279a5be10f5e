"""What all sites must agree on before preparation: columns, types, classes and the shape of a sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from unpooled.errors import BadData, BadSetting, did_you_mean
from unpooled.sites.federation import Federation
from unpooled.sites.schema import (
    Column,
    Missing,
    Target,
)
from unpooled.sites.statistics import (
    Columns,
    ColumnsAnswer,
    FederatedMoments,
    Levels,
    SplitAnswer,
    federated_levels,
)

MISSING_LEVEL = "(missing)"
NUMBERS = frozenset({"integer", "number"})
MOST_CLASSES = 20
"""With task="auto", whole numbers with at most so many distinct values are classes."""


def refuse_unknown(names: Sequence[str], **given: Iterable[str]) -> None:
    for setting, wanted in given.items():
        for name in wanted:
            if name not in names:
                error = BadData if setting == "target" else BadSetting
                raise error(
                    f"There is no column '{name}' ({setting}).{did_you_mean(name, names)} The columns are "
                    f"{', '.join(names[:20])}{', ...' if len(names) > 20 else ''}."
                )


def agreed_names(answers: Mapping[str, ColumnsAnswer], drop: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that all sites have, in the order of the site whose name comes first."""
    every = sorted({name for answer in answers.values() for name in answer.names})
    refuse_unknown(every, drop=[d for d in drop if not any(name.startswith(f"{d}[") for name in every)])
    kept = {s: tuple(n for n in a.names if n not in drop and n.split("[")[0] not in drop) for s, a in answers.items()}
    sets = [frozenset(names) for names in kept.values()]
    usual = max(sets, key=lambda names: (sets.count(names), sorted(names)))
    like = next(site for site, names in kept.items() if frozenset(names) == usual)
    for site in sorted(kept):
        lacks, extra = sorted(usual - set(kept[site])), sorted(set(kept[site]) - usual)
        if lacks or extra:
            found = [f"lacks column {quoted(lacks)}"] * bool(lacks) + [f"has in excess {quoted(extra)}"] * bool(extra)
            raise BadData(
                f"Site '{site}' {' and '.join(found)}, compared with site '{like}': rename the "
                "columns there, or leave "
                f"them out everywhere with drop={[*lacks, *extra][:5]}."
            )
    return kept[min(kept)]


def quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def agreed_types(
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
            raise type_conflict(federation, name, said, missing)
    return agreed


def type_conflict(federation: Federation, name: str, said: Mapping[str, str], missing: Missing) -> BadData:
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


def is_classification(federation: Federation, target: Target, kind: str, task: str, missing: Missing) -> bool:
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


def class_texts(target: Target, levels: Levels | None, limit: int) -> tuple[str, ...]:
    if levels is None:
        raise BadData(
            f"The target '{target.column}' has more than {limit} classes: use task='regression', or "
            "raise max_categories."
        )
    if len(levels.values) < 2:
        raise BadData(f"All training rows are of one class, {quoted(levels.values)}: two at least are needed.")
    return target.levels or levels.values


def category_columns(names: Sequence[str], found: Sequence[Levels | None], limit: int) -> dict[str, Column]:
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


def number_columns(
    names: Sequence[str], moments: FederatedMoments, rows: int, *, scale: bool, indicator: bool
) -> dict[str, Column]:
    made = {}
    for name, count, mean, spread in zip(names, moments.counts, moments.mean, moments.scale, strict=True):
        if count:
            about = (float(mean), float(spread)) if scale else (0.0, 1.0)
            made[name] = Column(name, "number", (), *about, float(mean), indicator and bool(count < rows))
    return made


def agreed_shape(
    answers: Mapping[str, ColumnsAnswer], columns: Sequence[Column]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Shape of a sample, and names of features (none for images)."""
    shapes = {site: answer.shape for site, answer in sorted(answers.items())}
    features = tuple(feature for column in columns for feature in column.features)
    usual = next(iter(shapes.values()))
    if usual is None and not any(shapes.values()):
        if not features:
            raise BadData("No feature is left: every column is the target, the group, dropped, or missing everywhere.")
        return (len(features),), features
    if columns:
        raise BadData(f"There are images and columns ({quoted([c.name for c in columns])}): drop the one or the other.")
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


def warnings_of(
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
            found.append(f"Column '{name}' is missing entirely at {quoted(empty)}: the federated value stands in.")
    for site, part in parts.items():
        if part.unlabelled:
            found.append(f"Site '{site}': {part.unlabelled} rows without a value of '{target}' were left out.")
    return tuple(found)
