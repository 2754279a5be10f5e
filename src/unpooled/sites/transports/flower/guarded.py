"""A SuperNode that runs the release installed at its site and no code that a SuperLink sends.

Flower starts a command for every message (`flwr-clientapp`, found on PATH), which unpacks the app that came with the
run and imports it. So whoever can start runs at the SuperLink can execute code at every site. The commands written here
take the place of Flower's on the PATH of a SuperNode: `flwr-clientapp` does all that Flower's does, but where it would
unpack and import, it takes the client app of the installed unpooled; the commands for other sorts of tasks refuse.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from flwr.clientapp import ClientApp
from flwr.supercore.constant import TASK_TYPE_TO_COMMAND, TaskType
from flwr.supernode.cli import flwr_clientapp

from unpooled.errors import Unsupported


def write_commands(folder: Path, module: str) -> list[Path]:
    """Commands for all sorts of tasks that Flower knows: `module` is run for a client app, the others refuse."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for task, command in TASK_TYPE_TO_COMMAND.items():
        if task == TaskType.CLIENT_APP:
            line = f'exec {shlex.quote(sys.executable)} -m {module} "$@"'
        else:
            line = f"echo 'This site runs no {command}: unpooled answers questions and nothing else.' >&2; exit 1"
        path = folder / command
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
        written.append(path)
    return written


def run(make: Callable[[], ClientApp]) -> None:
    """Flower's `flwr-clientapp`, with the app that `make` makes.

    Raises `Unsupported` before it does anything where Flower has changed its ways.
    """
    process = import_module("flwr.supernode.runtime.run_clientapp")
    ours = {
        "install_from_fab": lambda *_, **__: None,
        "install_app_dependencies": _refuse,
        "get_load_client_app_fn": lambda *_, **__: lambda *_, **__: make(),
    }
    for name, function in ours.items():
        if not hasattr(process, name):
            raise Unsupported(f"This release of Flower has no {name} where 1.42 had it: install flwr>=1.41,<1.43.")
        setattr(process, name, function)
    flwr_clientapp()


def _refuse(*_: object, **__: object) -> None:
    raise Unsupported("This site installs nothing that an app asks for.")
