"""docs/hospital.md is executed: its own code blocks, in order, with real processes on loopback."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.nats.hall import free_port
from unpooled.sites.transports.nats.federation import Folder
from unpooled.sites.transports.nats.status import status

COUNT = """
import json, sys, time
seen = json.load(open("federation/presence.json"))["sites"].values()
sys.exit(sum(time.time() - site["seen"] < 6 for site in seen) < 4)
"""
WAITS = """
four() {{ for i in $(seq 300); do {python} -c {count} && return; sleep 0.2; done; echo "not all there" >&2; exit 9; }}
"""


def blocks(language: str) -> list[str]:
    """The page's blocks in this language."""
    text = (ROOT / "docs" / "hospital.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_walk_through_works_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(0)
    for name in ("berlin", "paris", "rome", "oslo"):
        rows = [f"{rng.normal():.3f},{'yes' if i % 2 else 'no'}" for i in range(20)]
        (tmp_path / "data" / f"{name}.csv").write_text("x,ill\n" + "\n".join(rows) + "\n", encoding="utf-8")
    program = tmp_path / "bin" / "unpooled"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from unpooled.cli import main; main()' \"$@\"\n")
    program.chmod(0o700)
    found = blocks("sh")
    assert len(found) > 10
    (config,) = blocks("toml")
    (tmp_path / "config.toml").write_text(config, encoding="utf-8")
    checks = {  # what must hold after the block that begins like this
        "unpooled coordinator serve": "until [ -f federation/presence.json ]; do sleep 0.2; done",
        "unpooled site run": "four",
        "kill %2": "four",
        "unpooled coordinator admit federation --sites rome": "four",
    }
    script = [
        "set -e",
        "set -m",
        WAITS.format(python=shlex.quote(sys.executable), count=shlex.quote(COUNT)),
    ]
    for block in found:
        script.append(block)
        script += [check for start, check in checks.items() if block.startswith(start)]
    script.append("trap - EXIT; kill $(jobs -p); wait")
    path = f"{program.parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    command = ["bash", "-c", "trap 'kill $(jobs -p)' EXIT\n" + "\n".join(script)]
    with (tmp_path / "said").open("w+") as said:  # no pipe: what is started there would keep it open
        done = subprocess.run(command, cwd=tmp_path, env=env, stdout=said, stderr=said, check=False, timeout=500)
        said.seek(0)
        text = said.read()
    assert done.returncode == 0, text
    assert "lets us in" in text
    assert json.loads((tmp_path / "runs" / "falls-ill" / "result.json").read_text())["status"] == "finished"
    assert "berlin" in (tmp_path / "berlin" / "what-left.html").read_text(encoding="utf-8")
    assert set(Folder(tmp_path / "federation").read().sites) == {"berlin", "paris", "rome"}
    assert {site.release != "" for site in status(Folder(tmp_path / "federation")).sites} == {True}
