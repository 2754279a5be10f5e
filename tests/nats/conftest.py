"""A broker of its own for each test, sites in threads or processes, and a line between them that can be cut."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("nats", reason="needs nats-py: pip install 'unpooled[nats]'")

from tests.nats.hall import Hall


@pytest.fixture(scope="session", autouse=True)
def nats_server() -> None:
    """Skip where there is no nats-server, or fail where it is required."""
    if shutil.which("nats-server", path=os.environ["PATH"] + ":/usr/sbin") is None:
        what = "No nats-server here: apt-get install nats-server."
        if os.environ.get("UNPOOLED_REQUIRE_NATS") == "1":
            pytest.fail(f"{what} UNPOOLED_REQUIRE_NATS=1 does not allow to skip this.")
        pytest.skip(what)


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Callable[..., Hall]]:
    """Makes federations whose broker runs on loopback, and takes them down again."""
    with ExitStack() as stack:
        made: list[Hall] = []

        def make(*sites: str, port: int | None = None) -> Hall:
            made.append(Hall(tmp_path / f"hall{len(made)}", sites or ("a", "b", "c"), port))
            stack.callback(made[-1].close)
            return made[-1]

        yield make
