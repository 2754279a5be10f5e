"""What a family's page hands to the report: a section of HTML, and the tables in it as plain values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from unpooled.report.record import Record


@dataclass(frozen=True)
class Section:
    """One run on the page, the anchors and titles of its parts, and the words that the glossary explains."""

    anchor: str
    title: str
    html: Markup
    parts: Mapping[str, str] = field(default_factory=dict)
    terms: Mapping[str, str] = field(default_factory=dict)


Page = Callable[[Record, str, Sequence[Record]], Section]
"""Makes a section of a record, given its anchor and all records of the page (for equal colours)."""


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, and before it a mark (glyph and colour variable) if it has one."""

    text: str
    glyph: str = ""
    slot: str = ""
    strong: bool = False
    aside: str = ""


@dataclass(frozen=True)
class Table:
    """The first column heads its row; `numbers` are columns set right; a `tall` table scrolls on screen."""

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numbers: frozenset[int] = frozenset()
    tall: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure in both widths, with the words under it."""

    html: Markup
    caption: str


@lru_cache(maxsize=1)
def templates() -> Environment:
    """The package's templates; every text is escaped unless a template made it."""
    environment = Environment(
        loader=PackageLoader("unpooled.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"code": _code, "wbr": _breakable}
    return environment


def _code(text: str) -> Markup:
    """Plain text, escaped, in which `commands` between backticks are set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _breakable(text: str) -> Markup:
    """Plain text, escaped, that may go on in a new line after each underscore."""
    return Markup(str(escape(text)).replace("_", "_<wbr>"))


def render(template: str, **values: Any) -> Markup:
    """A template filled in."""
    return Markup(templates().get_template(template).render(**values))
