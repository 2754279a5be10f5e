"""What cells show, as HTML: the same pieces for the page and for Jupyter."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import ChoiceLoader, PackageLoader
from markupsafe import Markup
from matplotlib.figure import Figure

from unpooled.explain.shown import Animation, Drawing, Frames, Numbers, Sketch
from unpooled.figures.looks import variables
from unpooled.figures.style import styled
from unpooled.figures.words import significant
from unpooled.report import section
from unpooled.report.section import Picture, Table
from unpooled.report.svg import figure_html


@lru_cache(maxsize=1)
def _templates() -> Any:
    """The report's templates, and those of explanations."""
    loader = ChoiceLoader(
        [PackageLoader("unpooled.explain", "templates"), PackageLoader("unpooled.report", "templates")]
    )
    return section.templates().overlay(loader=loader)


def part(template: str, **values: Any) -> Markup:
    """A template filled in."""
    return Markup(_templates().get_template(template).render(**values))


def resource(*way: str) -> str:
    """A file of this package."""
    return files("unpooled.explain").joinpath(*way).read_text(encoding="utf-8")


def scripts_for(shown: list[Any]) -> list[str]:
    """The JavaScript that these need, each once."""
    found = {value.script: resource("scripts", value.script) for value in shown if isinstance(value, Sketch)}
    if any(isinstance(value, Frames) for value in shown):
        found["controls.js"] = resource("templates", "controls.js")
    return list(found.values())


def html(value: Any, anchor: str) -> Markup:
    """One value of a cell; what is none of the known kinds is shown as Python writes it. `anchor` makes ids unique."""
    match value:
        case Frames():
            return _frames(value, anchor)
        case Drawing():
            return part(
                "drawing.html.j2", picture=Picture(_figure(value.draw, anchor, value), value.title), shown=value
            )
        case Numbers():
            return part("numbers.html.j2", table=_table(value), anchor=anchor)
        case Sketch():
            data = Markup(json.dumps(dict(value.data)).replace("<", "\\u003c"))
            return part("sketch.html.j2", sketch=value, stem=value.script.removesuffix(".js"), data=data, anchor=anchor)
        case _:
            return part("printed.html.j2", text=repr(value))


def for_jupyter(value: Any) -> str:
    """The same with its style and its script; outside a page nothing else brings them."""
    colours = "".join(f"--{name}:{light};" for name, (light, _) in variables().items())
    return str(
        part(
            "jupyter.html.j2",
            inside=html(value, f"output-{id(value):x}"),
            colours=colours,
            style=Markup(resource("templates", "explanation.css")),
            scripts=[Markup(script) for script in scripts_for([value])],
        )
    )


def _figure(draw: Any, name: str, shown: Drawing | Frames, *, told: str | None = None, value: Any = None) -> Markup:
    def drawn(width: float) -> Figure:
        with styled():
            figure: Figure = draw(width) if isinstance(shown, Drawing) else draw(width, value)
            return figure

    return figure_html(drawn, name, shown.title, shown.description if isinstance(shown, Drawing) else str(told))


def _frames(shown: Frames, anchor: str) -> Markup:
    frames = []
    for place, value in enumerate(shown.values):
        told = shown.tell(value)
        picture = _figure(shown.draw, f"{anchor}-{place}", shown, told=told, value=value)
        frames.append({"name": shown.name(value), "told": told, "picture": picture})
    pause = round(1000 * shown.seconds) if isinstance(shown, Animation) else 0
    return part("frames.html.j2", shown=shown, frames=frames, anchor=anchor, pause=pause)


def _table(shown: Numbers) -> Table:
    rows = [[section.Cell(_text(value)) for value in row] for row in shown.frame.itertuples(index=False)]
    numbers = {k for k, kind in enumerate(shown.frame.dtypes) if k and pd.api.types.is_numeric_dtype(kind)}
    return Table("shown", shown.caption, [str(name) for name in shown.frame.columns], rows, frozenset(numbers))


def _text(value: Any) -> str:
    return significant(value) if isinstance(value, float) else str(value)
