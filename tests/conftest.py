"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no reason to fail; each test has a time limit of its own.
settings.register_profile("unpooled", deadline=None)
settings.load_profile("unpooled")

ROOT = Path(__file__).resolve().parent.parent
Explained = Callable[[str], Path]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, which the repository does not contain: `UNPOOLED_DATA`, or
    ../shared/data."""
    folder = Path(os.environ.get("UNPOOLED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"needs the shared data sets: no folder {folder} (set UNPOOLED_DATA)")
    return folder


@pytest.fixture(scope="session")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Explained:
    """The page of an explanation by its name, in the quick form; made once for all processes of a test run."""
    from filelock import FileLock

    from unpooled.explain.listing import explanation
    from unpooled.explain.page import write_explanation

    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own) / "explained"
    folder.mkdir(exist_ok=True)

    def page(name: str) -> Path:
        out = folder / f"{name}.html"
        with FileLock(folder / f"{name}.lock"):
            return out if out.exists() else write_explanation(explanation(name), out, quick=True)

    return page
