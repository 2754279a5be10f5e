"""Scripts in percent cells: `# %%` begins code, `# %% [markdown]` begins text in comments. And notebooks of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unpooled.report.write_page import write_text

MARK = "# %%"


@dataclass(frozen=True)
class Cell:
    """One cell, without the mark, the comment signs of text, and blank lines around it."""

    kind: Literal["code", "markdown"]
    text: str


def cells(script: str) -> tuple[Cell, ...]:
    """The cells of a script; what stands before the first mark is no cell.

    >>> cells("# %% [markdown]\\n# Two *words*\\n# %%\\nx = 1\\n")
    (Cell(kind='markdown', text='Two *words*'), Cell(kind='code', text='x = 1'))
    """
    blocks: list[list[str]] = []
    for line in script.splitlines():
        if line.startswith(MARK):
            blocks.append([line])
        elif blocks:
            blocks[-1].append(line)
    return tuple(cell for cell in map(_cell, blocks) if cell.text)


def _cell(block: list[str]) -> Cell:
    mark, *lines = block
    if "[markdown]" not in mark:
        return Cell("code", "\n".join(lines).strip("\n"))
    return Cell("markdown", "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines).strip())


def notebook(script: str) -> dict[str, Any]:
    """The script as a Jupyter notebook (nbformat 4.5) without outputs, as plain JSON values."""
    found = []
    for number, cell in enumerate(cells(script)):
        entry: dict[str, Any] = {
            "id": f"cell-{number}",
            "cell_type": cell.kind,
            "metadata": {},
            "source": cell.text.splitlines(keepends=True),
        }
        if cell.kind == "code":
            entry |= {"execution_count": None, "outputs": []}
        found.append(entry)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": found}


def write_notebook(script: str, out: Path) -> Path:
    """Write the script as a notebook, and return its path. Raises `BadSetting` where `out` cannot be written."""
    return write_text(out, json.dumps(notebook(script), indent=1, ensure_ascii=False) + "\n")
