"""Names of very many sites, made when they are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from operator import eq
from typing import Any, overload

import numpy as np

Numbers = np.ndarray[Any, np.dtype[np.int64]]


class Numbered(Sequence[str]):
    """`prefix` and a number: `site0`, `site1`, ...; `numbers` chooses some of them, None means 0 .. count - 1.

    >>> names = Numbered("site", 1_000_000)
    >>> len(names), names[7], names.number("site7"), list(names.pick(np.array([3, 999_999])))
    (1000000, 'site7', 7, ['site3', 'site999999'])
    """

    def __init__(self, prefix: str, count: int, numbers: Numbers | None = None) -> None:
        self.prefix, self._count, self._chosen = prefix, count, numbers

    @property
    def numbers(self) -> Numbers:
        """The sites' numbers, shape (len,)."""
        return np.arange(self._count) if self._chosen is None else self._chosen

    def __len__(self) -> int:
        return self._count if self._chosen is None else len(self._chosen)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Numbered: ...
    def __getitem__(self, place: int | slice) -> str | Numbered:
        if isinstance(place, slice):
            return Numbered(self.prefix, self._count, self.numbers[place])
        number = range(self._count)[place] if self._chosen is None else self._chosen[place]
        return f"{self.prefix}{number}"

    def pick(self, places: Numbers) -> Numbered:
        """The names at those places."""
        return Numbered(self.prefix, self._count, self.numbers[places] if self._chosen is not None else places)

    def number(self, name: str) -> int:
        """The number in a name; raises `ValueError` for a name that is none of these."""
        digits = name.removeprefix(self.prefix)
        if not name.startswith(self.prefix) or not digits.isdecimal() or f"{int(digits)}" != digits:
            raise ValueError(f"'{name}' is none of {self.prefix}0, {self.prefix}1, ...")
        if int(digits) >= self._count:
            raise ValueError(f"'{name}' is beyond {self.prefix}{self._count - 1}.")
        return int(digits)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]  # compares equal to lists and tuples


def picked(names: Sequence[str], places: Numbers | None) -> Sequence[str]:
    """The names at those places, all of them for None; numbered names stay unmade."""
    if places is None:
        return names
    return names.pick(places) if isinstance(names, Numbered) else tuple(names[i] for i in places)
