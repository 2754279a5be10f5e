"""A hook of mkdocs: every explanation is run and becomes a page of the site, in the folder explain."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from unpooled.explain import EXPLANATIONS
from unpooled.explain.page import write_explanation


def on_files(files: Files, config: Any) -> Files:
    """Called before links are checked, so that links to these pages are."""
    with tempfile.TemporaryDirectory() as folder:
        for known in EXPLANATIONS:
            page = write_explanation(known, Path(folder) / f"{known.name}.html")
            made = File.generated(config, f"explain/{known.name}.html", content=page.read_text(encoding="utf-8"))
            files.append(made)
    return files
