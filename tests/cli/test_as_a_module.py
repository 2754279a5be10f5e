"""`python -m unpooled`, where the script is not on the path."""

from __future__ import annotations

import subprocess
import sys

import unpooled as up


def test_the_module_is_the_command_line() -> None:
    done = subprocess.run([sys.executable, "-m", "unpooled", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == up.__version__
