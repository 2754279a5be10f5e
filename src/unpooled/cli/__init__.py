"""The command line: one thin file a command. Errors print one line and no traceback."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. Exit codes: 0 done, 2 bad input or an error that the message explains, 130 stopped."""
    from unpooled.cli.app import app
    from unpooled.errors import Interrupted, UnpooledError

    try:
        app()
    except Interrupted as stop:
        _say(str(stop), "yellow")
        sys.exit(130)
    except UnpooledError as error:
        _say(f"Error: {error}", "red")
        sys.exit(2)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _say(f"Error: the system refused: {error.strerror or error}{where}. Check the disk, then try again.", "red")
        sys.exit(2)


def _say(text: str, style: str) -> None:
    """One line on standard error."""
    from rich.console import Console

    line = " ".join(text.split())
    Console(stderr=True).print(line, style=style, markup=False, highlight=False, soft_wrap=True)
