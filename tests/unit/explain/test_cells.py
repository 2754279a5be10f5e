"""Scripts are cut into cells, and notebooks hold the same cells."""

from __future__ import annotations

import json

import pytest

from unpooled.errors import BadSetting
from unpooled.explain.cells import cells, notebook
from unpooled.explain.scripts import names, text


@pytest.mark.parametrize("name", names())
def test_a_script_begins_with_a_title_and_its_notebook_has_all_of_it(name: str) -> None:
    found = cells(text(name))
    assert found[0].kind == "markdown"
    assert found[0].text.startswith("# ")
    made = json.loads(json.dumps(notebook(text(name))))
    assert ["".join(cell["source"]) for cell in made["cells"]] == [cell.text for cell in found]
    assert len({cell["id"] for cell in made["cells"]}) == len(found)
    for cell in found:
        if cell.kind == "code":
            compile(cell.text, name, "exec")


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadSetting, match="Did you mean 'bias_variance'"):
        text("bias-variance")
