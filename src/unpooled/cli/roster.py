"""`unpooled roster key | add | show`: what a site seals models with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="A site's key, and the public keys of the others, for sealed hops.", no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The site's own folder.")]


@app.command("key")
def key(folder: Folder, name: Annotated[str, typer.Option(help="What the site is called in runs.")]) -> None:
    """Make the site's key, and print the line that the other sites need: its name and its public key."""
    from unpooled.sites.sealing_files import admit, make_key

    folder.mkdir(parents=True, exist_ok=True)
    public = make_key(folder)
    admit(folder, {name: public})
    typer.echo(f"{name}={public.hex()}")


@app.command("add")
def add(
    folder: Folder,
    lines: Annotated[list[str], typer.Argument(metavar="NAME=KEY...", help="What `roster key` printed elsewhere.")],
) -> None:
    """Take other sites into the roster. A site that is known already keeps its key."""
    from unpooled.errors import BadSetting
    from unpooled.sites.sealing_files import admit

    keys = {}
    for line in lines:
        name, _, digits = line.rpartition("=")
        try:
            keys[name] = bytes.fromhex(digits)
        except ValueError:
            name = ""
        if not name:
            raise BadSetting(f"'{line}' is no name, = and public key: give what `unpooled roster key` printed there.")
    _show(folder, admit(folder, keys).fingerprint, len(keys))


@app.command("show")
def show(folder: Folder) -> None:
    """Print the names and keys, and a fingerprint of all of them to compare by telephone."""
    from unpooled.sites.sealing_files import read_roster

    roster = read_roster(folder)
    for name, public in sorted(roster.keys.items()):
        typer.echo(f"{name}={public.hex()}")
    _show(folder, roster.fingerprint)


def _show(folder: Path, fingerprint: str, added: int | None = None) -> None:
    done = "" if added is None else f"{added} added; "
    groups = " ".join(fingerprint[i : i + 4] for i in range(0, len(fingerprint), 4))
    typer.echo(f"{folder}: {done}fingerprint {groups}")
