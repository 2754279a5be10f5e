"""These tests run where Flower is installed: `make flower`, and by tests/unit/sites/test_flower.py in `make test`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("flwr") else ["*.py"]


@pytest.fixture
def coordinator() -> Iterator[None]:
    """This process is the ServerApp of a run."""
    from tests.flower.room import identity

    with identity(1):
        yield
