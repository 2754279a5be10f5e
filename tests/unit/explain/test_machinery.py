"""Scripts run cell by cell; what cells show becomes HTML; only the page's own scripts may run."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests.conftest import ROOT, Explained
from unpooled.errors import BadSetting
from unpooled.explain import EXPLANATIONS, Animation, Drawing, Frames, Numbers
from unpooled.explain.execution import execute
from unpooled.explain.html import html
from unpooled.explain.listing import Explanation, explanation
from unpooled.explain.page import write_explanation
from unpooled.figures.style import new_figure

SCRIPT = """# %% [markdown]
# # Some <title>
#
# Words with `code`.
#
# ## A part
#
# - and a list
# %%
from __future__ import annotations
from dataclasses import dataclass

SIZE = 100

@dataclass
class Kept:
    size: int

print(Kept(SIZE).size)
# %%
SIZE + 1
"""


class Written(Explanation):
    """An explanation whose script stands here."""

    def text(self) -> str:
        return SCRIPT


def line(width: float, height: int = 1) -> Figure:
    figure = new_figure(width, 2)
    figure.subplots().plot([0, height])
    return figure


FRAMES = Frames("Heights", "height", (1, 2, 3), line, lambda height: f"It is {height} high.", start=1)


def test_cells_run_in_one_namespace_and_show_their_last_value() -> None:
    ran = execute(Written("some-title", ""))
    assert [(step.cell.kind, step.printed, step.value) for step in ran.steps] == [
        ("markdown", "", None),
        ("code", "100\n", None),
        ("code", "", 101),
    ]
    assert ran.names["SIZE"] == 100
    assert "unpooled.explain.scripts.some_title" not in sys.modules


def test_quick_settings_replace_those_of_the_script_and_must_exist() -> None:
    assert execute(Written("some-title", "", quick={"SIZE": 3}), quick=True).names["SIZE"] == 3
    with pytest.raises(BadSetting, match="assigns no SISE"):
        execute(Written("some-title", "", quick={"SISE": 3}), quick=True)


def test_a_page_has_title_parts_code_and_outputs(tmp_path: Path) -> None:
    page = write_explanation(Written("some-title", ""), tmp_path / "page.html").read_text(encoding="utf-8")
    assert '<h2 id="some-title-title">Some &lt;title&gt;</h2>' in page
    anchor = re.search(r'<h3 id="([\w-]+)">A part</h3>', page)
    assert anchor is not None
    assert f'<a href="#{anchor[1]}">A part</a>' in page
    assert page.count('<details class="code">') == 2
    assert "<samp>100</samp>" in page
    assert "<samp>101</samp>" in page
    assert "<script" not in page
    assert "script-src" not in page


def test_frames_show_one_and_hide_the_others() -> None:
    made = html(FRAMES, "here")
    assert re.findall(r'class="frame" data-name="(\d)"( hidden)?', made) == [
        ("1", " hidden"),
        ("2", ""),
        ("3", " hidden"),
    ]
    assert 'max="2" step="1" value="1" aria-valuetext="2"' in made
    assert "It is 3 high." in made
    assert len(set(re.findall(r' id="([^"]+)"', made))) == len(re.findall(r' id="([^"]+)"', made))
    assert "<button" not in made
    moving = Animation("Heights", "height", (1, 2), line, str, seconds=0.25)
    assert 'data-pause="250"' in html(moving, "here")
    assert "<button" in html(moving, "here")


@pytest.mark.parametrize(("values", "start"), [((1,), 0), ((1, 2), 2), ((1, 2), -1)])
def test_frames_that_cannot_be_chosen_are_refused(values: tuple[int, ...], start: int) -> None:
    with pytest.raises(BadSetting):
        Frames("Heights", "height", values, line, str, start=start)


def test_jupyter_gets_the_same_with_its_script_and_colours() -> None:
    shown = FRAMES._repr_html_()
    assert "<script>'use strict';" in shown
    assert "--ink:#" in shown
    assert "<script" not in Drawing("A line", "It rises.", line)._repr_html_()


def test_a_table_is_shown_with_its_caption_and_numbers_to_the_right() -> None:
    made = html(Numbers("Two rows.", pd.DataFrame({"name": ["a", "b"], "size": [0.12345, 2.0]})), "here")
    assert "Two rows." in made
    assert '<td class="n">0.123</td>' in re.sub(r"\s*\n\s*", "", made)


@pytest.mark.parametrize("known", EXPLANATIONS, ids=lambda known: known.name)
def test_every_explanation_runs_in_its_quick_form_and_names_its_scripts(
    known: Explanation, explained: Explained
) -> None:
    page = explained(known.name).read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    running = re.findall(r"<script>(.*?)</script>", page, flags=re.S)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in running]
    assert re.findall(r"'sha256-([^']+)'", policy[1]) == hashes
    assert not re.search(r"(?:src|href)=\"https?:(?![^>]*>)", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)


def test_the_documentation_lists_every_explanation() -> None:
    listed = re.findall(r"^\| \[([\w-]+)\]\(explain/\1\.html\) \|", (ROOT / "docs/explanations.md").read_text(), re.M)
    assert listed == [known.name for known in EXPLANATIONS]


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadSetting, match="Did you mean 'bias-variance'"):
        explanation("bias_variance")
