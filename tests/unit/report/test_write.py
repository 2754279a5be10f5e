"""The page: complete, the same from the same folders, safe against names with markup, clear about bad records."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.unit.report.records import NASTY, PLANS, write_record
from unpooled.errors import BadRecord, BadSetting
from unpooled.report import FAMILIES, write_report


class Page(HTMLParser):
    """Tags with their attributes, headings, and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.hidden = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.hidden += tag in ("style", "svg")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in ("style", "svg")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


Written = Callable[[str], tuple[Path, Path]]


@pytest.fixture(scope="module")
def write_once(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Folder and page of a made-up run, written when first asked for."""

    @cache
    def once(name: str) -> tuple[Path, Path]:
        folder = write_record(tmp_path_factory.mktemp("run"), PLANS[name])
        return folder, write_report([folder], folder / "report.html")

    return once


@pytest.fixture(params=PLANS)
def written(request: pytest.FixtureRequest, write_once: Written) -> tuple[Path, Path]:
    return write_once(request.param)


@pytest.mark.parametrize("name", ["heart-disease", "nasty"])
def test_same_folder_gives_the_same_bytes(name: str, write_once: Written, tmp_path: Path) -> None:
    folder, page = write_once(name)
    assert write_report([folder], tmp_path / "deeper" / "again.html").read_bytes() == page.read_bytes()


def test_page_is_self_contained_and_well_formed(written: tuple[Path, Path]) -> None:
    text = written[1].read_text(encoding="utf-8")
    page = Page(text)
    ids = Counter(found["id"] for _, found in page.tags if "id" in found)
    assert [name for name, times in ids.items() if times > 1] == []
    for tag, found in page.tags:
        assert tag not in ("script", "iframe", "object", "embed", "img")
        assert not [key for key in found if key.startswith("on")]
        for key in ("href", "src", "xlink:href"):
            target = found.get(key) or "#"
            assert target.startswith("#") or target == "data:,", target
            assert target in ("#", "data:,") or target[1:] in ids, target
        for value in (found.get("aria-labelledby") or "").split():
            assert value in ids
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {f"#{name}" for name in ids}
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in text
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert ("html", {"lang": "en"}) in page.tags
    pictures = [found for tag, found in page.tags if tag == "svg"]
    assert pictures
    assert all(found["role"] == "img" and found["aria-labelledby"] for found in pictures)


def test_every_part_is_there_in_order(written: tuple[Path, Path]) -> None:
    text = written[1].read_text(encoding="utf-8")
    marks = [
        'class="lead"',
        "-what",
        "-compared",
        "-way",
        "-by-site",
        "-held",
        "-left",
        "-warned",
        "-settings",
        "-again",
    ]
    places = [text.index(mark if "class" in mark else f'id="run-1{mark}"') for mark in marks]
    assert places == sorted(places)
    assert text.index('id="words"') > places[-1]


def test_markup_in_names_is_text(write_once: Written) -> None:
    text = write_once("nasty")[1].read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<b>医院" not in text
    assert NASTY in Page(text).text
    assert "北京" in text


def test_several_runs_share_one_page_and_one_look(tmp_path: Path) -> None:
    first = write_record(tmp_path / "a", PLANS["stay"])  # has no FedAvg(1)
    second = write_record(tmp_path / "b", PLANS["one-seed"])
    text = write_report([first, second], tmp_path / "page.html", title="Two of them").read_text(encoding="utf-8")
    assert "Two of them" in text
    looks = set(re.findall(r'var\(--(\w+)\)" aria-hidden="true">(.)</span><span>([^<]*)</span>', text))
    assert len({label for _, _, label in looks}) == len(looks)


def test_a_run_over_real_sites_names_its_own_commands(tmp_path: Path) -> None:
    folder = write_record(tmp_path, PLANS["digits"])
    told = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    told |= {"simulated": False, "status": "interrupted"}
    (folder / "result.json").write_text(json.dumps(told), encoding="utf-8")
    text = Page(write_report([folder], tmp_path / "page.html").read_text(encoding="utf-8")).text
    assert "the command that began it continues it" in text
    assert "unpooled coordinator run --federation FEDERATION --all config.toml" in text


def test_interrupted_run_says_what_is_missing(write_once: Written) -> None:
    text = Page(write_once("nasty")[1].read_text(encoding="utf-8")).text
    assert "This run was interrupted" in text
    assert "Pooled, seed 3: failed" in text
    assert "over 3 to 5 seeds" in text


def test_run_in_which_nothing_finished_still_has_a_page(tmp_path: Path) -> None:
    folder = write_record(tmp_path, PLANS["digits"])
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    result |= {"status": "failed", "error": "The loss at site 'x' is NaN at step 3."}
    result["cells"] = [{**cell, "status": "failed", "seconds": None} for cell in result["cells"]]
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    for name in ("history", "sites", "traffic"):
        frame = pd.read_parquet(folder / f"{name}.parquet")
        frame.iloc[:0].to_parquet(folder / f"{name}.parquet")
    text = Page(write_report([folder], folder / "page.html").read_text(encoding="utf-8")).text
    assert "Nothing finished in this run" in text
    assert "NaN at step 3" in text


def _drop(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def _cut(name: str) -> Any:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:40])


def _change(**values: Any) -> Any:
    def change(folder: Path) -> None:
        path = folder / "result.json"
        result = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(result | values), encoding="utf-8")

    return change


def _without(column: str) -> Any:
    def change(folder: Path) -> None:
        path = folder / "history.parquet"
        pd.read_parquet(path).drop(columns=column).to_parquet(path)

    return change


def _text_for_numbers(folder: Path) -> None:
    path = folder / "history.parquet"
    frame = pd.read_parquet(path)
    frame.assign(value=frame["value"].astype(str)).to_parquet(path)


BROKEN = {
    "no result": (_drop("result.json"), "result.json"),
    "no history": (_drop("history.parquet"), "history.parquet"),
    "no settings": (_drop("config.toml"), "config.toml"),
    "result cut": (_cut("result.json"), "result.json"),
    "history cut": (_cut("history.parquet"), "history.parquet"),
    "column gone": (_without("bytes"), "'bytes'"),
    "text for numbers": (_text_for_numbers, "'value'"),
    "no protocols": (_change(protocols=None), "protocols"),
    "unlisted protocol": (_change(protocols=[{"label": "Local", "kind": "Local"}]), "does not list"),
    "other metric": (_change(main_metric="auc"), "'auc'"),
    "unknown family": (_change(family="trainings"), "Did you mean 'training'"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_record_is_one_line_with_the_file(what: str, tmp_path: Path) -> None:
    breaks, named = BROKEN[what]
    folder = write_record(tmp_path / "run", PLANS["stay"])
    breaks(folder)
    with pytest.raises(BadRecord) as caught:
        write_report([folder], tmp_path / "page.html")
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "page.html").exists()


def test_missing_folder_and_unwritable_place(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="no run's folder"):
        write_report([tmp_path / "nowhere"], tmp_path / "page.html")
    with pytest.raises(BadSetting, match="at least one"):
        write_report([], tmp_path / "page.html")
    (tmp_path / "file").write_text("", encoding="utf-8")
    folder = write_record(tmp_path / "run", PLANS["one-seed"])
    with pytest.raises(BadSetting, match="Choose another place"):
        write_report([folder], tmp_path / "file" / "page.html")


def test_a_family_is_one_row() -> None:
    assert list(FAMILIES) == ["training", "streams", "connectivity", "causal", "study"]


def test_a_hatched_patch_finds_its_pattern() -> None:
    """Ids are renamed where they are defined and where they are used: a bar with a hatch keeps its fill."""
    from matplotlib.figure import Figure

    from unpooled.report.svg import svg

    figure = Figure()
    figure.subplots().bar([0], [1], hatch="//")
    drawn = svg(figure, "bars-wide", "Bars", "One bar with a hatch.")
    used = set(re.findall(r"url\(#([^)]+)\)", drawn))
    defined = set(re.findall(r'id="([^"]+)"', drawn))
    assert any("pattern" in part for part in re.findall(r"<(\w+)", drawn))
    assert used
    assert used <= defined
