"""The command line: one thin file a command. Errors print one line and no traceback."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. Exit codes: 0 done, 2 bad input or an error that the message explains, 130 stopped."""
    from rich.console import Console

    from unpooled.cli.app import app
    from unpooled.errors import Interrupted, UnpooledError

    try:
        app()
    except Interrupted as stop:
        Console(stderr=True).print(str(stop), style="yellow", markup=False, highlight=False, soft_wrap=True)
        sys.exit(130)
    except UnpooledError as error:
        Console(stderr=True).print(f"Error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
