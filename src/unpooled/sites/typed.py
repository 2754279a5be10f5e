"""Whether a value is of the type that a message's field declares."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

SMALLEST, LARGEST = -(2**63), 2**64
"""Whole numbers travel as 8 bytes, with or without a sign."""


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Type of each field of a dataclass."""
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind)}


def check_fields(kind: type, values: dict[str, Any]) -> None:
    """Raise `TypeError` that names the first value that does not fit its field of the dataclass `kind`."""
    hints = _hints(kind)
    for name, value in values.items():
        if name not in hints:
            raise TypeError(f"{kind.__name__} has no field {name[:40]!r}")
        if not fits(value, hints[name]):
            raise TypeError(f"{kind.__name__}.{name} cannot be of type {type(value).__name__}")


def fits(value: Any, hint: Any) -> bool:
    """Whether `value`, as it came off the wire, is of type `hint`: scalars, strings, arrays, and tuples of these."""
    if hint is Any:
        return value is None or isinstance(value, (bool, tuple, np.ndarray)) or fits(value, str) or fits(value, float)
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(fits(value, one) for one in get_args(hint))
    if origin is tuple:
        return isinstance(value, tuple) and _fit_each(value, get_args(hint))
    if origin is np.ndarray:
        return isinstance(value, np.ndarray)
    if hint is None or hint is NoneType:
        return value is None
    if hint in (int, float):
        whole = isinstance(value, int) and not isinstance(value, bool) and SMALLEST <= value < LARGEST
        return whole or (hint is float and isinstance(value, float))
    if hint is str:
        return isinstance(value, str) and is_text(value)
    return isinstance(value, hint)


def is_text(value: str) -> bool:
    """Whether it can be written: JSON can hold halves of characters, which nothing else can."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fit_each(values: tuple[Any, ...], hints: tuple[Any, ...]) -> bool:
    if len(hints) == 2 and hints[1] is Ellipsis:
        return all(fits(value, hints[0]) for value in values)
    return len(values) == len(hints) and all(map(fits, values, hints))
