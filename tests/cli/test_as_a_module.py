"""`python -m unpooled`, where the script is not on the path, and what a shell asks when the user presses Tab."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import unpooled as up


def test_the_module_is_the_command_line() -> None:
    done = subprocess.run([sys.executable, "-m", "unpooled", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == up.__version__


@pytest.mark.parametrize(
    ("typed", "word", "offered"), [("unpooled tra", 1, "train"), ("unpooled ledger ver", 2, "verify")]
)
def test_a_shell_completes_commands(typed: str, word: int, offered: str) -> None:
    """The protocol of bash's programmable completion, as `unpooled --install-completion` sets it up."""
    asked = {"_UNPOOLED_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(word)}
    script = "from unpooled.cli.app import app; app(prog_name='unpooled')"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [offered]
