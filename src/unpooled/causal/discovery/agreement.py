"""The coordinator's side of step 0: asks columns and categories, decides the variables, lets every site prepare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from unpooled.causal.scores.tables import Missing
from unpooled.causal.variables import Variable, Variables, VariablesAnswer
from unpooled.errors import BadData, BadSetting, did_you_mean
from unpooled.sites.agreement import agreed_names, agreed_types, quoted
from unpooled.sites.federation import Federation, ask_all
from unpooled.sites.schema import in_order
from unpooled.sites.statistics import Categories, CategoriesAnswer, Columns, ColumnsAnswer

FEW = 10
"""Where every column holds whole numbers of at most so many values, all of them are categories."""


@dataclass(frozen=True)
class Agreed:
    """The variables in order, complete rows at each site, and what a person should know about the data."""

    variables: tuple[Variable, ...]
    rows: Mapping[str, int]
    warnings: tuple[str, ...]
    missing: Missing

    @property
    def names(self) -> tuple[str, ...]:
        """The variables' names."""
        return tuple(variable.name for variable in self.variables)

    @property
    def type(self) -> str:
        """`numbers`, `categories`, or `numbers and categories`."""
        kinds = {bool(variable.levels) for variable in self.variables}
        return "numbers and categories" if len(kinds) == 2 else "categories" if kinds == {True} else "numbers"


def agree(
    federation: Federation,
    *,
    drop: Iterable[str] = (),
    categorical: Iterable[str] = (),
    log: Iterable[str] | bool = (),
    missing: Missing = "refuse",
    max_categories: int = 100,
) -> Agreed:
    """Agree with all sites on the variables, and let each prepare its rows.

    All sites need the same columns. Text and truth values are categories, and so are the columns in `categorical`;
    numbers are numbers, unless every column holds whole numbers of at most `FEW` values. `log` names the numbers of
    which the logarithm is taken (True: all). `missing` is "refuse" or "drop", which leaves out rows in which any
    variable is missing. Raises `BadData` and `BadSetting`, each in one line: for a column that one site lacks, holds as
    text where others hold numbers, or codes with levels that no other site has, and for a site with one complete row.
    """
    if missing not in ("refuse", "drop"):
        raise BadSetting(f"missing must be 'refuse' or 'drop', got {missing!r}.")
    drop, categorical = tuple(drop), tuple(categorical)
    release(federation)
    answers = ask_all(federation, Columns(), ColumnsAnswer)
    names = agreed_names(answers, drop)
    if len(names) < 2:
        raise BadData(f"A graph needs at least two variables, got {quoted(names) or 'none'}.")
    _refuse_unknown("categorical", categorical, names)
    types = agreed_types(federation, answers, names, categorical, ())
    _refuse_empty(types)
    found = _values(federation, [n for n in names if types[n] in ("integer", "category")], max_categories)
    if set(types.values()) <= {"integer", "category"} and all(
        own and len(_union(own)) <= FEW for own in found.values()
    ):
        categorical = names
    levels = {name: found.get(name, {}) for name in names if types[name] == "category" or name in categorical}
    for name, own in levels.items():
        if not own:
            raise BadData(
                f"Column '{name}' holds more than {max_categories} different values, or numbers with fractions, which "
                f"is no category: leave it out with drop=['{name}'], or raise max_categories."
            )
    warnings = _unlike(levels)
    logged = _logged(log, [name for name in names if name not in levels])
    variables = tuple(Variable(n, _union(levels[n]) if n in levels else (), n in logged) for n in names)
    told = prepare(federation, variables, missing)
    rows = {name: told[name].rows for name in federation.names}
    return Agreed(variables, rows, (*warnings, *_warnings(told, names)), missing)


def prepare(
    federation: Federation,
    variables: Sequence[Variable],
    missing: Missing = "refuse",
    *,
    draw: int | None = None,
    seed: int = 0,
) -> Mapping[str, VariablesAnswer]:
    """Let every site prepare its rows; with `draw`, its rows drawn anew for the bootstrap of that number."""
    columns = tuple((v.name, v.levels, v.log) for v in variables)
    question = Variables(columns=columns, missing=missing, draw=draw, seed=seed)
    return ask_all(federation, question, VariablesAnswer)


def release(federation: Federation) -> None:
    """Every site goes back to its table as it was read."""
    ask_all(federation, Variables(columns=()), VariablesAnswer)


def _refuse_empty(types: Mapping[str, str]) -> None:
    for name, kind in types.items():
        if kind == "empty":
            raise BadData(f"Column '{name}' is missing in every row at every site: leave it out with drop=['{name}'].")


def _refuse_unknown(setting: str, wanted: Iterable[str], names: Sequence[str]) -> None:
    for name in wanted:
        if name not in names:
            raise BadSetting(f"{setting} names '{name}', which is no column.{did_you_mean(name, names)}")


def _logged(log: Iterable[str] | bool, numbers: Sequence[str]) -> tuple[str, ...]:
    if isinstance(log, bool):
        return tuple(numbers) if log else ()
    _refuse_unknown("log", log := tuple(log), numbers)
    return log


def _values(federation: Federation, names: Sequence[str], limit: int) -> dict[str, Mapping[str, tuple[str, ...]]]:
    """Of each column the values at each site that has any; no site at all where there are more than `limit`."""
    if not names:
        return {}
    question = Categories(columns=tuple((name, "", "") for name in names), limit=limit, part="all")
    answers = ask_all(federation, question, CategoriesAnswer)
    found = {name: {site: a.values[i] for site, a in answers.items() if a.distinct[i]} for i, name in enumerate(names)}
    return {name: own if all(own.values()) and len(_union(own)) <= limit else {} for name, own in found.items()}


def _union(own: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return in_order(value for values in own.values() for value in values)


def _unlike(levels: Mapping[str, Mapping[str, tuple[str, ...]]]) -> tuple[str, ...]:
    """Refuse a column of which a site shares no value with the others; warn where no site holds all values."""
    warnings = []
    for name, own in levels.items():
        for site, values in own.items():
            others = _union({other: v for other, v in own.items() if other != site})
            if others and not set(values) & set(others):
                raise BadData(
                    f"Site '{site}', column '{name}': its values {quoted(values)} are none of those at the other "
                    f"sites, {quoted(others)}: code the column alike everywhere, or leave it out with drop=['{name}']."
                )
        if all(len(values) < len(_union(own)) for values in own.values()):
            warnings.append(
                f"No site holds all values of '{name}', {quoted(_union(own))}: is it coded alike everywhere?"
            )
    return tuple(warnings)


def _warnings(told: Mapping[str, VariablesAnswer], names: Sequence[str]) -> tuple[str, ...]:
    found = []
    for site, answer in told.items():
        if answer.dropped:
            found.append(
                f"Site '{site}': {answer.dropped} rows that lack a value were left out; {answer.rows} are used."
            )
        if answer.constant:
            found.append(
                f"Site '{site}': {quoted(answer.constant)} never varies there, so that site says nothing of it."
            )
        if answer.dependent:
            found.append(
                f"Site '{site}': {quoted(answer.dependent)} is a linear function of the columns before it. Which of "
                "them an edge belongs to cannot be told there: leave one of them out."
            )
        if answer.rows < 5 * len(names):
            found.append(
                f"Site '{site}' has {answer.rows} rows for {len(names)} variables: edges found from so few are unsure."
            )
    return tuple(found)
