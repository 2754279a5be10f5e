"""`unpooled explain` lists, writes pages and notebooks, and says what it cannot do."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import pytest

from tests.cli.calls import Call
from unpooled.explain import EXPLANATIONS, listing
from unpooled.explain.listing import Explanation


def test_without_a_name_all_are_listed_with_a_sentence_each(call: Call) -> None:
    listed = call("explain").out.splitlines()
    for known in EXPLANATIONS:
        assert any(line.split() == [known.name, *known.sentence.split()] for line in listed)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short script in the place of one that takes seconds."""
    monkeypatch.setattr(Explanation, "text", lambda _: "# %% [markdown]\n# # Sum\n# %%\n1 + 1\n")


@pytest.mark.usefixtures("short")
def test_a_page_is_written_and_opened_only_when_asked(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.chdir(tmp_path)
    assert call("explain", "bias-variance").out.strip() == "runs/explain/bias-variance.html"
    assert "<samp>2</samp>" in Path("runs/explain/bias-variance.html").read_text(encoding="utf-8")
    assert opened == []
    assert call("explain", "bias-variance", "--open", "--out", "here.html").code == 0
    assert opened == [(tmp_path / "here.html").as_uri()]


@pytest.mark.usefixtures("short")
def test_a_notebook_is_written(call: Call, tmp_path: Path) -> None:
    called = call("explain", "bias-variance", "--notebook", "--out", tmp_path / "page.ipynb")
    assert called.out.strip() == str(tmp_path / "page.ipynb")
    assert len(json.loads((tmp_path / "page.ipynb").read_text(encoding="utf-8"))["cells"]) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("bias_variance",), "Did you mean 'bias-variance'?"),
        (("--notebook",), "Say which explanation"),
        (("bias-variance", "--notebook", "--open"), "leave one of the two"),
    ],
)
def test_what_cannot_be_done_is_one_line(call: Call, arguments: tuple[str, ...], told: str) -> None:
    called = call("explain", *arguments)
    assert called.code == 2
    assert told in called.err
    assert len(called.err.splitlines()) == 1


def test_the_list_has_each_name_once() -> None:
    found = [known.name for known in listing.EXPLANATIONS]
    assert len(set(found)) == len(found)
