"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no reason to fail; each test has a time limit of its own.
settings.register_profile("unpooled", deadline=None)
settings.load_profile("unpooled")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, which the repository does not contain: `UNPOOLED_DATA`, or
    ../shared/data."""
    folder = Path(os.environ.get("UNPOOLED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"needs the shared data sets: no folder {folder} (set UNPOOLED_DATA)")
    return folder
