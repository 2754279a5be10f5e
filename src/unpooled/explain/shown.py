"""What a cell may show: a drawing, a drawing for each position of a slider, a table, a sketch with its own script.

A cell shows the value of its last expression, on the page and in Jupyter alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from unpooled.errors import BadSetting


class _Shown:
    def _repr_html_(self) -> str:
        """What Jupyter shows."""
        from unpooled.explain.html import for_jupyter

        return for_jupyter(self)


@dataclass(frozen=True)
class Drawing(_Shown):
    """A figure. `draw(width)`, in inches, is called for wide and for narrow pages; `description` says what one sees."""

    title: str
    description: str
    draw: Callable[[float], Figure]


@dataclass(frozen=True)
class Frames(_Shown):
    """A figure for each of some values, and a slider that chooses one.

    `draw(width, value)` draws, with the same axes for all values; `tell(value)` says in a sentence what this one
    shows, `name(value)` is what stands beside the slider, and `start` is the place of the value shown at first.
    Raises `BadSetting` for fewer than two values, or a start that is none of their places.
    """

    title: str
    label: str
    values: Sequence[Any]
    draw: Callable[[float, Any], Figure]
    tell: Callable[[Any], str]
    name: Callable[[Any], str] = str
    start: int = 0

    def __post_init__(self) -> None:
        if len(self.values) < 2:
            raise BadSetting(f"A slider needs two values or more, '{self.title}' has {len(self.values)}: use Drawing.")
        if not 0 <= self.start < len(self.values):
            raise BadSetting(f"start must be one of 0 to {len(self.values) - 1}, got {self.start}.")


@dataclass(frozen=True)
class Animation(Frames):
    """Frames with a button that plays them, one every `seconds`; readers who want less motion step through them."""

    seconds: float = 0.5


@dataclass(frozen=True)
class Numbers(_Shown):
    """A table; the first column heads each row. Cells are shown as they are: text, or numbers to three digits."""

    caption: str
    frame: pd.DataFrame


@dataclass(frozen=True)
class Sketch(_Shown):
    """A place that a script of the page's own fills: `scripts/SCRIPT`, found by its `data-sketch`, the script's stem.

    The script reads `data` (plain JSON values) from the `script` element in it and adds what can be dragged; where no
    script runs, `description` stands there alone.
    """

    title: str
    description: str
    script: str
    data: Mapping[str, Any] = field(default_factory=dict)
