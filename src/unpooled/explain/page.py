"""An explanation as one self-contained HTML page, in the style of the reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup

from unpooled.explain.execution import Ran, execute
from unpooled.explain.html import html, part, resource, scripts_for
from unpooled.explain.listing import Explanation
from unpooled.report.section import Section
from unpooled.report.write_page import Shell, write_page

AGAIN = "Run it yourself"


@dataclass(frozen=True)
class _Piece:
    """What one cell leaves on the page."""

    text: str = ""
    code: str = ""
    outputs: list[Markup] = field(default_factory=list)


def write_explanation(explanation: Explanation, out: Path, *, quick: bool = False) -> Path:
    """Run the script and write its page, which needs no network. Raises `BadSetting` where `out` cannot be written."""
    ran = execute(explanation, quick=quick)
    shell = Shell(
        product="unpooled explains",
        skip="Skip to the text",
        style=resource("templates", "explanation.css"),
        scripts=tuple(scripts_for([step.value for step in ran.steps])),
    )
    section = _section(explanation, ran)
    return write_page([section], out, title=section.title, source=f"the script {explanation.file}", shell=shell)


def _section(explanation: Explanation, ran: Ran) -> Section:
    anchor, parts = explanation.name, {}
    pieces, title = [], explanation.name
    for number, step in enumerate(ran.steps):
        if step.cell.kind == "markdown":
            text, heads = _prose(step.cell.text, f"{anchor}-{number}")
            title = heads.pop("", title)
            parts.update(heads)
            pieces.append(_Piece(text=text))
            continue
        outputs = [part("printed.html.j2", text=step.printed.rstrip())] if step.printed.strip() else []
        if step.value is not None:
            outputs.append(html(step.value, f"{anchor}-{number}"))
        pieces.append(_Piece(code=step.cell.text, outputs=outputs))
    parts[f"{anchor}-again"] = AGAIN
    made = part(
        "explanation.html.j2",
        anchor=anchor,
        title=title,
        pieces=pieces,
        again=AGAIN,
        file=explanation.file,
        name=explanation.name,
    )
    return Section(anchor, title, made, parts)


def _prose(text: str, anchor: str) -> tuple[Markup, dict[str, str]]:
    """Markdown as HTML, without its title, and the headings: anchor -> words ("" -> the title)."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens: list[Any] = parser.parse(text)
    heads: dict[str, str] = {}
    kept = []
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            words = tokens[place + 1].content
            if token.tag == "h1":
                heads[""] = words
            else:
                name = f"{anchor}-{place}"
                token.attrSet("id", name)
                if token.tag == "h2":
                    heads[name] = words
        kept.append(token)
    return Markup(parser.renderer.render(_one_lower(kept), parser.options, {})), heads


def _one_lower(tokens: list[Any]) -> list[Any]:
    """Headings one level lower, as the page's own title stands above them; the script's title goes there."""
    found, inside_title = [], False
    for token in tokens:
        if token.type in ("heading_open", "heading_close") and token.tag == "h1":
            inside_title = token.type == "heading_open"
            continue
        if inside_title:
            continue
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{int(token.tag[1]) + 1}"
        found.append(token)
    return found
