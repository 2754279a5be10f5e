"""Records -> one HTML file that needs no network, rebuilt from the folders alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from unpooled.errors import BadRecord, BadSetting, did_you_mean
from unpooled.figures.looks import variables
from unpooled.report.families import FAMILIES
from unpooled.report.record import Record, read_record
from unpooled.report.section import Section, render


def write_report(folders: Sequence[Path], out: Path, title: str | None = None) -> Path:
    """Write one self-contained page with a section for each run's folder, and return its path.

    The same folders give the same bytes. Raises `BadRecord` for a folder that is not a complete run, and
    `BadSetting` where `out` cannot be written; an older page at `out` stays as it was then.
    """
    if not folders:
        raise BadSetting("A report needs at least one run's folder. `unpooled runs` lists the runs there are.")
    records = [read_record(folder) for folder in folders]
    sections = [_section(record, f"run-{number}", records) for number, record in enumerate(records, start=1)]
    several = "" if len(sections) == 1 else f"{len(sections)} runs"
    return write_page(sections, Path(out), title=title or several or sections[0].title, heading=title or several)


def write_page(
    sections: Sequence[Section], out: Path, *, title: str, heading: str = "", source: str = "the records of the runs"
) -> Path:
    """Write sections as one self-contained page that says what it was made from. Raises `BadSetting` like above."""
    page = render(
        "page.html.j2",
        title=title,
        heading=heading,
        sections=sections,
        terms={word: meaning for section in sections for word, meaning in section.terms.items()},
        style=Markup(_style()),
        source=source,
    )
    return _write(out, page)


def _section(record: Record, anchor: str, records: Sequence[Record]) -> Section:
    family = str(record.result["family"])
    if family not in FAMILIES:
        hint = did_you_mean(family, FAMILIES) or f" Known: {', '.join(FAMILIES)}."
        raise BadRecord(f"{record.folder / 'result.json'} is of family '{family}', which has no page.{hint}")
    return FAMILIES[family](record, anchor, records)


def _style() -> str:
    """The style sheet, with the colours of the figures' table put in."""
    light = "".join(f"--{name}:{value};" for name, (value, _) in variables().items())
    dark = "".join(f"--{name}:{value};" for name, (_, value) in variables().items())
    text = files("unpooled.report").joinpath("templates/style.css").read_text(encoding="utf-8")
    return text.replace("/* light */", light).replace("/* dark */", dark)


def _write(out: Path, page: str) -> Path:
    """Write beside `out` first, so that no half-written page is ever seen."""
    beside = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(page, encoding="utf-8", newline="\n")
        os.replace(beside, out)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise BadSetting(f"Cannot write the report to {out} ({error.strerror}). Choose another place.") from error
    return out
