"""Sections -> one HTML file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from unpooled.errors import BadSetting
from unpooled.figures.looks import variables
from unpooled.report.section import Section, render


@dataclass(frozen=True)
class Shell:
    """What differs between reports and other pages around their sections; only the scripts named here may run."""

    product: str = "unpooled report"
    skip: str = "Skip to the answer"
    style: str = ""
    scripts: tuple[str, ...] = ()

    @property
    def policy(self) -> str:
        """The page's Content-Security-Policy, which names each script by its hash."""
        told = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        hashes = " ".join(f"'sha256-{_hash(script)}'" for script in self.scripts)
        return f"{told}; script-src {hashes}" if hashes else told


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


REPORT = Shell()


def write_page(
    sections: Sequence[Section],
    out: Path,
    *,
    title: str,
    heading: str = "",
    source: str = "the records of the runs",
    shell: Shell = REPORT,
) -> Path:
    """Write sections as one self-contained page that says what it was made from. Raises `BadSetting` like above."""
    page = render(
        "page.html.j2",
        title=title,
        heading=heading,
        sections=sections,
        terms={word: meaning for section in sections for word, meaning in section.terms.items()},
        style=Markup(_style() + shell.style),
        shell=shell,
        policy=Markup(shell.policy),
        scripts=[Markup(script) for script in shell.scripts],
        source=source,
    )
    return write_text(out, page)


def _style() -> str:
    """The style sheet, with the colours of the figures' table put in."""
    light = "".join(f"--{name}:{value};" for name, (value, _) in variables().items())
    dark = "".join(f"--{name}:{value};" for name, (_, value) in variables().items())
    text = files("unpooled.report").joinpath("templates/style.css").read_text(encoding="utf-8")
    return text.replace("/* light */", light).replace("/* dark */", dark)


def write_text(out: Path, text: str) -> Path:
    """Write beside `out` first, so that no half-written page is ever seen. Raises `BadSetting` where it cannot."""
    beside = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8", newline="\n")
        os.replace(beside, out)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise BadSetting(f"Cannot write to {out} ({error.strerror}). Choose another place.") from error
    return out
