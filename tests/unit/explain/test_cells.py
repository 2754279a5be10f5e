"""Scripts are cut into cells, and notebooks hold the same cells."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

from unpooled.explain import EXPLANATIONS
from unpooled.explain.cells import cells, write_notebook
from unpooled.explain.listing import Explanation


@pytest.mark.parametrize("explanation", EXPLANATIONS, ids=lambda known: known.name)
def test_a_script_begins_with_a_title_and_its_notebook_has_all_of_it(explanation: Explanation, tmp_path: Path) -> None:
    found = cells(explanation.text())
    assert found[0].kind == "markdown"
    assert found[0].text.startswith("# ")
    path = write_notebook(explanation.text(), tmp_path / "page.ipynb")
    nbformat.validate(nbformat.read(path, as_version=4))
    made = json.loads(path.read_text(encoding="utf-8"))
    assert (made["nbformat"], made["nbformat_minor"]) == (4, 5)
    assert ["".join(cell["source"]) for cell in made["cells"]] == [cell.text for cell in found]
    assert len({cell["id"] for cell in made["cells"]}) == len(found)
