"""A matplotlib figure as inline SVG: text stays text, colours follow the page's theme, ids are its own."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from xml.etree import ElementTree as ET

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from unpooled.figures.looks import variables
from unpooled.figures.style import NARROW, STYLE, WIDE

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
THEMED = {light.lower(): f"var(--{name})" for name, (light, _) in variables().items()}
"""Colours of the figures' table -> the variable that the page's style sheet sets, light or dark."""
PIXELS_PER_POINT = 4 / 3
LONG = 1000
"""Characters from which a path is a curve, for which a tenth of a point is fine enough."""


def figure_html(draw: Callable[[float], Figure], name: str, title: str, description: str) -> Markup:
    """The figure drawn twice, for wide and for narrow pages; the style sheet shows one and hides the other.

    `draw` takes a width in inches; `name` must be unique on the page and makes all ids unique.
    """
    both = [
        f'<div class="{kind}">{svg(draw(width), f"{name}-{kind}", title, description)}</div>'
        for kind, width in (("wide", WIDE), ("narrow", NARROW))
    ]
    return Markup("").join(Markup(part) for part in both)


def svg(figure: Figure, name: str, title: str, description: str) -> str:
    """One `<svg role="img">` element; the same figure and arguments give the same characters."""
    root = _drawn(figure)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{SVG}metadata", f"{SVG}style"):
                parent.remove(child)
    used = {
        match for node in root.iter() for value in node.attrib.values() for match in re.findall(r"#([\w.]+)", value)
    }
    for node in root.iter():
        _clean(node, name, used)
    width = float(root.attrib["viewBox"].split()[2]) * PIXELS_PER_POINT
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib.update(
        {"role": "img", "aria-labelledby": f"{name}-t {name}-d", "style": f"max-width:{width * 1.3:.0f}px"}
    )
    for place, (tag, key, text) in enumerate((("title", "t", title), ("desc", "d", description))):
        label = ET.Element(f"{SVG}{tag}", {"id": f"{name}-{key}"})
        label.text = text
        root.insert(place, label)
    ET.register_namespace("", SVG[1:-1])
    return ET.tostring(root, encoding="unicode").replace(f' xmlns="{SVG[1:-1]}"', "", 1)


def _drawn(figure: Figure) -> ET.Element:
    file = io.BytesIO()
    with mpl.rc_context(STYLE | {"svg.hashsalt": "unpooled"}), warnings.catch_warnings():
        # The browser has the letters that matplotlib's font lacks; only their width is guessed.
        warnings.filterwarnings("ignore", message=".*missing from font", category=UserWarning)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return ET.fromstring(file.getvalue())


def _clean(node: ET.Element, name: str, used: set[str]) -> None:
    """Prefix the ids that are referred to, drop the others, round coordinates, hand colours to the theme."""
    for key, value in list(node.attrib.items()):
        if key == "id":
            if value in used:
                node.set("id", f"{name}-{value}")
            else:
                del node.attrib["id"]
        elif key == f"{XLINK}href":
            del node.attrib[key]
            node.set("href", f"#{name}-{value[1:]}")
        elif key == "clip-path":
            node.set(key, value.replace("url(#", f"url(#{name}-"))
        elif key == "style":
            value = re.sub(r"font-family:[^;]*;?\s*", "", value)
            value = re.sub(r"(?<!url\()#[0-9a-f]{6}", lambda m: THEMED.get(m[0].lower(), m[0]), value, flags=re.I)
            node.set(key, value.replace("url(#", f"url(#{name}-"))  # hatches are patterns
        elif key in ("d", "x", "y", "transform", "points"):
            node.set(key, _rounded(" ".join(value.split()), digits=1 if len(value) > LONG else 2))
    if node.tag != f"{SVG}text" and node.text and not node.text.strip():
        node.text = None
    node.tail = None


def _rounded(path: str, digits: int) -> str:
    def shorter(number: re.Match[str]) -> str:
        text = f"{float(number[0]):.{digits}f}".rstrip("0").rstrip(".")
        return "0" if text == "-0" else text

    return re.sub(r"-?\d+\.\d+", shorter, path)
