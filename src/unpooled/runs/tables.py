"""From plain tables to frozen dataclasses and back; what does not fit is refused in one line, with a suggestion."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from unpooled.errors import BadSetting, did_you_mean

T = TypeVar("T")


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a config file; raises `BadSetting` in one line, with a suggestion where there is no such file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = [p.name for p in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        raise BadSetting(f"There is no config file '{path}'.{did_you_mean(path.name, near)}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSetting(f"{path} cannot be read as TOML: {error}.") from error


def build(kind: type[T], where: str, table: Mapping[str, Any]) -> T:
    """An instance of a settings dataclass; unknown keys and wrong types raise `BadSetting` in one line."""
    known_keys(where, table, names(kind))
    try:
        return TypeAdapter(kind).validate_python(dict(table))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, BadSetting):
            raise cause from None
        if first["type"] == "missing":
            raise BadSetting(f"{where} needs '{place}', which is missing.") from None
        raise BadSetting(f"{where}: {place} = {first['input']!r} does not fit: {first['msg']}.") from None


def choose(what: str, table: Mapping[str, Any], known: Mapping[str, type[T]]) -> T:
    """An instance of the class that the key `kind` names, from the other keys."""
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in known:
        found = "has no kind" if kind is None else f"has kind {kind!r}"
        hint = did_you_mean(str(kind), known)
        raise BadSetting(f"{what} {found}; there are {', '.join(known)}.{hint}")
    rest = {k: v for k, v in table.items() if k != "kind"}
    return build(known[kind], f"{what} {kind}", rest)


def names(kind: type) -> list[str]:
    """The settings of a dataclass."""
    return [f.name for f in fields(kind)]


def known_keys(where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse keys that do not exist, with a suggestion."""
    known = list(known)
    for key in table:
        if key not in known:
            hint = did_you_mean(key, known) or f" There are {', '.join(known) or 'none'}."
            raise BadSetting(f"{where} has no setting '{key}'.{hint}")


def without_none(value: Any) -> Any:
    """Plain tables and lists, without what is None (TOML has no word for it)."""
    if isinstance(value, Mapping):
        return {k: without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [without_none(v) for v in value]
    return value
